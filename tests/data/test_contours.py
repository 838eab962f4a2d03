import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flexdan.config import IGNORE
from flexdan.data.contours import CONTOUR, contour_targets, mark_contours, without_contours
from flexdan.data.dataset import SegmentationDataset
from flexdan.data.manifest import ImageRecord, read_manifest
from flexdan.data.tensors import resize_mask


def naive(classes, objects, width):
    """Every pixel against every other within reach."""
    marked = classes.copy()
    height, length = classes.shape
    for row in range(height):
        for column in range(length):
            if objects[row, column] == 0 or classes[row, column] == IGNORE:
                continue
            for down in range(-width, width + 1):
                for right in range(-width, width + 1):
                    there = row + down, column + right
                    near = down**2 + right**2 <= width**2 and 0 <= there[0] < height and 0 <= there[1] < length
                    if near and classes[there] != IGNORE and objects[there] != objects[row, column]:
                        marked[row, column] = classes[row, column] + CONTOUR
    return marked


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, (9, 11), elements=st.sampled_from([0, 3, 3, 70_000])), st.integers(1, 3), st.data())
def test_contours_are_those_of_the_naive_version(objects, width, data):
    unknown = data.draw(arrays(bool, objects.shape, elements=st.integers(0, 9).map(lambda drawn: drawn == 0)))
    classes = np.where(unknown, IGNORE, np.where(objects == 70_000, 2, objects > 0)).astype(np.uint8)
    np.testing.assert_array_equal(mark_contours(classes, objects, width), naive(classes, objects, width))


def test_touching_objects_are_parted_and_the_edge_of_the_image_is_no_contour():
    objects = np.repeat([[1, 1, 1, 1, 2, 2, 2, 2, 0]], 5, axis=0)
    marked = mark_contours((objects > 0).astype(np.uint8), objects, 1)
    expected = [1, 1, 1, 1 + CONTOUR, 1 + CONTOUR, 1, 1, 1 + CONTOUR, 0]
    np.testing.assert_array_equal(marked, np.repeat([expected], 5, axis=0))


def test_marked_classes_become_targets_and_classes():
    marked = torch.tensor([[[0, 1, 2, 1 + CONTOUR, 2 + CONTOUR, IGNORE]]])
    assert contour_targets(marked, 3).tolist() == [[[0, 1, 2, 3, 3, IGNORE]]]
    assert without_contours(marked).tolist() == [[[0, 1, 2, 1, 2, IGNORE]]]
    assert torch.equal(without_contours(without_contours(marked)), without_contours(marked))


def test_too_many_classes_are_refused():
    with pytest.raises(ValueError, match="the class 127 has no contours"):
        mark_contours(np.full((3, 3), CONTOUR - 1, np.uint8), np.ones((3, 3), int), 1)


def test_a_dataset_marks_the_objects_at_the_size_of_the_network(discs):
    record = next(one for one in read_manifest(discs) if one.annotated)
    plain = SegmentationDataset([record], image_size=(16, 20), channels=3)[0][1]
    marked = SegmentationDataset([record], image_size=(16, 20), channels=3, contour_width=1)[0][1]
    assert torch.equal(without_contours(marked), plain)
    assert 0 < int((marked >= CONTOUR).sum()) < int((plain > 0).sum())
    unknown = ImageRecord(image=record.image, mask=None, mask_values="", annotated=False)
    assert (SegmentationDataset([unknown], image_size=(16, 20), channels=3, contour_width=1)[0][1] == IGNORE).all()


def test_labels_of_objects_survive_resizing():
    objects = np.array([[0, 70_000], [5, 2**31 - 1]])
    np.testing.assert_array_equal(resize_mask(objects, (4, 4)), np.kron(objects, np.ones((2, 2), int)))
