"""What mask values mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flexdan.config import UserError
from flexdan.data import IGNORE, MaskValues

VALUES = np.array([[0, 1, 2], [128, 255, 0]])


@pytest.mark.parametrize(
    ("text", "classes", "expected"),
    [
        ("binary", 2, [[0, 1, 1], [1, 1, 0]]),
        ("instances", 2, [[0, 1, 1], [1, 1, 0]]),
        ("0=0 1=1 2=1 128=2 255=ignore", 3, [[0, 1, 1], [2, IGNORE, 0]]),
        ("0=0,1=1,2=1,128=2,255=ignore", 3, [[0, 1, 1], [2, IGNORE, 0]]),
        (" 0=1 1=0 2=0 128=0 255=0 ", 2, [[1, 0, 0], [0, 0, 1]]),
        ("0=0 1=1 2=1 #80=1 #ff=1", 2, [[0, 1, 1], [1, 1, 0]]),
    ],
)
def test_values_become_classes(text, classes, expected):
    meaning = MaskValues.parse(text)
    result = meaning.to_classes(VALUES, "mask.png")
    assert meaning.num_classes == classes
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, expected)


def test_colours_become_classes():
    values = np.array([[0, 0xFF0000], [0x00FF00, 0xFFFFFF]])
    meaning = MaskValues.parse("#000000=0 #ff0000=1 #00FF00=2 #ffffff=ignore")
    np.testing.assert_array_equal(meaning.to_classes(values, "mask.png"), [[0, 1], [2, IGNORE]])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Binary",
        "0=0",  # one class only
        "0=0 1=2",  # a gap
        "1=1 2=2",  # no background
        "0=0 1=1 1=2",  # a value twice
        "0=0 1=-1",
        "0=0 1",
        "0=0 red=1",
        "0=0 #gg0000=1",
        "0=0 1=one",
        "0=ignore 1=ignore",
    ],
)
def test_other_words_are_refused_with_the_choices(text):
    with pytest.raises(UserError, match="say binary, instances, or a mapping") as caught:
        MaskValues.parse(text)
    assert repr(text.strip()) in str(caught.value)


@pytest.mark.parametrize("last", [255, 256])
def test_classes_from_255_on_are_refused(last):
    mapping = [f"{value}={value}" for value in range(last + 1)]
    assert MaskValues.parse(" ".join(mapping[:255])).num_classes == 255
    for text in (" ".join(mapping), f"0=0 1=1 2={last}"):
        with pytest.raises(UserError, match=r"the class 25[56], but classes are 0 to 254.*=ignore"):
            MaskValues.parse(text)


def test_values_without_a_meaning_are_named():
    with pytest.raises(UserError, match=r"mask a.png holds the values \[2, 255\].*only \[0, 1, 128\]"):
        MaskValues.parse("0=0 1=1 128=2").to_classes(VALUES, "a.png")


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_a_mapping_acts_pixel_by_pixel(pixels):
    mapping = {0: 0, 1: 1, 2: 2, 3: 1, 4: 0, 5: IGNORE}
    meaning = MaskValues.parse(" ".join(f"{v}={'ignore' if to == IGNORE else to}" for v, to in mapping.items()))
    result = meaning.to_classes(np.array([pixels]), "mask.png")
    assert result.tolist() == [[mapping[value] for value in pixels]]
