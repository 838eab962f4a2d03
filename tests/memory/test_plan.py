"""Verdicts, largest batches and changes, against plans made directly."""

import pytest

from flexdan.config import UserError, with_settings
from flexdan.memory import (
    Device,
    Planner,
    find_device,
    parse_memory,
    plan_all,
    resolve_shape,
    trace_training,
    write_device,
)
from flexdan.memory.demand import at_batch, device_bytes, requests, serves
from flexdan.memory.plan import largest, memory_settings
from flexdan.memory.text import breakdown_lines, cells, sentence

MIB = 2**20
CARD = Device(name="card", context=10 * MIB, bf16=False, source="made up")
NEW_CARD = Device(name="new card", context=10 * MIB, bf16=True, source="made up")


def needs(config, device=CARD):
    return Planner(device, 2**40).check("", config).peak


def test_verdicts(small):
    need = needs(small())
    assert Planner(CARD, need).check("", small()).verdict == "tight"
    assert Planner(CARD, int(need * 1.06)).check("", small()).verdict == "fits"
    assert Planner(CARD, need - 9 * MIB).check("", small()).verdict == "does not fit"
    assert Planner(CARD, CARD.context).check("", small()).verdict == "does not fit"


def test_a_figure_within_the_memory_means_that_it_fits(small):
    asked = requests(trace_training(small(strategy="dan")))
    for memory in range(20 * MIB, 80 * MIB, 3 * MIB):
        assert (device_bytes(asked, CARD, memory) <= memory) == serves(asked, CARD, memory)


@pytest.mark.parametrize("changes", [{}, {"strategy": "dan"}, {"training__activation_checkpointing": True}])
def test_requests_at_another_batch_are_those_of_a_trace_of_it(small, changes):
    two, four, seven = (requests(trace_training(small(training__batch_size=size, **changes))) for size in (2, 4, 7))
    assert at_batch(two, four, (2, 4), 7) == seven


def test_the_largest_batch_fits_and_the_next_does_not(small):
    memory = 40 * MIB
    batch = Planner(CARD, memory).row("", small()).largest_batch
    assert batch > 4
    assert Planner(CARD, memory).check("", small(training__batch_size=batch)).verdict != "does not fit"
    assert Planner(CARD, memory).check("", small(training__batch_size=batch + 1)).verdict == "does not fit"


def test_largest_is_the_last_that_fits():
    for limit in range(30):
        assert largest(lambda number, limit=limit: number <= limit, 4, 20) == min(limit, 20)


def test_half_a_batch_that_plays_the_unannotated_part_needs_an_even_number(small):
    config = small(strategy="dan", adversarial__unannotated_source="half_batch")
    assert Planner(CARD, 60 * MIB).row("", config).largest_batch % 2 == 0


@pytest.mark.parametrize("share", [0.95, 0.8, 0.6, 0.45])
def test_the_change_makes_it_fit_and_is_verified_by_a_trace(small, share):
    config = small(training__batch_size=4, data__image_size=(128, 192), optimizer__implementation="foreach")
    memory = int(needs(config, NEW_CARD) * share)
    row = Planner(NEW_CARD, memory).row("", config)
    assert row.verdict == "does not fit"
    changed = with_settings(config, row.change.settings)
    assert needs(changed, NEW_CARD) <= memory + 9 * MIB
    assert Planner(NEW_CARD, memory).check("", changed).verdict != "does not fit"
    assert row.change_peak <= memory


def test_changes_of_the_evaluation_network_come_after_those_that_keep_the_networks(small):
    config = small(
        strategy="dan", en__first_linear_layer_out_features=4096, en__num_fcn_blocks=1, data__image_size=(64, 64)
    )
    row = Planner(CARD, int(needs(config) * 0.5)).row("", config)
    assert row.change.names[0] == "narrower EN"
    assert set(row.change.settings) >= {"en.first_linear_layer_out_features"}
    assert needs(with_settings(config, row.change.settings)) <= needs(config) * 0.5 + 9 * MIB


