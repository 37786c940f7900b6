"""Images unlike those that a classifier has learned: of another data set, noise, and its own ones changed."""

from collections.abc import Callable

import numpy as np
import scipy.ndimage

import tfp_bnn as bnn
from scripts.common import reporting
from scripts.common.reporting import log

OTHER = {"mnist": "fashion_mnist", "fashion_mnist": "mnist"}


def rotated(images: np.ndarray, degrees: float) -> np.ndarray:
    """Returns images [n, height, width, 1] turned about their middle, counterclockwise."""
    return scipy.ndimage.rotate(images, degrees, axes=(2, 1), reshape=False, order=1).clip(0, 1)


def blurred(images: np.ndarray, pixels: float = 2.0) -> np.ndarray:
    """Returns images [n, height, width, 1] blurred by a normal kernel with this standard deviation in pixels."""
    return scipy.ndimage.gaussian_filter(images, (0, pixels, pixels, 0))


def inverted(images: np.ndarray) -> np.ndarray:
    """Returns images with white for black."""
    return 1 - images


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rotated_90": lambda images: rotated(images, 90),
    "blurred": blurred,
    "inverted": inverted,
}


def unfamiliar_images(dataset: bnn.datasets.Dataset, data_dir: str | None, count: int, seed: int) -> dict:
    """Returns at most `count` images of each kind, float32 [n, height, width, 1], by the name of the kind."""
    images = reporting.noise_images(count, dataset.x_test.shape[1:], seed)
    images |= {name: change(dataset.x_test[:count]) for name, change in CHANGES.items()}
    if (other := OTHER.get(dataset.name)) is None:
        log.info("no other data set: %s has images like all that could be loaded", dataset.name)
        return images
    return {other: bnn.datasets.load(other, data_dir).x_test[:count], **images}
