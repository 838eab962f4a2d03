"""Objects from probabilities: constructed pictures, and properties that hold for any."""

from collections import deque

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

from flexdan.config import PostprocessingConfig
from flexdan.inference import to_instances

DISTANCE = PostprocessingConfig(split="distance")


def two_classes(foreground: np.ndarray) -> np.ndarray:
    """Return the probabilities (2, H, W) of a foreground, 0..1."""
    foreground = np.asarray(foreground, np.float32)
    return np.stack([1 - foreground, foreground])


def one_hot(classes: np.ndarray, count: int) -> np.ndarray:
    """Return certain probabilities (K, H, W) of classes (H, W)."""
    return (np.arange(count)[:, None, None] == classes).astype(np.float32)


def disc(size: tuple[int, int], centre: tuple[float, float], radius: float) -> np.ndarray:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 <= radius**2


def picture(*lines: str) -> np.ndarray:
    """Return digits as an array."""
    return np.array([[int(character) for character in line] for line in lines])


def regions(inside: np.ndarray, corners: bool = True) -> np.ndarray:
    """Number connected regions by walking through them, row by row."""
    labels, count = np.zeros(inside.shape, int), 0
    steps = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r or c) and (corners or not (r and c))]
    for start in np.argwhere(inside):
        if labels[tuple(start)]:
            continue
        count += 1
        labels[tuple(start)] = count
        queue = deque([tuple(start)])
        while queue:
            row, column = queue.popleft()
            for down, right in steps:
                place = row + down, column + right
                there = 0 <= place[0] < inside.shape[0] and 0 <= place[1] < inside.shape[1]
                if there and inside[place] and not labels[place]:
                    labels[place] = count
                    queue.append(place)
    return labels


def filled(inside: np.ndarray) -> np.ndarray:
    return np.asarray(ndimage.binary_fill_holes(inside))


SETTINGS = st.builds(
    PostprocessingConfig,
    threshold=st.sampled_from([0.3, 0.5, 0.6]),
    fill_holes=st.booleans(),
    min_size=st.sampled_from([0, 1, 2, 5, 20]),
    split=st.sampled_from(["none", "distance", "marker"]),
    split_depth=st.sampled_from([0.2, 0.5, 1.0, 2.0]),
    marker_threshold=st.sampled_from([0.7, 0.9]),
)
SHAPES = st.tuples(st.integers(1, 14), st.integers(1, 14))
VALUES = st.sampled_from(np.float32([0, 0.2, 0.4, 0.55, 0.65, 0.8, 1]))
FOREGROUNDS = SHAPES.flatmap(lambda shape: arrays(np.float32, shape, elements=VALUES)) | st.builds(
    lambda seed, blur: (lambda noise: (noise - noise.min()) / np.ptp(noise))(
        ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 50)), blur)
    ).astype(np.float32),
    st.integers(0, 2**32),
    st.floats(0.8, 4),
)
CLASSES = SHAPES.flatmap(lambda shape: arrays(np.int64, shape, elements=st.integers(0, 3)))


@settings(deadline=None)
@given(FOREGROUNDS, SETTINGS)
def test_what_holds_for_any_two_classes(foreground, chosen):
    labels = to_instances(two_classes(foreground), chosen)
    assert labels.dtype == np.int32
    assert labels.shape == foreground.shape
    assert np.unique(labels[labels > 0]).tolist() == list(range(1, labels.max() + 1))
    mask = foreground > np.float32(chosen.threshold)
    allowed = filled(mask) if chosen.fill_holes else mask
    assert not (labels > 0)[~allowed].any()
    if chosen.min_size <= 1:
        np.testing.assert_array_equal(labels > 0, allowed)
    for one in range(1, labels.max() + 1):
        assert (labels == one).sum() >= chosen.min_size
        assert regions(labels == one).max() == 1


@settings(deadline=None)
@given(FOREGROUNDS, SETTINGS)
def test_without_parting_objects_are_the_regions_and_again_the_same(foreground, chosen):
    chosen = PostprocessingConfig(threshold=chosen.threshold, fill_holes=chosen.fill_holes, min_size=chosen.min_size)
    labels = to_instances(two_classes(foreground), chosen)
    mask = foreground > np.float32(chosen.threshold)
    expected = regions(filled(mask) if chosen.fill_holes else mask)
    small = [one for one in range(1, expected.max() + 1) if (expected == one).sum() < chosen.min_size]
    expected[np.isin(expected, small)] = 0
    left = np.unique(expected[expected > 0])
    np.testing.assert_array_equal(labels, np.where(expected > 0, np.searchsorted(left, expected) + 1, 0))
    np.testing.assert_array_equal(to_instances(two_classes(labels > 0), chosen), labels)


