import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_objects import naive_metrics

from flexdan.metrics import object_counts, object_metrics


def measure(*pairs, spacing=None):
    """The metrics pooled over pairs of label images."""
    counts = [object_counts(np.asarray(truth), np.asarray(found), spacing=spacing) for truth, found in pairs]
    totals = {name: sum(one[name] for one in counts) for name in counts[0]}
    return {name: float(value) for name, value in object_metrics(totals).items()}


def squares(*corners, size=4, shape=(20, 30)):
    """A label image of squares with these upper left corners."""
    labels = np.zeros(shape, int)
    for label, (row, column) in enumerate(corners, 1):
        labels[row : row + size, column : column + size] = label
    return labels


@st.composite
def label_images(draw):
    """A pair of label images: the second is new, or the first with objects moved, lost, split or merged."""
    shape = draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    random = np.random.default_rng(draw(st.integers(0, 100_000)))
    largest = draw(st.sampled_from([1, 2, 6, 2**31, 2**40]))

    def blobs():
        labels = np.zeros(shape, np.int64)
        for _ in range(random.integers(0, 6)):
            row, column = random.integers(0, shape[0]), random.integers(0, shape[1])
            height, width = random.integers(1, 7, 2)
            labels[row : row + height, column : column + width] = random.integers(1, largest + 1)
        return labels

    truth = blobs()
    found = blobs() if draw(st.booleans()) else np.roll(truth, random.integers(0, 3, 2), (0, 1))
    if draw(st.booleans()) and found.any():
        found = np.where(random.random(shape) < 0.2, 0, found)
    return truth, found


class TestByHand:
    def test_the_definitions_on_two_glands_of_which_one_is_found_too_large_and_one_missed(self):
        truth = squares((2, 2), (2, 20))  # two objects of 16 pixels
        found = np.zeros((20, 30), int)
        found[2:6, 2:8] = 7  # 24 pixels, 16 of them in the first object
        found[15, 15] = 9  # and a speck: 1 pixel
        measured = measure((truth, found))
        dice = 2 * 16 / (16 + 24)
        speck_to_first = math.hypot(13, 13)  # from the first object's farthest pixel (2, 2)
        speck_to_second = math.hypot(13, 8)  # from (2, 23), which is nearer
        missed_to_found = 18.0  # from column 2 of the found one, 20 - 2; and 23 - 7 = 16 the other way
        missed_to_speck = speck_to_second
        assert measured["precision"] == 1 / 2
        assert measured["recall"] == 1 / 2
        assert measured["f1"] == 1 / 2
        assert measured["object_dice"] == pytest.approx((24 / 25 * dice + 16 / 32 * dice) / 2)
        assert speck_to_second < speck_to_first
        assert missed_to_speck < missed_to_found
        hausdorff = 2.0  # the found one reaches two columns beyond the true one
        expected = (
            24 / 25 * hausdorff + 1 / 25 * speck_to_second + 16 / 32 * hausdorff + 16 / 32 * missed_to_speck
        ) / 2
        assert measured["object_hausdorff"] == pytest.approx(expected)
        assert measured["aji"] == pytest.approx(16 / (24 + 16 + 1))
        assert measured["panoptic_quality"] == pytest.approx((16 / 24) / 2)
        assert measured["ap65"] == pytest.approx(1 / 3)
        assert measured["ap70"] == 0

    def test_half_of_an_object_is_enough_and_less_is_not(self):
        truth = squares((0, 0))
        half, less = np.zeros_like(truth), np.zeros_like(truth)
        half[:2, :4] = 1
        less[:2, :4] = 1
        less[0, 0] = 0
        assert measure((truth, half))["f1"] == 1
        assert measure((truth, less))["f1"] == 0

    def test_two_halves_of_an_object_are_both_true_positives_and_nothing_is_missed(self):
        truth, found = squares((0, 0)), squares((0, 0))
        found[2:4, :4] = 2
        counts = object_counts(truth, found)
        assert (counts["true_positives"], counts["detected"]) == (2, 1)
        assert counts["matches_50"] == 1
        assert measure((truth, found))["f1"] == 1

    def test_halves_on_both_sides_match_once_each(self):
        truth = squares((0, 0), (10, 0), (12, 0), size=4)
        truth[12:14, :4], truth[10:12, :4], truth[14:] = 3, 2, 0
        found = squares((0, 0), (10, 0))
        found[2:4, :4] = 3
        assert object_counts(truth, found)["matches_50"] == 2

    def test_an_object_over_two_others_counts_for_the_one_it_shares_most_with(self):
        truth = squares((0, 0), (0, 4), size=4)
        truth[3, 4:8] = 0  # the second has 12 pixels
        found = np.where(truth > 0, 5, 0)
        counts = object_counts(truth, found)
        assert (counts["true_positives"], counts["detected"], counts["truth_objects"]) == (1, 1, 2)
        assert counts["aji_intersection"] == 16 + 12  # one segmented object serves both true ones there

    def test_merged_glands_cost_what_pixels_do_not_show(self):
        truth = squares((0, 0), (0, 4), size=4)
        measured = measure((truth, (truth > 0).astype(int)))
        assert measured["dice"] == 1
        assert measured["f1"] == pytest.approx(2 / 3)
        assert measured["object_dice"] == pytest.approx(2 * 16 / 48)

    def test_sets_of_objects_run_over_all_images_and_images_are_not_averaged(self):
        few = (squares((0, 0)), squares((0, 0)))
        many = (squares((0, 0), (0, 10), (10, 0)), np.zeros((20, 30), int))
        assert measure(few, many)["recall"] == 1 / 4
        assert measure(few, many)["object_dice"] == pytest.approx((1 + 1 / 4) / 2)

    def test_spacing_stretches_distances_along_its_axis(self):
        truth, found = squares((0, 0)), squares((2, 0))
        assert measure((truth, found), spacing=(3.0, 1.0))["object_hausdorff"] == 6
        assert measure((truth, found), spacing=(1.0, 3.0))["object_hausdorff"] == 2


