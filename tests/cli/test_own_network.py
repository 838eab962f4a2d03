"""A network of the user's own, beside his data, with the command as it is installed."""

import subprocess
import sysconfig
from pathlib import Path

NETWORK = """
from torch import nn

class Small(nn.Sequential):
    def __init__(self, width):
        super().__init__(nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 2, 1))
"""


def test_a_network_in_the_current_folder_is_trained_and_used(discs, tmp_path):
    (tmp_path / "mynet.py").write_text(NETWORK)
    script = Path(sysconfig.get_path("scripts")) / "flexdan"

    def flexdan(*arguments):
        ran = subprocess.run([script, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr

    settings = ["--sn.model_type=mynet.Small", "--sn.model_args.width=3", "--data.image_size=[16,20]"]
    more = ["--training.num_epochs=1", "--training.device=cpu", "--training.tensorboard=false"]
    flexdan("train", f"--data.manifest={discs}", "-o", "run", *settings, *more)
    flexdan("predict", "run", discs.with_name("image0.png"), "-o", "out", "--device", "cpu")
    assert (tmp_path / "out/mask/image0.png").is_file()
