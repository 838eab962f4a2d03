import pytest

from flexdan.config import UserError
from flexdan.report.learning_scores import choose_scores, read_scores, score_name

KNOWN = ["objects.f1.pooled", "objects.f1.image_mean", "objects.hd95.image_mean", "full_resolution.dice.pooled"]


def test_scores_of_an_evaluation_by_name():
    figures = {
        "split": "test",
        "full_resolution": {"height": 3, "pooled": {"dice": 0.5}, "image_mean": {"dice": 0.25}},
        "objects": {"pooled": {"f1": 0.5, "hd95": None}, "image_mean": {"f1": float("nan"), "hd95": 3}},
    }
    assert read_scores(figures) == {
        "objects.f1.pooled": 0.5,
        "objects.hd95.image_mean": 3,
        "full_resolution.dice.pooled": 0.5,
        "full_resolution.dice.image_mean": 0.25,
    }
    assert read_scores({}) == {}


def test_pooled_is_meant_where_there_is_such_a_figure():
    assert choose_scores(["objects.hd95", "objects.f1", "objects.f1.pooled", "objects.f1.image_mean"], KNOWN) == [
        *("objects.hd95.image_mean", "objects.f1.pooled", "objects.f1.image_mean")
    ]


@pytest.mark.parametrize("name", ["f1", "objects", "objects.", "objects.pooled", "pixels.f1", "objects.f2"])
def test_an_unknown_metric_is_refused(name):
    with pytest.raises(UserError, match=f"there is no metric '{name}': it must be LEVEL.METRIC"):
        choose_scores([name], KNOWN)


def test_the_metrics_of_the_level_are_named():
    with pytest.raises(UserError, match=r"; of objects there are f1, hd95$"):
        choose_scores(["objects.f2"], KNOWN)


def test_names_in_words():
    assert score_name("objects.f1.pooled") == "object F1 (pooled)"
    assert score_name("full_resolution.boundary_f1.image_mean") == "boundary F1 (full resolution, mean over images)"
    assert score_name("objects.dice.pooled") == "Dice (objects, pooled)"
    assert score_name("objects.object_dice.pooled") == "object Dice (pooled)"
