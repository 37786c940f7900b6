"""Images of noise: inputs that no training image is like."""

from numbers import Integral

import numpy as np


def gaussian_noise(num_images: int, image_shape: tuple[int, ...] = (28, 28, 1), seed: int = 0) -> np.ndarray:
    """Makes images of noise, every pixel drawn from N(0, 1): inputs that no training image is like.

    Args:
        num_images: how many.
        image_shape: shape of one image.
        seed: the same seed gives the same images.

    Returns:
        float32 [num_images, *image_shape].

    Raises:
        ValueError: if `num_images` or a size in `image_shape` is not a positive integer.

    Example:
    >>> gaussian_noise(3).shape
    (3, 28, 28, 1)
    """
    return np.random.default_rng(seed).standard_normal(_noise_shape(num_images, image_shape), dtype=np.float32)


def uniform_noise(num_images: int, image_shape: tuple[int, ...] = (28, 28, 1), seed: int = 0) -> np.ndarray:
    """Makes images of noise, every pixel drawn from U[0, 1): the range of real images, without their structure.

    Args, result and errors are those of `gaussian_noise`.

    Example:
    >>> uniform_noise(2, image_shape=(8, 8, 3)).shape
    (2, 8, 8, 3)
    """
    return np.random.default_rng(seed).random(_noise_shape(num_images, image_shape), dtype=np.float32)


def _noise_shape(num_images: int, image_shape: tuple[int, ...]) -> tuple[int, ...]:
    shape = (num_images, *image_shape)
    if any(not isinstance(size, Integral) or size < 1 for size in shape):
        raise ValueError(
            "`num_images` and every size in `image_shape` must be positive integers. "
            f"Received: num_images={num_images!r}, image_shape={image_shape!r}"
        )
    return shape
