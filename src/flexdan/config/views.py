"""Views of an image over which a network's result may be averaged (test-time augmentation)."""

from typing import Literal

Views = bool | Literal["turns"]  # none; the image and its mirror images; and those after a quarter turn


def views_text(views: Views) -> str:
    """Return in words what is averaged."""
    return "mirror images and quarter turns" if views == "turns" else "mirror images"
