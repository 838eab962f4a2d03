"""The arithmetic of a calibration; the probe on fake tensors, with a device that counts what is live."""

from dataclasses import replace

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from flexdan.config import UserError
from flexdan.memory import find_device, write_device
from flexdan.memory.calibrate import Readings, _besides_results, _probe, device_from, require_cuda
from flexdan.memory.devices import Device
from flexdan.memory.trace import CONVOLUTION, StorageTracker, rounded

MIB, GIB = 2**20, 2**30
READINGS = Readings(
    name="NVIDIA A100-SXM4-40GB",
    total=40 * GIB,
    free=38 * GIB,
    reserved=1600 * MIB,
    lasting=17_039_360,
    convolution=90 * MIB,
    bf16=True,
    torch="2.13.0+cu128",
)


class CountingDevice:
    """Stands in for torch.cuda: 20 GiB, of which the driver takes 300 MiB.

    Its cuBLAS keeps 8.125 MiB, its cuDNN takes 7 MiB for each convolution.
    """

    total, driver, keeps, workspace = 20 * GIB, 300 * MIB, 8_519_680, 7 * MIB

    def __init__(self, *, bf16: bool):
        self.bf16 = bf16
        self.tracker = StorageTracker({})
        self.since = 0  # events before the statistics were reset
        self.calls: list[str] = []

    def _live(self) -> list[int]:
        """Return the bytes in use after each event, and in the middle of it where it is a convolution."""
        live, levels = self.keeps, [self.keeps]
        for event in self.tracker.events:
            if event == CONVOLUTION:
                levels.append(live + self.workspace)
                continue
            live += rounded(self.tracker.allocations[abs(event) - 1].nbytes) * (1 if event > 0 else -1)
            levels.append(live)
        return levels

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in (
            "is_bf16_supported",
            "memory_allocated",
            "max_memory_allocated",
            "memory_reserved",
            "reset_peak_memory_stats",
            "mem_get_info",
            "get_device_name",
            "synchronize",
        ):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return including_emulation or self.bf16  # any device emulates it

    def memory_allocated(self, device: object) -> int:
        return [level for level, event in zip(self._live(), [1, *self.tracker.events], strict=True) if event][-1]

    def max_memory_allocated(self, device: object) -> int:
        return max(self._live()[self.since :])

    def reset_peak_memory_stats(self, device: object) -> None:
        self.since = len(self.tracker.events)

    def memory_reserved(self, device: object) -> int:
        self.calls.append("memory_reserved")
        return 512 * MIB

    def mem_get_info(self, device: object) -> tuple[int, int]:
        self.calls.append("mem_get_info")
        return self.total - self.driver - 512 * MIB, self.total

    def get_device_name(self, device: object) -> str:
        return "Counting  Device"

    def synchronize(self, device: object) -> None:
        self.calls.append("synchronize")


@pytest.mark.parametrize("bf16", [True, False])
def test_the_probe_reads_what_is_left_and_what_convolutions_take(monkeypatch, bf16):
    fake = CountingDevice(bf16=bf16)
    fake.patch(monkeypatch)
    with FakeTensorMode(), fake.tracker:
        readings = _probe(torch.device("cpu"))
    assert readings == Readings(
        name="Counting  Device",
        total=20 * GIB,
        free=20 * GIB - 812 * MIB,
        reserved=512 * MIB,
        lasting=8_519_680,
        convolution=7 * MIB,
        bf16=bf16,
        torch=str(torch.__version__),
    )
    assert fake.calls[-3:] == ["synchronize", "mem_get_info", "memory_reserved"]  # when all kernels are loaded
    steps = 2 if bf16 else 1
    assert fake.tracker.events.count(CONVOLUTION) == steps * (2 + 2 + 3 * 3)  # warm-up and back; three times three
    widest = max(one.nbytes for one in fake.tracker.allocations)
    assert widest == 2 * 64 * 224 * 332 * 4  # nothing in it is larger than a map of features
    assert device_from(readings).context == 300 * MIB


def test_an_earlier_peak_and_the_results_do_not_count_as_workspace(monkeypatch):
    fake = CountingDevice(bf16=False)
    fake.patch(monkeypatch)
    with FakeTensorMode(), fake.tracker:
        torch.ones(2**28)  # gone again: 1 GiB
        images, weight = torch.ones(1, 2, 32, 32), torch.ones(2, 2, 3, 3)
        plain = _besides_results(lambda: images + 1, torch.device("cpu"))
        halves = _besides_results(lambda: (images + 1) + 1, torch.device("cpu"))
        convolved = _besides_results(lambda: torch.nn.functional.conv2d(images, weight), torch.device("cpu"))
    assert (plain, halves, convolved) == (0, 2 * 32 * 32 * 4, 7 * MIB)


def test_a_device_from_readings():
    assert device_from(READINGS) == Device(
        name="nvidia-a100-sxm4-40gb",
        memory=42_949_672_960,
        context=448 * MIB,  # 2048 - 1600
        lasting_workspace=17_039_360,
        convolution_workspace=94_371_840,
        overhead=0.0,
        bf16=True,
        foreach=True,
        source="measured by `flexdan plan --calibrate` on NVIDIA A100-SXM4-40GB with PyTorch 2.13.0+cu128",
    )


@pytest.mark.parametrize(
    ("name", "expected"), [("Tesla T4", "tesla-t4"), ("  NVIDIA  GeForce RTX 3060 ", "nvidia-geforce-rtx-3060")]
)
def test_names(name, expected):
    assert device_from(replace(READINGS, name=name)).name == expected


@pytest.mark.parametrize("context", [1, 4 * GIB])
def test_the_extremes_of_a_plausible_context(context):
    assert device_from(replace(READINGS, free=40 * GIB - 1600 * MIB - context)).context == context


@pytest.mark.parametrize(("context", "said"), [(0, "0.00"), (-GIB, "-1.00"), (4 * GIB + 1, "4.00"), (9 * GIB, "9.00")])
def test_an_implausible_context_is_refused(context, said):
    readings = replace(READINGS, free=40 * GIB - 1600 * MIB - context)
    with pytest.raises(UserError, match=r"nvidia-smi lists it\) and run --calibrate again") as error:
        device_from(readings)
    assert f"NVIDIA A100-SXM4-40GB comes out as {said} GiB (40.00 GiB in all" in str(error.value)
    assert "1.56 GiB reserved by PyTorch" in str(error.value)
    assert "at most 4.00 GiB" in str(error.value)


def test_what_was_measured_is_found_again(tmp_path):
    device = device_from(READINGS)
    write_device(device, tmp_path / "a100.yaml")
    assert find_device(str(tmp_path / "a100.yaml")) == device


def test_without_cuda_there_is_nothing_to_measure(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"measures a CUDA device, and PyTorch .* finds none here.*--device t4"):
        require_cuda()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    require_cuda()
