"""What the values in a mask file mean: the explicit mapping from file values to classes."""

from dataclasses import dataclass

import numpy as np

from flexdan.config import IGNORE, UserError

KINDS = ("binary", "instances")


@dataclass(frozen=True)
class MaskValues:
    """The meaning of mask values, as it stands in a manifest.

    Written as ``binary`` (0 is background, everything else the foreground), ``instances`` (0 is background, every other
    value one object of the foreground), or a mapping such as ``0=0 128=1 #ff0000=2 255=ignore`` from file values or
    colours to classes.

    Args:
        kind: binary, instances or classes.
        classes: for classes: file value to class, `IGNORE` for pixels that do not count.
    """

    kind: str
    classes: tuple[tuple[int, int], ...] = ()

    @staticmethod
    def parse(text: str) -> "MaskValues":
        """Read the form that stands in a manifest.

        Raises:
            UserError: if it is neither a known word nor a mapping to classes 0, 1, 2, … without a gap, up to 254.
        """
        text = text.strip()
        if text in KINDS:
            return MaskValues(text)
        pairs = [pair.split("=") for pair in text.replace(",", " ").split()]
        try:
            classes = tuple(
                (int(value[1:], 16) if value.startswith("#") else int(value), IGNORE if to == "ignore" else int(to))
                for value, to in pairs
            )
        except ValueError:
            pairs, classes = [], ()
        for value, to in pairs:
            if to != "ignore" and int(to) >= IGNORE:
                raise UserError(
                    f"mask values hold {value}={to}, the class {to}, but classes are 0 to {IGNORE - 1}: "
                    f"say {value}=ignore for pixels that do not count"
                )
        used = sorted({to for _, to in classes} - {IGNORE})
        if used != list(range(len(used))) or len(used) < 2 or len(dict(classes)) != len(classes):
            raise UserError(
                f"mask values {text!r} are not understood: say binary, instances, or a mapping such as "
                "'0=0 128=1 255=ignore' to classes 0, 1, 2, … without a gap, each value once"
            )
        return MaskValues("classes", classes)

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return 2 if self.kind in KINDS else 1 + max(to for _, to in self.classes if to != IGNORE)

    def to_classes(self, values: np.ndarray, name: str) -> np.ndarray:
        """Turn file values (H, W) into classes, uint8 (H, W) with `IGNORE` where a pixel does not count.

        Args:
            values: integers as they stand in the file.
            name: the file, for the error message.

        Raises:
            UserError: if a value stands in the mask but not in the mapping, or a label of an object is below 0.
        """
        if self.kind == "instances" and values.min(initial=0) < 0:
            raise UserError(f"mask {name} holds the label {values.min()}: 0 is background, and objects are above it")
        if self.kind in KINDS:
            return (values != 0).astype(np.uint8)
        found, inverse = np.unique(values, return_inverse=True)
        mapping = dict(self.classes)
        unknown = [int(value) for value in found if int(value) not in mapping]
        if unknown:
            raise UserError(
                f"mask {name} holds the value{'s' if len(unknown) > 1 else ''} {unknown[:10]}, but the mapping has "
                f"only {sorted(mapping)}: correct mask_values in the manifest"
            )
        return np.array([mapping[int(value)] for value in found], dtype=np.uint8)[inverse].reshape(values.shape)

    def to_objects(self, values: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Turn file values (H, W) into objects, integers (H, W): 0 is background, every other value one object.

        Masks that do not name their objects have one for each connected region of a class (eight neighbours). Pixels
        that do not count are background.

        Args:
            values: as they stand in the file.
            classes: what `to_classes` made of them.
        """
        if self.kind == "instances":
            return values
        from skimage.measure import label  # takes a while, and training needs no objects

        return np.asarray(label(np.where(classes == IGNORE, 0, classes), connectivity=2))
