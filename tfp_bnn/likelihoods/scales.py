"""Scales that a network predicts, or that are given beside it: positive, and of the size of the targets."""

import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

Tensor = Any

MIN_SCALE = 1e-3
"""The least scale that a network can predict: of standardized targets, a thousandth of their standard deviation."""

INITIAL_SCALE = 1.0
"""The predicted scale where the network's output is 0, as it is about in a network whose inputs are standardized."""

# A scale so much smaller than the targets' standard deviation is not noise but the unit of y.
_MISFIT = 100.0


def positive(outputs: Tensor, least: float) -> Tensor:
    """Returns `least + (1 - least) (x + sqrt(x^2 + 4)) / 2`: a positive number of any output x, 1 of x = 0.

    Unlike softplus and the exponential it falls slowly, as -1 / x, for large negative outputs. Before training these
    are as large as the inputs, and the loss divides by the square of the scale.

    Example:

    >>> [round(float(positive(keras.ops.convert_to_tensor(x), least=0.0)), 4) for x in (-10.0, 0.0, 10.0)]
    [0.099, 1.0, 10.099]
    """
    ops = keras.ops
    larger = 0.5 * (ops.abs(outputs) + ops.sqrt(ops.square(outputs) + 4.0))
    # The values of x and -x have the product 1; the sum itself would cancel.
    return least + (1.0 - least) * ops.where(outputs < 0, 1.0 / larger, larger)


def check_least(name: str, value: float) -> float:
    """Returns `value` if a predicted scale can have it as its least; raises ValueError otherwise."""
    if not 0 < value < INITIAL_SCALE:
        raise ValueError(f"`{name}` must be between 0 and 1. Received: {name}={value}")
    return value


def warn_of_earlier_link(config: Mapping[str, Any], name: str) -> None:
    """Warns if a config is one of version 0.1.0, whose networks learned scales as another function of their outputs.

    Args:
        config: of a likelihood with a predicted scale or concentration.
        name: of the least value, which those configs do not have.
    """
    if name not in config:
        warnings.warn(
            "A likelihood of tfp_bnn 0.1.0 or older is loaded, whose predicted scale was softplus of the output; now "
            "it is another function, so train the network again, or its standard deviations are wrong.",
            UserWarning,
            stacklevel=3,
        )


def warn_of_units(stddev: np.ndarray | float, scale: float, predicted: bool) -> None:
    """Warns once if the standard deviation of a target is a hundred times the scale, or more."""
    largest = float(np.max(stddev, initial=0.0))
    if largest >= _MISFIT * scale:
        kind = "the scale that the network predicts starts at" if predicted else "the likelihood has a scale of"
        warnings.warn(
            f"The targets have a standard deviation of {largest:.4g} where {kind} {scale:.4g}: standardize them, "
            "y = (y - y.mean()) / y.std(), or training may find nothing but their spread.",
            UserWarning,
            stacklevel=3,
        )
