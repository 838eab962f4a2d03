"""Settings of the post-processing, and the file of a run that keeps them."""

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexdan.config import PostprocessingConfig, Tuning, UserError, read_postprocessing, write_postprocessing

TUNING = Tuning(
    split="val",
    manifest="data/glas.csv",
    manifest_sha256="ab" * 32,
    images=17,
    weights="best",
    tta=True,
    scale=None,
    metric="f1+object_dice",
    before=0.5,
    after=0.75,
    trials=40,
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0}, "threshold is 0: it is a probability"),
        ({"threshold": 1.0}, r"threshold is 1\.0"),
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"min_size": -1}, "min_size is -1: it must be 0"),
        ({"split": "both"}, "split is 'both': it must be one of none, distance, marker"),
        ({"split_depth": 0}, "split_depth is 0: it must be above 0 pixels"),
        ({"split_depth": float("inf")}, "split_depth is inf"),
        ({"marker_threshold": 1}, "marker_threshold is 1: it is a probability"),
        ({"split": "marker", "threshold": 0.8}, r"marker_threshold is 0\.8, but threshold is 0\.8: .* above threshold"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        PostprocessingConfig(**changes)


def test_a_marker_threshold_counts_only_where_there_are_markers():
    assert PostprocessingConfig(threshold=0.9).marker_threshold == 0.8
    assert PostprocessingConfig(threshold=0.9, split="distance").marker_threshold == 0.8


def test_settings_say_themselves_in_words():
    assert str(PostprocessingConfig()) == "threshold 0.5, touching objects stay one"
    settings = PostprocessingConfig(threshold=0.45, fill_holes=True, min_size=120, split="distance", split_depth=3)
    assert str(settings) == "threshold 0.45, holes filled, at least 120 pixels, parted at necks deeper than 3 pixels"
    assert str(PostprocessingConfig(split="marker")) == "threshold 0.5, parted between regions above 0.8"


@given(
    threshold=st.floats(0.01, 0.5),
    fill_holes=st.booleans(),
    min_size=st.integers(0, 10**9),
    split=st.sampled_from(["none", "distance", "marker"]),
    split_depth=st.floats(0.1, 1e6),
    marker_threshold=st.floats(0.6, 0.99),
    scale=st.none() | st.floats(0.1, 16),
)
def test_what_is_written_is_read_back(tmp_path_factory, scale, **settings):
    run = tmp_path_factory.mktemp("run")
    written = PostprocessingConfig(**settings)
    path = write_postprocessing(run, written, replace(TUNING, scale=scale))
    assert path == run / "postprocessing.json"
    assert read_postprocessing(run) == (written, replace(TUNING, scale=scale))


def test_a_run_without_the_file_has_none_and_a_later_one_replaces_an_earlier_one(tmp_path):
    assert read_postprocessing(tmp_path) is None
    for min_size in (3, 4):
        write_postprocessing(tmp_path, PostprocessingConfig(min_size=min_size), TUNING)
    found = read_postprocessing(tmp_path)
    assert found is not None
    assert found[0].min_size == 4
    assert [file.name for file in tmp_path.iterdir()] == ["postprocessing.json"]


def content(**changes) -> dict:
    """Return what stands in a good file, with changed settings."""
    return {"settings": asdict(PostprocessingConfig()) | changes, "tuning": asdict(TUNING)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "Expecting property name"),
        (b"\xff\xfe\x00", "codec can't decode"),
        ([], "it must hold settings and tuning"),
        ({}, "it must hold settings and tuning"),
        (content() | {"tuning": None}, "tuning must hold split, manifest"),
        (content() | {"more": 1}, "it must hold settings and tuning"),
        (content(more=1), "settings must hold threshold, fill_holes"),
        (content(threshold="0.5"), "threshold is '0.5': it must be a number"),
        (content(fill_holes=1), "fill_holes is 1: it must be true or false"),
        (content(min_size=True), "min_size is True: it must be a whole number"),
        (content(min_size=2.5), "min_size is 2.5: it must be a whole number"),
        (content(split=3), "split is 3: it must be a text"),
        (content(threshold=7), "threshold is 7: it is a probability"),
    ],
)
def test_a_broken_file_is_named_with_the_reason(tmp_path, text, reason):
    path = tmp_path / "postprocessing.json"
    path.write_bytes(text if isinstance(text, bytes) else json.dumps(text).encode())
    with pytest.raises(UserError) as caught:
        read_postprocessing(tmp_path)
    assert str(caught.value).startswith(f"{path} is no post-processing of a run: ")
    assert reason in str(caught.value)
    assert "--tune-postprocessing" in str(caught.value)


def test_a_folder_in_the_place_of_the_file_is_no_crash(tmp_path):
    (tmp_path / "postprocessing.json").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        read_postprocessing(tmp_path)
