import numpy as np
import pytest

from flexdan.metrics import (
    collect_scores,
    interval,
    object_counts,
    pixel_counts,
    resample,
    summarize,
    summarize_groups,
    surface_counts,
)


@pytest.fixture
def scores():
    """Six images of squares, found more or less, in three groups and two grades."""
    random = np.random.default_rng(0)
    facts, counts = [], []
    for number in range(6):
        truth, found = np.zeros((2, 20, 20), int)
        truth[2:9, 2:9], truth[11:18, 11:18] = 1, 2
        found[random.random((20, 20)) < 0.8] = 1
        found *= (truth > 0) if number % 2 else 1
        confusion = np.array([[((truth > 0) == a) & ((found > 0) == b) for b in (0, 1)] for a in (0, 1)]).sum((2, 3))
        one = {f"full_resolution.{name}": value for name, value in pixel_counts(confusion).items()}
        objects = {"pixels": 400} | object_counts(truth, found) | surface_counts(truth > 0, found > 0)
        one |= {f"objects.{name}": value for name, value in objects.items()}
        counts.append(one)
        facts.append((f"{number}.png", "abc"[number // 2], "benign" if number < 4 else "malignant"))
    return collect_scores(facts, counts)


class TestSummarize:
    def test_figures_are_those_of_the_scores(self, scores):
        levels = summarize(scores, resamples=50)
        assert list(levels) == ["full_resolution", "objects"]
        for level, figures in levels.items():
            pooled = scores.pooled(level)
            assert figures["pooled"] == {name: None if np.isnan(value) else value for name, value in pooled.items()}
            assert figures["image_mean"] == scores.image_mean(level)
        assert levels["objects"]["pooled"]["hd95"] is levels["objects"]["pooled_interval"]["hd95"] is None
        assert levels["objects"]["image_mean_interval"]["hd95"] is not None
        assert len(levels["full_resolution"]["classes_pooled"]) == 2
        assert levels["full_resolution"]["classes_pooled"][1]["iou"] == levels["full_resolution"]["pooled"]["iou"]

    def test_intervals_are_those_of_resampled_images(self, scores):
        figures = summarize(scores, resamples=300, seed=4)["objects"]
        draws = []
        for weights in resample(6, 300, 4):
            draws.append(scores.select(np.repeat(np.arange(6), weights.astype(int))).pooled("objects")["object_dice"])
        assert figures["pooled_interval"]["object_dice"] == pytest.approx(interval(np.array(draws)))

    def test_whole_groups_are_resampled_where_asked(self, scores):
        single, whole = (summarize(scores, resamples=300, clusters=way)["objects"] for way in (False, True))
        assert single["pooled_interval"]["object_dice"] != whole["pooled_interval"]["object_dice"]

    def test_a_single_image_has_no_interval(self, scores):
        figures = summarize(scores.select([1]), resamples=20)["objects"]
        assert figures["pooled_interval"]["f1"] is None

    def test_images_without_a_counted_pixel_have_no_figure(self):
        nothing = collect_scores(
            [("a", "", "")], [{f"full_resolution.pixels_{a}_{b}": 0.0 for a in (0, 1) for b in (0, 1)}]
        )
        assert summarize(nothing, resamples=5)["full_resolution"]["pooled"]["iou"] is None


class TestSummarizeGroups:
    def test_each_has_the_figures_of_its_images(self, scores):
        groups = summarize_groups(scores, resamples=20)
        assert list(groups) == ["grade", "group"]
        assert {name: one["images"] for name, one in groups["grade"].items()} == {"benign": 4, "malignant": 2}
        assert groups["group"]["b"]["objects"]["image_mean"] == scores.select([2, 3]).image_mean("objects")

    def test_numbers_stand_in_their_order(self, scores):
        from dataclasses import replace

        numbered = replace(scores, groups=("10", "9", "", "10", "9", "x"), grades=("",) * 6)
        assert list(summarize_groups(numbered, resamples=5)["group"]) == ["9", "10", "(none)", "x"]

    def test_one_group_is_no_group(self, scores):
        assert summarize_groups(scores.select([0, 1]), resamples=5) == {}
