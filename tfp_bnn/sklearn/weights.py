"""Weights of rows, as scikit-learn's estimators take them."""

from typing import Any

import numpy as np
from sklearn.utils import check_array


def check_weights(sample_weight: Any, num_rows: int) -> np.ndarray:
    """Returns the weights of rows, float32 [n].

    Raises:
        ValueError: if there are not as many as rows, one is negative or not finite, or all are 0.

    Example:

    >>> check_weights([1, 0, 2], 3)
    array([1., 0., 2.], dtype=float32)
    """
    weights = check_array(sample_weight, ensure_2d=False, allow_nd=True, dtype="float32", input_name="sample_weight")
    if weights.shape != (num_rows,):
        raise ValueError(f"`sample_weight` must have shape ({num_rows},). Received: shape {weights.shape}")
    if (weights < 0).any() or not weights.any():
        raise ValueError(
            "`sample_weight` must not be negative, and must not be zero for all rows. "
            f"Received: weights between {weights.min()} and {weights.max()}"
        )
    return weights
