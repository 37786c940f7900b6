"""The package's random numbers in arithmetic that other runtimes have, number for number those of `_numerics`.

Signed integers of 32 bits, whose sums and products wrap: LiteRT adds no unsigned ones, and nothing there shifts to the
left. What must be unsigned is so for one shift to the right; a shift to the left is a product.
"""

from typing import Any

import keras
import numpy as np

from tfp_bnn._numerics.normal_quantile import (
    _CENTRE,
    _CENTRE_DENOMINATOR,
    _CENTRE_NUMERATOR,
    _TAIL_DENOMINATOR,
    _TAIL_NUMERATOR,
    _polynomial,
)
from tfp_bnn._numerics.threefry import _GROUPS_OF_ROUNDS, _PARITY, _ROTATIONS

Tensor = Any


def random_bits(first: Tensor, second: Tensor, count: Tensor) -> Tensor:
    """Returns random bits as int32: for each count that of `threefry.random_bits` with the key beside it.

    Args:
        first: first half of the keys, int32, a scalar or the shape of the counts.
        second: second half, likewise.
        count: int32 [size].

    Example:

    >>> from tfp_bnn._numerics import threefry
    >>> key, count = keras.ops.array([1, 2], "int32"), keras.ops.arange(3, dtype="int32")
    >>> expected = threefry.random_bits(keras.ops.cast(key, "uint32"), 3)
    >>> bits = keras.ops.convert_to_numpy(random_bits(key[0], key[1], count))
    >>> bool(np.all(bits.view("uint32") == keras.ops.convert_to_numpy(expected)))
    True

    Source: Salmon et al. 2011, "Parallel Random Numbers: As Easy as 1, 2, 3", section 3.4 (20 rounds).
    """
    ops = keras.ops
    keys = (first, second, ops.bitwise_xor(ops.bitwise_xor(first, second), _int32(_PARITY)))
    left, right = ops.zeros_like(count) + keys[0], count + keys[1]
    for group in range(_GROUPS_OF_ROUNDS):
        for rotation in _ROTATIONS[group % 2]:
            left = left + right
            right = ops.bitwise_xor(_rotate_left(right, rotation), left)
        left = left + keys[(group + 1) % 3]
        right = right + (keys[(group + 2) % 3] + _int32(group + 1))
    return ops.bitwise_xor(left, right)


def standard_normals(bits: Tensor) -> Tensor:
    """Returns the draws from N(0, 1) that `normal_quantile.standard_normals` makes of these bits, int32, as float32.

    Example:

    >>> float(standard_normals(keras.ops.array([0], "int32"))[0])  # doctest: +ELLIPSIS
    6.33...

    Source: Wichura 1988, "Algorithm AS 241: The Percentage Points of the Normal Distribution" (PPND7).
    """
    ops = keras.ops
    upper = _shift_right(bits, 1)
    last_bit = bits - upper * _int32(2)
    p = (ops.cast(upper, "float32") + 0.5) * 2**-32
    from_centre = 0.5 - p
    is_central = from_centre <= _CENTRE
    central, tail = _CENTRE**2 - ops.square(from_centre), ops.sqrt(-ops.log(p)) - 1.6
    numerator = ops.where(
        is_central, from_centre * _polynomial(_CENTRE_NUMERATOR, central), _polynomial(_TAIL_NUMERATOR, tail)
    )
    denominator = ops.where(is_central, _polynomial(_CENTRE_DENOMINATOR, central), _polynomial(_TAIL_DENOMINATOR, tail))
    side = ops.cast(last_bit, "float32") * 2 - 1
    return -side * numerator / denominator


def _rotate_left(bits: Tensor, by: int) -> Tensor:
    return keras.ops.bitwise_xor(bits * _int32(1 << by), _shift_right(bits, 32 - by))


def _shift_right(bits: Tensor, by: int) -> Tensor:
    """Returns the bits shifted to the right, with zeros on the left."""
    ops = keras.ops
    shifted = ops.bitwise_right_shift(ops.cast(bits, "uint32"), ops.convert_to_tensor(by, "uint32"))
    return ops.cast(shifted, "int32")


def _int32(bits: int) -> Tensor:
    """Returns 32 bits as a number with a sign."""
    return keras.ops.convert_to_tensor(int(np.uint32(bits).view("int32")), "int32")
