import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from skimage.measure import regionprops
from skimage.segmentation import clear_border

from flexdan.data.synthesis import draw_patient, image_of, patient_of, synthesize_image

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "synthetic.py"


@pytest.fixture(scope="module")
def small_set():
    """24 images of 12 patients."""
    return [image_of(5, index, 128, 192, patient_of(5, index // 2)) for index in range(24)]


def test_shapes_and_types():
    image, instances = synthesize_image(np.random.default_rng(0), 97, 131)
    assert image.shape == (97, 131, 3)
    assert image.dtype == np.uint8
    assert instances.shape == (97, 131)
    assert instances.dtype == np.uint16
    assert image.flags.c_contiguous


def test_same_seed_same_bytes_and_other_seed_others():
    first, again, other = (synthesize_image(np.random.default_rng(seed), 64, 96) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_images_do_not_depend_on_those_before():
    patient = patient_of(2, 0)
    alone = image_of(2, 1, 64, 96, patient)
    image_of(2, 0, 64, 96, patient)
    after = image_of(2, 1, 64, 96, patient_of(2, 0))
    np.testing.assert_array_equal(alone[0], after[0])
    np.testing.assert_array_equal(alone[1], after[1])


def test_images_of_one_patient_differ():
    patient = patient_of(0, 0)
    assert (image_of(0, 0, 64, 96, patient)[0] != image_of(0, 1, 64, 96, patient)[0]).mean() > 0.5


def test_both_grades_occur():
    grades = [patient_of(0, number).malignant for number in range(200)]
    assert 0.25 < np.mean(grades) < 0.55


def test_instances_are_consecutive_and_connected(small_set):
    for _, instances in small_set:
        count = int(instances.max())
        assert set(np.unique(instances)) >= set(range(1, count + 1))
        for label in range(1, count + 1):
            assert ndimage.label(instances == label)[1] == 1


@pytest.mark.parametrize("size", [(32, 32), (33, 200), (300, 40)])
def test_odd_sizes(size):
    for seed in range(4):
        image, instances = synthesize_image(np.random.default_rng(seed), *size)
        assert image.shape == (*size, 3)
        assert instances.shape == size


def test_statistics(small_set):
    """Golden values; the tolerances are wide enough for other versions of the libraries."""
    images = np.stack([image for image, _ in small_set]).astype(float)
    glands = np.stack([instances for _, instances in small_set]) > 0
    assert glands.mean() == pytest.approx(0.422, abs=0.06)
    assert np.mean([instances.max() for _, instances in small_set]) == pytest.approx(6, abs=1.5)
    red, green, blue = images[~glands].mean(axis=0)
    assert red == pytest.approx(203, abs=12)
    assert green == pytest.approx(141, abs=12)
    assert blue == pytest.approx(207, abs=12)
    red, green, blue = images[glands].mean(axis=0)
    assert red == pytest.approx(184, abs=12)
    assert green == pytest.approx(140, abs=12)
    assert blue == pytest.approx(202, abs=12)
    white = images.min(axis=-1) > 205  # lumens, but clefts, fat and vessels too
    assert white[glands].mean() == pytest.approx(0.169, abs=0.06)
    assert white[~glands].mean() == pytest.approx(0.078, abs=0.05)


def test_malignant_glands_are_less_round():
    def solidity(malignant: bool) -> float:
        found = []
        for seed in range(8):
            rng = np.random.default_rng(seed)
            patient = replace(draw_patient(rng), malignant=malignant)
            _, instances = synthesize_image(rng, 160, 240, patient)
            whole = clear_border(instances)
            found += [region.solidity for region in regionprops(whole) if region.area > 400]
        return float(np.mean(found))

    assert solidity(malignant=True) < solidity(malignant=False) - 0.02


def test_colour_alone_does_not_tell_glands(small_set):
    benchmark = runpy.run_path(str(BENCHMARK))
    pixels = np.stack([image.reshape(-1, 3) for image, _ in small_set])
    glands = np.stack([instances.ravel() > 0 for _, instances in small_set])
    for space in ("RGB", "Lab"):
        codes = [benchmark["colour_codes"](part.reshape(-1, 3), space) for part in (pixels[:16], pixels[16:])]
        iou = benchmark["colour_iou"](codes[0], glands[:16].ravel(), codes[1], glands[16:].ravel())
        assert glands[16:].mean() - 0.05 < iou < 0.75