class TestEmptySides:
    EMPTY = np.zeros((7, 9), int)
    ONE = np.pad(np.ones((2, 2), int), ((1, 4), (3, 4)))

    def test_nothing_on_either_side_is_perfect(self):
        measured = measure((self.EMPTY, self.EMPTY))
        assert measured.pop("object_hausdorff") == 0
        assert set(measured.values()) == {1.0}

    @pytest.mark.parametrize("swap", [False, True])
    def test_one_empty_side_is_wrong_throughout_at_the_distance_of_the_diagonal(self, swap):
        pair = (self.ONE, self.EMPTY) if swap else (self.EMPTY, self.ONE)
        measured = measure(pair)
        assert measured.pop("object_hausdorff") == 10.0  # 6 by 8 pixels
        assert set(measured.values()) == {0.0}

    def test_objects_apart_score_nothing_but_have_a_distance(self):
        measured = measure((squares((0, 0)), squares((0, 10))))
        assert measured.pop("object_hausdorff") == 10
        assert set(measured.values()) == {0.0}


class TestAgainstTheNaiveVersion:
    @settings(max_examples=300, deadline=None)
    @given(pairs=st.lists(label_images(), min_size=1, max_size=3), spacing=st.sampled_from([(1.0, 1.0), (0.5, 2.0)]))
    def test_every_metric_is_the_same(self, pairs, spacing):
        expected = naive_metrics(pairs, spacing)
        measured = measure(*pairs, spacing=spacing)
        if expected is None:
            assert all(value == (name != "object_hausdorff") for name, value in measured.items())
        else:
            assert measured == pytest.approx(expected, abs=1e-12)

    def test_many_scattered_specks(self):
        random = np.random.default_rng(0)
        pairs = []
        for _ in range(3):
            truth, found = ((random.random((24, 24)) < 0.06) * np.arange(1, 577).reshape(24, 24) for _ in range(2))
            pairs.append((truth, found))
        assert measure(*pairs) == pytest.approx(naive_metrics(pairs), abs=1e-12)


class TestProperties:
    @settings(max_examples=100, deadline=None)
    @given(pair=label_images())
    def test_an_image_is_perfect_against_itself(self, pair):
        measured = measure((pair[0], pair[0]))
        assert measured.pop("object_hausdorff") == 0
        assert set(measured.values()) == {1.0}

    @settings(max_examples=100, deadline=None)
    @given(pair=label_images())
    def test_neither_mirroring_nor_swapping_the_sides_changes_what_is_symmetric(self, pair):
        truth, found = pair
        assert measure((truth[::-1], found[::-1])) == pytest.approx(measure(pair))
        there, back = measure(pair), measure((found, truth))
        for name in ("object_dice", "object_hausdorff", "panoptic_quality", "ap", "dice", "iou"):
            assert there[name] == pytest.approx(back[name])

    def test_labels_are_names_only(self):
        truth, found = squares((0, 0), (5, 5)), squares((1, 0), (6, 5))
        large = np.array([0, 2**31 + 5, 2**31 - 1], np.uint64)
        assert measure((large[truth], found.astype(np.uint8))) == measure((truth, found))

    def test_distances_may_be_left_out(self):
        counts = object_counts(squares((0, 0)), squares((1, 1)), distances=False)
        assert math.isnan(object_metrics(counts)["object_hausdorff"])
        assert object_metrics(counts)["object_dice"] == measure((squares((0, 0)), squares((1, 1))))["object_dice"]

    def test_three_dimensions(self):
        truth = np.zeros((4, 5, 6), int)
        truth[1:3, 1:3, 1:3] = 1
        assert measure((truth, np.roll(truth, 1, axis=0)))["object_hausdorff"] == 1


class TestFailures:
    def test_other_shapes(self):
        with pytest.raises(ValueError, match=r"truth is \(2, 3\) and segmented \(3, 2\)"):
            object_counts(np.zeros((2, 3), int), np.zeros((3, 2), int))

    def test_negative_labels(self):
        with pytest.raises(ValueError, match="segmented holds the label -1"):
            object_counts(np.zeros((2, 2), int), np.full((2, 2), -1))

    def test_probabilities(self):
        with pytest.raises(ValueError, match="truth has float64 values"):
            object_counts(np.zeros((2, 2)), np.zeros((2, 2), int))

    @pytest.mark.parametrize("spacing", [(1.0,), (1.0, 0.0)])
    def test_spacing(self, spacing):
        with pytest.raises(ValueError, match="it must be 2 numbers above 0"):
            object_counts(np.zeros((2, 2), int), np.zeros((2, 2), int), spacing=spacing)
