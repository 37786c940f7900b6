"""From random bits to standard normals, by the inverse of the normal distribution function."""

from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any

# Wichura's rational approximations, numerators and denominators with the constant term first: one for
# |p - 1/2| <= 0.425, one for the tails.
_CENTRE = 0.425
_CENTRE_NUMERATOR = (3.3871327179, 50.434271938, 159.29113202, 59.109374720)
_CENTRE_DENOMINATOR = (1.0, 17.895169469, 78.757757664, 67.187563600)
_TAIL_NUMERATOR = (1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103)
_TAIL_DENOMINATOR = (1.0, 0.73700164250, 0.12021132975)


def standard_normals(bits: Tensor) -> Tensor:
    """Returns draws from N(0, 1), float32, one for each 32 random bits.

    31 of them, n, give the probability `p = (n + 1/2) / 2^32` of a value further out, and one the side. So the tails
    are as fine as the centre, and reach 6.3 standard deviations.

    The last operation is a division on purpose: XLA computes a division once, but repeats whatever is cheaper, with all
    that leads to it down to the random bits, in each loop that uses the numbers.

    Args:
        bits: uint32.

    Example:

    >>> float(standard_normals(keras.ops.array([0], "uint32"))[0])  # doctest: +ELLIPSIS
    6.33...

    Source: Wichura 1988, "Algorithm AS 241: The Percentage Points of the Normal Distribution" (PPND7, whose second
    tail begins beyond the smallest p here).
    """
    ops = keras.ops
    one = ops.convert_to_tensor(1, "uint32")
    p = (ops.cast(ops.cast(ops.bitwise_right_shift(bits, one), "int32"), "float32") + 0.5) * 2**-32
    from_centre = 0.5 - p
    is_central = from_centre <= _CENTRE
    central, tail = _CENTRE**2 - ops.square(from_centre), ops.sqrt(-ops.log(p)) - 1.6
    numerator = ops.where(
        is_central, from_centre * _polynomial(_CENTRE_NUMERATOR, central), _polynomial(_TAIL_NUMERATOR, tail)
    )
    denominator = ops.where(is_central, _polynomial(_CENTRE_DENOMINATOR, central), _polynomial(_TAIL_DENOMINATOR, tail))
    side = ops.cast(ops.cast(bits & one, "int32"), "float32") * 2 - 1
    return -side * numerator / denominator


def _polynomial(coefficients: Sequence[float], x: Tensor) -> Tensor:
    *lower, result = coefficients
    for coefficient in reversed(lower):
        result = result * x + coefficient
    return result