@settings(deadline=None)
@given(CLASSES, SETTINGS)
def test_objects_of_several_classes_never_mix(classes, chosen):
    labels = to_instances(one_hot(classes, 4), chosen)
    assert np.unique(labels[labels > 0]).tolist() == list(range(1, labels.max() + 1))
    for one in range(1, labels.max() + 1):
        object_ = labels == one
        assert regions(object_).max() == 1
        assert object_.sum() >= chosen.min_size
        of = set(classes[object_ & (classes > 0)].tolist())
        assert len(of) == 1
        assert filled(classes == of.pop())[object_].all()
    if not chosen.fill_holes:
        assert not labels[classes == 0].any()
    if chosen.min_size <= 1:
        assert labels[classes > 0].all()


@settings(deadline=None)
@given(FOREGROUNDS, st.sampled_from([0.31, 0.77, 1.13, 2.29]))  # no difference of two square roots
def test_middles_by_shape_are_those_of_the_h_maxima_transform(foreground, depth):
    labels = to_instances(two_classes(foreground), PostprocessingConfig(split="distance", split_depth=depth))
    distance = ndimage.distance_transform_edt(np.pad(foreground > 0.5, 1))
    lowered = reconstruction(distance - depth, distance, footprint=np.ones((3, 3)))
    middles = regions(local_maxima(lowered, connectivity=2) & (distance > 0))[1:-1, 1:-1]
    whole = regions(foreground > 0.5)  # whose maximum is not as high as the depth have none
    for one in range(1, whole.max() + 1):
        inside = whole == one
        expected = max(1, len(np.unique(middles[inside & (middles > 0)])))
        assert len(np.unique(labels[inside])) == expected


def test_two_discs_part_at_the_neck_and_one_stays_one():
    size = (60, 90)
    left, right = disc(size, (30, 30), 18), disc(size, (30, 60), 18)
    labels = to_instances(two_classes(left | right), DISTANCE)
    assert labels.max() == 2
    for one, other in ((left & ~right, right & ~left), (right & ~left, left & ~right)):
        own = labels[one]
        assert (own == own[0]).all()
        assert not (labels[other] == own[0]).any()
    neck = np.flatnonzero(np.diff(labels[30]) != 0)
    assert len([at for at in neck if abs(at - 44.5) <= 1.5]) == 1  # halfway between the middles
    assert to_instances(two_classes(left), DISTANCE).max() == 1


def test_the_depth_says_how_deep_a_neck_must_be():
    """Discs of radius 18 whose middles are 30 apart: the neck is sqrt(18^2 - 15^2) = 9.9 wide, 8.1 less than 18."""
    size = (60, 90)
    both = disc(size, (30, 30), 18) | disc(size, (30, 60), 18)
    for depth, count in ((1, 2), (7, 2), (9, 1), (30, 1)):
        assert to_instances(two_classes(both), PostprocessingConfig(split="distance", split_depth=depth)).max() == count


def test_objects_at_the_edge_of_the_image_are_parted_too():
    size = (24, 90)
    both = disc(size, (0, 30), 18) | disc(size, (0, 60), 18)
    assert to_instances(two_classes(both), PostprocessingConfig(split="distance", split_depth=1)).max() == 2
    assert to_instances(two_classes(np.ones((24, 90))), DISTANCE).max() == 1


def test_markers_part_between_regions_of_high_probability():
    foreground = np.zeros((9, 30))
    foreground[2:7, 2:28] = 0.6
    foreground[4, 4:8] = foreground[4, 20:24] = 0.95
    foreground[2:7, 16] = 0.55  # the valley
    one = to_instances(two_classes(foreground), PostprocessingConfig())
    two = to_instances(two_classes(foreground), PostprocessingConfig(split="marker", marker_threshold=0.9))
    assert (one.max(), two.max()) == (1, 2)
    assert len(set(two[2:7, 2:16].ravel())) == len(set(two[2:7, 17:28].ravel())) == 1
    assert two[4, 5] != two[4, 22]
    unmarked = to_instances(two_classes(foreground), PostprocessingConfig(split="marker", marker_threshold=0.97))
    np.testing.assert_array_equal(unmarked, one)  # no seed: it stays whole


def test_a_marked_object_does_not_take_an_unmarked_one():
    foreground = np.zeros((5, 20))
    foreground[1:4, 1:6] = 0.95
    foreground[1:4, 10:15] = 0.6
    labels = to_instances(two_classes(foreground), PostprocessingConfig(split="marker"))
    assert labels.max() == 2
    assert labels[2, 3] != labels[2, 12] > 0


def test_holes_of_objects_are_filled_and_bays_are_not():
    ring = picture("0000000", "0111110", "0100010", "0101010", "0100010", "0111110", "0000000")
    full = to_instances(two_classes(ring), PostprocessingConfig(fill_holes=True))
    np.testing.assert_array_equal(full, disc((7, 7), (3, 3), 2.9).astype(int))
    assert to_instances(two_classes(ring), PostprocessingConfig()).max() == 2  # the ring, and what lies in it
    bay = ring.copy()
    bay[1, 3] = 0
    np.testing.assert_array_equal(to_instances(two_classes(bay), PostprocessingConfig(fill_holes=True)) > 0, bay > 0)
    cut = ring[:, 2:]  # open at the edge of the image: nobody knows
    np.testing.assert_array_equal(to_instances(two_classes(cut), PostprocessingConfig(fill_holes=True)) > 0, cut > 0)


