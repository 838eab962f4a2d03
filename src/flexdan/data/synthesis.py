"""A synthetic set in the manner of glands in colon tissue stained with haematoxylin and eosin, with instance masks.

Every image is drawn from its seed alone: shapes first, then the amount of each dye at every pixel, then a photograph
of the slide. Colour by itself does not say what is a gland: clefts, fat and vessels are as white as a lumen, and
lymphocytes as purple as the epithelium.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from flexdan.data.synthesis_glands import Glands, paint_glands, place_glands
from flexdan.data.synthesis_stroma import paint_stroma
from flexdan.data.synthesis_texture import Stain, develop, draw_stain

MARGIN = 10  # pixels drawn around the image and cut off, so that nuclei and blur run over its border
SMALLEST = 30  # pixels; what a cut at the border leaves of a gland below this is background


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What all images of one synthetic patient share.

    Args:
        stain: colours of both dyes.
        malignant: whether the glands are irregular, with crowded dark nuclei.
    """

    stain: Stain
    malignant: bool


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient; two in five are malignant."""
    return Patient(stain=draw_stain(rng), malignant=bool(rng.uniform() < 0.4))


def patient_of(seed: int, patient: int) -> Patient:
    """Return the patient with this number in the set of this seed."""
    return draw_patient(_generator(seed, 1, patient))


def image_of(seed: int, index: int, height: int, width: int, patient: Patient) -> tuple[np.ndarray, np.ndarray]:
    """Return image and instances of one place in the set of this seed, however many images the set has."""
    return synthesize_image(_generator(seed, 0, index), height, width, patient)


def synthesize_image(
    rng: np.random.Generator, height: int, width: int, patient: Patient | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image and its mask.

    Glands are about 40 to 150 pixels across, whatever the size of the image.

    Args:
        rng: source of randomness; the same state gives the same image.
        height: in pixels.
        width: in pixels.
        patient: colours and grade; None: a new patient.

    Returns:
        the image, uint8 (H, W, 3), and the instances, uint16 (H, W): 0 is background, 1, 2, … one gland each, lumen
        included, each one connected.
    """
    patient = patient or draw_patient(rng)
    shape = (height + 2 * MARGIN, width + 2 * MARGIN)
    glands = place_glands(rng, shape, patient.malignant)
    haematoxylin, eosin = paint_stroma(rng, glands.labels)
    paint_glands(rng, glands, haematoxylin, eosin)
    image = develop(rng, haematoxylin, eosin, patient.stain)
    cut = (slice(MARGIN, -MARGIN), slice(MARGIN, -MARGIN))
    return np.ascontiguousarray(image[cut]), _number_instances(glands, cut)


def _number_instances(glands: Glands, cut: tuple[slice, slice]) -> np.ndarray:
    """Number the connected parts of the glands inside the image 1, 2, … without a gap."""
    labels = glands.labels[cut]
    instances = np.zeros(labels.shape, np.uint16)
    count = 0
    for label, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        parts, number = ndimage.label(labels[box] == label)  # type: ignore[misc]
        for part in range(1, number + 1):
            here = parts == part
            if here.sum() >= SMALLEST:
                count += 1
                instances[box][here] = count
    return instances


def _generator(seed: int, kind: int, index: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, index)))
