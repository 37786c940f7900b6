"""In what precision weights, divergences and outputs are kept."""

from typing import Any

import keras


def widened(dtype: Any) -> str:
    """Returns float64 for float64, and float32 for anything else: half precision is for products, not for sums.

    Args:
        dtype: of NumPy, of the backend, or its name.

    Example:

    >>> widened("bfloat16"), widened("float32"), widened("float64")
    ('float32', 'float32', 'float64')
    """
    return "float64" if keras.backend.standardize_dtype(dtype) == "float64" else "float32"
