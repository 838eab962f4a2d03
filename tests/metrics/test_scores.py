import numpy as np
import pytest
import torch

from flexdan.config import UserError
from flexdan.metrics import (
    Scores,
    calibration_counts,
    confusion_counts,
    object_counts,
    pixel_counts,
    pixel_metrics,
    read_scores,
    resample,
    surface_counts,
    write_scores,
)


@pytest.fixture
def scores():
    """Scores of three images: perfect, shifted, and one whose pixels do not count."""
    truth = np.zeros((3, 12, 12), int)
    truth[:, 2:6, 2:6], truth[:, 7:11, 7:11] = 1, 2
    found = np.stack([truth[0], np.roll(truth[1], 1, 1), truth[2]])
    classes, target = (found > 0).astype(int), (truth > 0).astype(int)
    target[2] = 255
    probabilities = np.stack([np.where(classes == kind, 0.8, 0.2) for kind in (0, 1)], axis=1)
    rows = []
    for number in range(3):
        confusion = confusion_counts(
            torch.from_numpy(classes[number : number + 1]), torch.from_numpy(target[number : number + 1]), 2
        )
        counted = {"full_resolution": pixel_counts(confusion[0].numpy())}
        known = target[number] != 255
        sides = truth[number] * known, found[number] * known
        counted["objects"] = {"pixels": known.sum()} | object_counts(*sides)
        counted["objects"] |= surface_counts(*(side > 0 for side in sides))
        counted["calibration"] = calibration_counts(probabilities[number], target[number])
        rows.append({f"{level}.{name}": value for level, counts in counted.items() for name, value in counts.items()})
    counts = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return Scores(("a.png", "b, c.png", "d.png"), ("p", "p", "q"), ("", "benign", "malignant"), counts)


class TestScores:
    def test_levels_are_those_that_were_counted(self, scores):
        assert scores.levels == ("full_resolution", "objects", "calibration")

    def test_pixel_figures_are_those_of_pixel_metrics(self, scores):
        table = np.stack([scores.counts[f"full_resolution.pixels_{a}_{b}"] for a in (0, 1) for b in (0, 1)], -1)
        expected = pixel_metrics(torch.from_numpy(table.reshape(3, 2, 2)).long())
        assert scores.pooled("full_resolution")["iou"] == pytest.approx(expected["iou"])
        assert scores.image_mean("full_resolution")["iou"] == pytest.approx(expected["iou_image_mean"])

    def test_an_image_without_a_counted_pixel_has_no_figure(self, scores):
        for level in scores.levels:
            for values in scores.per_image(level).values():
                assert np.isnan(values[2])
                assert np.isfinite(values[:2]).all()

    def test_percentiles_are_of_images_only(self, scores):
        assert np.isnan(scores.pooled("objects")["hd95"])
        assert scores.image_mean("objects")["hd95"] == pytest.approx(1 / 2)

    def test_calibration(self, scores):
        right = scores.level("full_resolution")
        accuracy = (right["pixels_0_0"] + right["pixels_1_1"]).sum() / sum(values.sum() for values in right.values())
        assert scores.pooled("calibration")["ece"] == pytest.approx(abs(accuracy - 0.8))

    def test_images_that_are_drawn_twice_count_twice(self, scores):
        pooled, means = scores.resampled("objects", np.array([[2, 1, 0], [1, 0, 2]]))
        twice = scores.select([0, 0, 1])
        assert pooled["object_dice"][0] == pytest.approx(twice.pooled("objects")["object_dice"])
        assert means["object_dice"][0] == pytest.approx(twice.image_mean("objects")["object_dice"])
        assert pooled["object_dice"][1] == 1
        none, _ = scores.resampled("full_resolution", np.array([[0, 0, 3]]))
        assert np.isnan(none["iou"]).all()

    def test_resampling_keeps_the_order_of_the_weights(self, scores):
        weights = resample(3, 50)
        pooled, _ = scores.resampled("objects", weights)
        places = np.repeat(np.arange(3), weights[17].astype(int))
        assert pooled["f1"][17] == pytest.approx(scores.select(places).pooled("objects")["f1"])

    def test_a_file_holds_them(self, scores, tmp_path):
        write_scores(tmp_path / "counts.csv", scores)
        read = read_scores(tmp_path / "counts.csv")
        assert (read.images, read.groups, read.grades) == (scores.images, scores.groups, scores.grades)
        assert list(read.counts) == list(scores.counts)
        for name, values in scores.counts.items():
            np.testing.assert_array_equal(read.counts[name], values)

    @pytest.mark.parametrize(
        "text", ["", "image,group\na,b\n", "image,group,grade,objects.x\na,b,c,many\n", "image,group,grade\n"]
    )
    def test_another_file_is_refused(self, text, tmp_path):
        (tmp_path / "counts.csv").write_text(text)
        with pytest.raises(UserError, match="is no table of counts"):
            read_scores(tmp_path / "counts.csv")

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(UserError, match="run `flexdan evaluate` again"):
            read_scores(tmp_path / "counts.csv")
