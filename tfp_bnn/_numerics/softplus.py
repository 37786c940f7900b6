"""softplus, which keeps standard deviations positive and adds densities, and its inverse.

The values are those of Keras's softplus. The form is for XLA, which repeats what is cheap for each use of a result and
keeps what is not: a gradient that shares nothing with the value and ends in a division, and a value that ends in a
choice, are each computed in one loop over memory. Keras's softplus takes a training step of a wide layer nearly
twice as long.
"""

from typing import Any

import keras
import numpy as np

from tfp_bnn import _backend

Tensor = Any

# From here on softplus(x) = x in float32, and to 2e-9 in float64.
_LINEAR_FROM = 20.0


def _value(term: Tensor, x: Tensor) -> Tensor:
    ops = keras.ops
    curved = term + ops.log1p(ops.exp(ops.minimum(x, _LINEAR_FROM)))
    return ops.where(x > _LINEAR_FROM, term + x, curved)


def _slope_times(x: Tensor, upstream: Tensor) -> Tensor:
    return upstream / (1 + keras.ops.exp(-x))


_plus_softplus = _backend.with_slope(_value, _slope_times)


def plus_softplus(term: Tensor, x: Tensor) -> Tensor:
    """Returns `term + log(1 + exp(x))`, elementwise and without overflow, for tensors of one shape.

    It is the logarithm of a sum: of `exp(term)` and `exp(term + x)`.

    Example:

    >>> round(float(plus_softplus(keras.ops.ones(()), keras.ops.zeros(()))), 4)
    1.6931
    """
    return _plus_softplus(term, x)


def softplus(x: Tensor) -> Tensor:
    """Returns `log(1 + exp(x))`, elementwise and without overflow.

    Example:

    >>> round(float(softplus(keras.ops.zeros(()))), 4)
    0.6931
    """
    return plus_softplus(keras.ops.zeros_like(x), x)


def softplus_inverse(value: Any) -> Any:
    """Returns rho with `log(1 + exp(rho)) = value`, elementwise and without overflow; -inf for 0."""
    with np.errstate(divide="ignore"):
        return value + np.log(-np.expm1(-np.asarray(value)))