def test_holes_go_to_the_innermost_class_and_other_classes_keep_what_they_have():
    classes = picture(
        "1111111111111",
        "1000000000001",
        "1022222220001",
        "1020000020301",
        "1020010020001",
        "1020000020001",
        "1022222220001",
        "1000000000001",
        "1111111111111",
    )
    labels = to_instances(one_hot(classes, 4), PostprocessingConfig(fill_holes=True))
    inner = (slice(2, 7), slice(2, 9))
    expected = np.ones_like(classes)
    expected[inner] = 2
    expected[3, 10] = 3
    expected[4, 5] = 4  # of class 1, in class 2
    numbers = np.array([0, 1, 3, 4, 2])  # by class, and row by row in it
    np.testing.assert_array_equal(labels, numbers[expected])


def test_two_classes_around_a_hole_leave_it():
    classes = picture("111222", "100002", "100002", "111222")
    labels = to_instances(one_hot(classes, 3), PostprocessingConfig(fill_holes=True))
    np.testing.assert_array_equal(labels, classes)


def test_touching_classes_stay_apart_and_the_most_probable_one_is_taken():
    classes = picture("0000", "1122", "1122", "0000")
    for chosen in (PostprocessingConfig(), DISTANCE, PostprocessingConfig(split="marker")):
        np.testing.assert_array_equal(to_instances(one_hot(classes, 3), chosen), classes)
    probabilities = np.array([0.45, 0.3, 0.25], np.float32)[:, None, None].repeat(4, 1).repeat(4, 2)
    probabilities[:, :, 2:] = np.array([0.45, 0.25, 0.3])[:, None, None]  # background is the most probable class
    labels = to_instances(probabilities, PostprocessingConfig())
    np.testing.assert_array_equal(labels, [[1, 1, 2, 2]] * 4)  # but foreground more probable than not


def test_specks_go_and_what_has_just_enough_pixels_stays():
    mask = picture("1001100", "0001110", "0000000", "1100001", "1000010")  # 1, 5, 3 and 2 pixels
    for min_size, expected in ((0, [1, 5, 3, 2]), (2, [5, 3, 2]), (3, [5, 3]), (5, [5]), (6, [])):
        labels = to_instances(two_classes(mask), PostprocessingConfig(min_size=min_size))
        sizes = np.bincount(labels.ravel())[1:].tolist()
        assert sorted(sizes) == sorted(expected)


def test_the_threshold_is_that_of_the_most_probable_class():
    probabilities = two_classes(np.array([[0.49, 0.5, 0.51]]))
    np.testing.assert_array_equal(to_instances(probabilities, PostprocessingConfig()), [[0, 0, 1]])
    np.testing.assert_array_equal(probabilities.argmax(0), [[0, 0, 1]])
    np.testing.assert_array_equal(to_instances(probabilities, PostprocessingConfig(threshold=0.3)), [[1, 1, 1]])


def test_half_precision_gives_the_same_objects():
    foreground = disc((60, 90), (30, 30), 18) | disc((60, 90), (30, 60), 18)
    probabilities = two_classes(0.1 + 0.8 * foreground)
    for chosen in (PostprocessingConfig(fill_holes=True), DISTANCE):
        expected = to_instances(probabilities, chosen)
        np.testing.assert_array_equal(to_instances(probabilities.astype(np.float16), chosen), expected)


@pytest.mark.parametrize("shape", [(4, 4), (1, 4, 4), (2, 4, 4, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"must be \(K, H, W\)"):
        to_instances(np.zeros(shape, np.float32), PostprocessingConfig())


@pytest.mark.parametrize("seed", range(12))
def test_regions_are_flooded_from_their_markers_as_the_whole_image_is(seed):
    """Only regions with several markers are flooded; the naive way floods all of them at once."""
    generator = np.random.default_rng(seed)
    height = ndimage.gaussian_filter(generator.random((60, 80)), generator.uniform(1, 3))
    height = ((height - height.min()) / np.ptp(height)).astype(np.float32)
    threshold, middle, size = generator.uniform(0.4, 0.6), generator.uniform(0.6, 0.9), int(generator.integers(0, 30))
    inside = height > threshold
    markers = label(inside & (height > middle), connectivity=2)
    sizes = np.bincount(markers.ravel())
    markers[sizes[markers] < size] = 0
    naive = watershed(-height, markers, mask=inside, connectivity=2)
    naive = np.where(naive > 0, naive, label(inside, connectivity=2) + markers.max())
    way = PostprocessingConfig(threshold=threshold, split="marker", marker_threshold=middle, min_middle=size)
    found = to_instances(np.stack([1 - height, height]), way)
    assert np.array_equal(found > 0, inside)
    pairs = {(one, other) for one, other in zip(naive[inside].tolist(), found[inside].tolist(), strict=True)}
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs}) > 1
