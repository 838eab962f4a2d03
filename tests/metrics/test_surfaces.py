import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_distance import compute_average_surface_distance
from scipy.spatial.distance import cdist

from flexdan.metrics import surface_counts, surface_metrics


@st.composite
def masks(draw):
    shape = draw(st.tuples(st.integers(2, 12), st.integers(2, 12)))
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    share = draw(st.sampled_from([0.0, 0.1, 0.5, 0.9]))
    return random.random(shape) < share, random.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.8]))


def boundary(mask):
    """The places (n, 2) of a mask's pixels with a neighbour outside, one after the other."""
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(mask)
    inside = [
        padded[row, column + 1]
        and padded[row + 2, column + 1]
        and padded[row + 1, column]
        and padded[row + 1, column + 2]
        for row, column in zip(rows, columns, strict=True)
    ]
    return np.array([(row, column) for row, column, i in zip(rows, columns, inside, strict=True) if not i]).reshape(
        -1, 2
    )


def measure(truth, found, **options):
    return {name: float(value) for name, value in surface_metrics(surface_counts(truth, found, **options)).items()}


class TestSurfaceMetrics:
    def test_by_hand(self):
        truth, found = np.zeros((9, 12), bool), np.zeros((9, 12), bool)
        truth[2:7, 2:7] = True
        found[2:7, 3:8] = True  # the same, one column to the right
        measured = measure(truth, found, tolerance=0.5)
        shared = 2 * 4  # of 16 boundary pixels: the upper and the lower edge, but for one end
        assert measured["boundary_f1"] == shared / 16
        assert measured["asd"] == 8 / 16
        assert measured["hd95"] == 1
        assert measure(truth, found, tolerance=1)["boundary_f1"] == 1

    @settings(max_examples=100, deadline=None)
    @given(pair=masks(), spacing=st.sampled_from([None, (0.5, 2.0)]), tolerance=st.sampled_from([0.5, 1.0, 2.0]))
    def test_is_what_all_distances_say(self, pair, spacing, tolerance):
        truth, found = pair
        one, other = boundary(truth), boundary(found)
        measured = measure(truth, found, spacing=spacing, tolerance=tolerance)
        scale = np.ones(2) if spacing is None else np.array(spacing)
        diagonal = np.linalg.norm((np.array(truth.shape) - 1) * scale)
        if not len(one) and not len(other):
            assert measured == {"boundary_f1": 1, "asd": 0, "hd95": 0}
        elif not len(one) or not len(other):
            assert measured == pytest.approx({"boundary_f1": 0, "asd": diagonal, "hd95": diagonal})
        else:
            distances = cdist(one * scale, other * scale)
            forth, back = distances.min(1), distances.min(0)
            recall, precision = (forth <= tolerance).mean(), (back <= tolerance).mean()
            assert measured == pytest.approx(
                {
                    "boundary_f1": 2 * precision * recall / (precision + recall) if precision + recall else 0,
                    "asd": np.concatenate([forth, back]).mean(),
                    "hd95": max(np.percentile(forth, 95), np.percentile(back, 95)),
                }
            )

    @pytest.mark.filterwarnings("ignore:.*always_return_as_numpy")  # MONAI warns of itself
    def test_is_what_monai_says(self):
        random = np.random.default_rng(3)
        for _ in range(20):
            truth, found = np.zeros((2, 20, 30), bool)
            for mask in (truth, found):
                row, column = random.integers(0, 10, 2)
                mask[row : row + 8, column : column + 12] = random.random((8, 12)) < 0.9
            tensors = [torch.from_numpy(mask)[None, None].float() for mask in (found, truth)]
            options = {"include_background": True, "spacing": [0.5, 2.0]}
            measured = measure(truth, found, spacing=(0.5, 2.0))
            assert measured["hd95"] == pytest.approx(
                float(compute_hausdorff_distance(*tensors, percentile=95, **options))
            )
            expected = compute_average_surface_distance(*tensors, symmetric=True, **options)
            assert measured["asd"] == pytest.approx(float(expected))

    def test_the_usual_tolerance_is_a_share_of_the_diagonal(self):
        truth, found = np.zeros((2, 301, 401), bool)
        truth[100:200, 100:200] = True
        found[103:203, 100:200] = True
        far = np.roll(truth, 4, axis=0)
        assert measure(truth, found)["boundary_f1"] == 1  # 3 pixels, of 3.75
        assert measure(truth, far)["boundary_f1"] < 1

    def test_counts_of_images_add_up(self):
        truth, found = np.zeros((2, 10, 10), bool)
        truth[2:5, 2:5] = True
        counts = [surface_counts(truth, found), surface_counts(truth, truth)]
        totals = {name: counts[0][name] + counts[1][name] for name in counts[0]}
        pooled = surface_metrics(totals)
        assert pooled["asd"] == pytest.approx(8 * np.hypot(9, 9) / (8 + 16))
        assert pooled["boundary_f1"] == pytest.approx(2 * (8 / 16) * 1 / (8 / 16 + 1))

    def test_spacing(self):
        with pytest.raises(ValueError, match="it must be 2 numbers above 0"):
            surface_counts(np.zeros((2, 2), bool), np.zeros((2, 2), bool), spacing=(0, 1))

    def test_other_shapes(self):
        with pytest.raises(ValueError, match="both must have the same shape"):
            surface_counts(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