def test_nothing_helps_below_the_context(small):
    row = Planner(CARD, CARD.context + MIB).row("", small())
    assert (row.verdict, row.change, row.largest_batch) == ("does not fit", None, 0)
    assert "none of those that are known" in sentence(row)


def test_settings_that_do_not_matter_are_planned_once_and_names_stay(small):
    configs = [("a", small(strategy="dan", adversarial__sigma=sigma)) for sigma in (0.1, 0.5)]
    configs.append(("b", small(optimizer__lr=0.1, training__num_epochs=3)))
    assert memory_settings(configs[0][1]) == memory_settings(configs[1][1]) != memory_settings(configs[2][1])
    rows = list(plan_all(configs, CARD, 2**30))
    assert [row.name for row in rows] == ["a", "a", "b"]
    assert rows[0].peak == rows[1].peak != rows[2].peak


def test_several_processes_plan_as_one_does(small):
    configs = [(str(size), small(training__batch_size=size)) for size in range(2, 9)]
    alone = [Planner(CARD, 40 * MIB).row(name, config) for name, config in configs]
    assert list(plan_all(configs, CARD, 40 * MIB)) == alone


def test_a_shape_is_assumed_only_where_it_is_not_said(small):
    assert resolve_shape(small()) == (small(), "")
    config, note = resolve_shape(with_settings(small(), {"sn.output_channels": "auto", "data.image_size": "auto"}))
    assert (config.sn.output_channels, config.data.image_size) == (2, (224, 332))
    assert note == "no data.manifest: assuming sn.output_channels 2, data.image_size (224, 332)"


def test_text_of_a_row(small):
    row = Planner(CARD, int(needs(small()) * 0.7)).row("small", small())
    assert cells(row)[0] == "small"
    assert cells(row)[2] == "does not fit"
    assert sentence(row).startswith("does not fit: it needs 0.0")
    lines = breakdown_lines(row)
    assert lines[0].startswith("The tensors of a step take 0.0")
    assert any("sn.map_block" in line for line in lines)


@pytest.mark.parametrize(
    ("text", "nbytes"),
    [("14.76GiB", int(14.76 * 2**30)), ("800 MiB", 800 * MIB), ("16GB", 16 * 10**9), ("2097152", 2 * MIB)],
)
def test_memory_is_read(text, nbytes):
    assert parse_memory(text) == nbytes


@pytest.mark.parametrize("text", ["", "much", "12 parsecs", "-3GiB", "0GiB", "12"])
def test_other_memory_is_refused(text):
    with pytest.raises(UserError, match="say a number and a unit"):
        parse_memory(text)


def test_a_batch_too_small_for_batch_norm_is_no_limit(small):
    """The EN needs three images, so a batch of 1 + 1 is not allowed; 2 + 2 fits, whatever batch is asked about."""
    memory = int(needs(small(strategy="dan", training__batch_size=2)) * 1.02)
    found = [Planner(CARD, memory).row("", small(strategy="dan", training__batch_size=size)) for size in (2, 6)]
    assert found[0].largest_batch == found[1].largest_batch >= 2


def test_a_frozen_network_has_no_optimiser_state(small):
    config = small(
        strategy="dan", adversarial__freeze="sn", sn__first_layer_out_channels=256, data__image_size=(16, 16)
    )
    row = Planner(CARD, int(needs(config) * 1.02)).row("", config)
    assert row.verdict == "tight"
    assert row.largest_batch >= config.training.batch_size


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("hello", "describes no device"),
        ("", "describes no device"),
        ("a: [", "cannot be read"),
        ("name: x", "needs name"),
    ],
)
def test_broken_files_of_devices_are_refused(tmp_path, content, message):
    path = tmp_path / "device.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=message):
        find_device(str(path))


def test_a_device_with_a_number_as_text_is_refused(tmp_path):
    path = tmp_path / "device.yaml"
    write_device(CARD, path)
    assert find_device(str(path)) == CARD
    path.write_text(path.read_text().replace(f"context: {10 * MIB}", "context: 8.5e9"))
    with pytest.raises(UserError, match=r"has context '8\.5e9': it must be of the kind int"):
        find_device(str(path))
