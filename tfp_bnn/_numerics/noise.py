"""Seeded standard normals and random signs: a seed gives the same ones on each backend, compiled or not.

Both are made from the bits of `threefry`, in one loop over memory if compiled; so they are always compiled, also
within a function that is not. (The numbers of double precision, which few need, come from the backend's generator.)
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfp_bnn import _backend
from tfp_bnn._numerics.normal_quantile import standard_normals
from tfp_bnn._numerics.threefry import random_bits

Tensor = Any
Draw = Callable[[Tensor, Any], Tensor]


def _normals(key: Tensor, size: Any) -> Tensor:
    return standard_normals(random_bits(key, size))


def _signs(key: Tensor, size: Any) -> Tensor:
    last_bit = keras.ops.bitwise_and(random_bits(key, size), keras.ops.convert_to_tensor(1, "uint32"))
    sign = 1.0 - 2.0 * keras.ops.cast(keras.ops.cast(last_bit, "int32"), "float32")
    # A division, so that XLA does not draw the sign of a channel anew for each position (see `standard_normals`). By
    # its square, not of 1 by the sign: Eigen's reciprocal of 1 is 1 - 6e-8.
    return sign / keras.ops.square(sign)


# TFP wants seeds of 32 bits with a sign; those of Keras have 64 on TensorFlow.
_SEEDS = 2**31 - 2

_draw_normals, _draw_signs = _backend.compile_draw(_normals), _backend.compile_draw(_signs)


class Noise:
    """A source of independent random numbers: every call takes the next seed.

    Args:
        next_seed: called once for each draw; returns an integer tensor of shape [2], another one each time.

    Example:

    >>> generator = keras.random.SeedGenerator(1)
    >>> noise = Noise(generator.next)
    >>> tuple(noise.normal((2, 3)).shape)
    (2, 3)
    """

    def __init__(self, next_seed: Callable[[], Tensor]):
        self._next_seed = next_seed

    def seed(self) -> Tensor:
        """Returns the next seed in the form that TFP's samplers take."""
        return _backend.as_seed(self._next_seed(), _SEEDS)

    def normal(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        """Returns independent draws from N(0, 1), of the given shape (a dynamic batch size is allowed) and dtype."""
        if dtype == "float64":
            return _backend.double_normals(self.seed(), shape)
        return self._draw(_draw_normals, shape, dtype)

    def signs(self, shape: Sequence[Any], dtype: str = "float32") -> Tensor:
        """Returns independent draws from {-1, +1}, equally likely, of the given shape and dtype."""
        return self._draw(_draw_signs, shape, dtype)

    def _draw(self, draw: Draw, shape: Sequence[Any], dtype: str) -> Tensor:
        key = keras.ops.cast(self.seed(), "uint32")
        return keras.ops.cast(keras.ops.reshape(draw(key, math.prod(shape)), shape), dtype)


def counted(seed: Tensor) -> Noise:
    """Returns the noise of one seed: the same draws, in the same order, each time it is made.

    Args:
        seed: integers of shape [2]; the draws take the seeds `[seed[0], seed[1]]`, `[seed[0], seed[1] + 1]` and so on.
    """
    count = iter(range(2**31))
    return Noise(lambda: seed + keras.ops.convert_to_tensor([0, next(count)], dtype=seed.dtype))
