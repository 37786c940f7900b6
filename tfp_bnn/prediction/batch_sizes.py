"""How many inputs are computed at once: few sizes, since each may be compiled anew."""

from typing import Any

import keras
import numpy as np

_KEPT_AS_THEY_ARE = 4


class BatchSizes:
    """The sizes that batches are filled up to, so that calls of many sizes need few compilations.

    The first four sizes are kept as they are: most programs have no others. From then on a batch is filled up to one
    of four sizes between each power of two and the next, so by a quarter at most.

    Args:
        fixed: the only size that the model takes; None if it takes all.

    Example:

    >>> sizes = BatchSizes()
    >>> [sizes.fitting(size) for size in (1000, 37, 1, 2, 999, 37, 100, 101)]
    [1000, 37, 1, 2, 1000, 37, 112, 112]
    """

    def __init__(self, fixed: int | None = None):
        self._fixed = fixed
        self._seen: set[int] = set()

    def fitting(self, size: int) -> int:
        """Returns what a batch of a size is filled up to."""
        if self._fixed is not None:
            return self._fixed
        if size in self._seen:
            return size
        if len(self._seen) < _KEPT_AS_THEY_ARE:
            self._seen.add(size)
            return size
        rounded = _rounded_up(size)
        return min((seen for seen in self._seen if size <= seen < rounded), default=rounded)


def _rounded_up(size: int) -> int:
    step = 1 << max(size.bit_length() - 3, 0)
    return -(-size // step) * step


def filled_up(arrays: Any, size: int) -> Any:
    """Returns arrays, or a structure of them, filled up to a size: their last row is repeated."""

    def fill(array: np.ndarray) -> np.ndarray:
        return np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])

    return arrays if num_rows(arrays) == size else keras.tree.map_structure(fill, arrays)


def num_rows(arrays: Any) -> int:
    """Returns how many rows arrays of one length, or a structure of them, have."""
    return len(keras.tree.flatten(arrays)[0])


def fixed_size_of(model: keras.Model) -> int | None:
    """Returns the only size of batches that a model takes, as a stateful recurrent one; None if it takes all."""
    inputs = getattr(model, "inputs", None)
    sizes = {tensor.shape[0] for tensor in inputs} if isinstance(inputs, list) else set()
    return sizes.pop() if len(sizes) == 1 else None
