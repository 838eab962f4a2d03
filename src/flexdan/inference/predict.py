"""Class probabilities of an image of any size, at its own resolution."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from flexdan.config import Views
from flexdan.data.tensors import resize_image, to_tensor
from flexdan.data.windows import extend

WHOLE_UP_TO = 1.25  # times the size of the training images: so far, an image is resized as a whole
FLIPS = ((), (3,), (2,), (2, 3))  # axes of (N, C, H, W): as it is, left-right, top-bottom, both


class ViewMean(nn.Module):
    """A network's mean over views of the image (test-time augmentation).

    The probabilities of the image as it is, mirrored left-right, top-bottom, and both ways are turned back and
    averaged; the logarithm of their mean is returned, so that softmax gives the mean again.

    Args:
        network: images (N, C, H, W) to logits (N, K, H, W).
        turns: average over the same four views of the image after a quarter turn too.
    """

    def __init__(self, network: nn.Module, turns: bool = False):
        super().__init__()
        self.network = network
        self.turns = turns

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, H, W) to logits (N, K, H, W)."""
        total = self._over_flips(images)
        if self.turns:
            total = (total + self._over_flips(images.rot90(1, (2, 3))).rot90(-1, (2, 3))) / 2
        return as_logits(total)

    def _over_flips(self, images: Tensor) -> Tensor:
        probabilities = [self.network(images.flip(axes)).float().softmax(1).flip(axes) for axes in FLIPS]
        return torch.stack(probabilities).mean(0)


def over_views(network: nn.Module, views: Views) -> nn.Module:
    """Return a network, or its mean over views where there are some."""
    return ViewMean(network, turns=views == "turns") if views else network


def as_logits(probabilities: Tensor) -> Tensor:
    """Return what softmax makes the probabilities (N, K, H, W) of again, also where one is 0."""
    return probabilities.clamp(min=torch.finfo(torch.float32).tiny).log()


def predict_image(
    network: nn.Module,
    pixels: np.ndarray,
    *,
    image_size: tuple[int, int],
    native_size: tuple[int, int],
    mean: float,
    std: float,
    tta: Views = False,
    overlap: float = 0.25,
    scale: float | None = None,
    device: torch.device | str = "cpu",
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> np.ndarray:
    """Return the class probabilities of one image at its own resolution.

    An image up to 1.25 times as high and as wide as the training images were, however small, is resized as a whole to
    `image_size`, as in training. A larger one is reduced by the factor by which the training images were (each axis its
    own), and a window of `image_size` slides over it; where windows overlap, their probabilities are blended with
    Gaussian weights. An image that is then smaller than the window is extended by reflection. The probabilities go back
    to the image's own size by bilinear interpolation (pixel centres aligned, not corners).

    Args:
        network: images (N, C, h, w) to logits (N, K, h, w), on `device`; it is in evaluation mode meanwhile.
        pixels: uint8 (H, W, C).
        image_size: height and width of the network's input in training.
        native_size: typical height and width of the training images before they were resized.
        mean: subtracted from the intensities 0..1.
        std: divides them after that.
        tta: average over views, see `ViewMean`: true, flips; turns: flips and quarter turns.
        overlap: share of the window by which neighbours overlap, at least 0 and below 1.
        scale: network pixels per image pixel; given, the window slides over the image reduced by it, whatever its size.
        device: where the network is; the whole image stays in main memory.
        autocast: makes the context of each forward pass.

    Returns:
        float32 (K, H, W), on the CPU; the classes of a pixel add up to 1.
    """
    height, width = pixels.shape[:2]
    network = over_views(network, tta)

    def probabilities(images: Tensor) -> Tensor:
        with autocast():
            logits = network(images)
        return logits.float().softmax(1)

    with evaluation_mode(network):
        if scale is None and height <= WHOLE_UP_TO * native_size[0] and width <= WHOLE_UP_TO * native_size[1]:
            images = to_tensor(resize_image(pixels, image_size), mean, std)
            found = probabilities(images.to(device)).cpu()
        else:
            factors = (scale, scale) if scale else (image_size[0] / native_size[0], image_size[1] / native_size[1])
            reduced = (max(round(height * factors[0]), 1), max(round(width * factors[1]), 1))
            images = to_tensor(extend(resize_image(pixels, reduced), image_size), mean, std)
            found = _slide(probabilities, images, image_size, overlap, torch.device(device))
            found = found[:, :, : reduced[0], : reduced[1]]
        del images  # a large image needs the memory for its probabilities
        if found.shape[2:] != (height, width):
            found = interpolate(found, (height, width), mode="bilinear", align_corners=False)
    return found[0].contiguous().numpy()


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients inside the block; every module is in its own mode again afterwards."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def _slide(
    probabilities: Callable[[Tensor], Tensor],
    images: Tensor,
    window: tuple[int, int],
    overlap: float,
    device: torch.device,
) -> Tensor:
    """Run windows over images (1, C, H, W); the blended result (1, K, H, W) is on the CPU."""
    if images.shape[2:] == window:
        return probabilities(images.to(device)).cpu()
    from monai.inferers.utils import sliding_window_inference  # takes seconds, and most images need no window

    blended = sliding_window_inference(
        images,
        roi_size=window,
        sw_batch_size=1 if device.type == "cpu" else 4,
        predictor=probabilities,
        overlap=overlap,
        mode="gaussian",
        sw_device=device,
        device="cpu",
    )
    assert isinstance(blended, Tensor)
    return blended
