"""Checks of arguments that many parts of the package take."""

import numbers
from collections.abc import Sequence
from typing import Any


def check_count(name: str, value: Any) -> int:
    """Returns `value` if it is a positive integer; raises ValueError otherwise."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return int(value)


def check_image_shape(value: Any) -> tuple[int | None, ...]:
    """Returns `value` as a tuple if it is the shape of an image; raises ValueError otherwise."""
    if not isinstance(value, Sequence) or len(value) != 3:
        raise ValueError(f"`input_shape` must be (height, width, channels). Received: input_shape={value!r}")
    return tuple(value)


def check_type(name: str, value: Any, expected: type) -> Any:
    """Returns `value` if it is an `expected`; raises ValueError otherwise."""
    if not isinstance(value, expected):
        module = expected.__module__.removeprefix("tfp_bnn.").split(".")[0]
        raise ValueError(f"`{name}` must be a tfp_bnn.{module}.{expected.__name__}. Received: {name}={value!r}")
    return value
