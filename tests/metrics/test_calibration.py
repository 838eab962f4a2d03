import numpy as np
import pytest

from flexdan.metrics import calibration_counts, calibration_metrics, reliability


def two_classes(foreground):
    foreground = np.asarray(foreground, np.float64)
    return np.stack([1 - foreground, foreground])


class TestCalibration:
    def test_by_hand(self):
        probabilities = two_classes([[0.9, 0.9, 0.9, 0.3]])  # confidence 0.9 three times, 0.7 for the background once
        truth = np.array([[1, 1, 0, 0]])
        counts = calibration_counts(probabilities, truth, bins=10)
        pixels, confidence, accuracy = reliability(counts)
        assert pixels.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 3, 0]
        assert confidence[[6, 8]] == pytest.approx([0.7, 0.9])
        assert accuracy[[6, 8]] == pytest.approx([1, 2 / 3])
        assert np.isnan(accuracy[0])
        metrics = calibration_metrics(counts)
        assert metrics["ece"] == pytest.approx((3 * (0.9 - 2 / 3) + 0.3) / 4)
        assert metrics["mce"] == pytest.approx(0.3)

    def test_is_what_a_loop_over_the_bins_says(self):
        random = np.random.default_rng(0)
        logits = random.normal(size=(3, 20, 20))
        probabilities = np.exp(logits) / np.exp(logits).sum(0)
        truth = random.integers(0, 3, (20, 20))
        confidence, right = probabilities.max(0).ravel(), (probabilities.argmax(0) == truth).ravel()
        ece = 0.0
        for low in range(15):
            inside = (confidence > low / 15) & (confidence <= (low + 1) / 15)
            if inside.any():
                ece += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        assert calibration_metrics(calibration_counts(probabilities, truth))["ece"] == pytest.approx(ece)

    def test_sure_and_right_is_perfect(self):
        truth = np.array([[0, 1]])
        assert calibration_metrics(calibration_counts(two_classes(truth), truth)) == {"ece": 0, "mce": 0}

    def test_ignored_pixels_do_not_count(self):
        truth = np.array([[0, 255]])
        counts = calibration_counts(two_classes([[0.1, 0.8]]), truth)
        assert sum(value for name, value in counts.items() if name.startswith("pixels")) == 1
        nothing = calibration_metrics(calibration_counts(two_classes([[0.1]]), np.array([[255]])))
        assert np.isnan(nothing["ece"])

    def test_counts_add_up_over_images(self):
        random = np.random.default_rng(1)
        probabilities, truth = two_classes(random.random((8, 8))), random.integers(0, 2, (8, 8))
        halves = [calibration_counts(probabilities[:, part], truth[part]) for part in (slice(4), slice(4, 8))]
        total = {name: halves[0][name] + halves[1][name] for name in halves[0]}
        whole = calibration_counts(probabilities, truth)
        assert calibration_metrics(total)["ece"] == pytest.approx(calibration_metrics(whole)["ece"])
