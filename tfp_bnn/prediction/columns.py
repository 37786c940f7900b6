"""Predictions of one target, [..., n, 1], that do not silently become [..., n, n] beside targets [n].

NumPy's rules of broadcasting take `mean() - y`, of shapes [n, 1] and [n], for all pairs. That is never meant.
"""

from typing import Any

import numpy as np


class Column(np.ndarray):
    """An array [..., n, 1] whose arithmetic with an array [n] is an error; in all else a NumPy array.

    What arithmetic gives, and whatever has another shape, is a plain array.

    Example:

    >>> mean = column(np.zeros((3, 1)))
    >>> mean - np.ones((3, 1)), mean[:, 0] - np.ones(3)
    (array([[-1.],
           [-1.],
           [-1.]]), array([-1., -1., -1.]))
    """

    # Above that of tensors, which would broadcast by themselves.
    __array_priority__ = 1000

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Computes as with plain arrays; raises ValueError if one of them lacks the last axis."""
        # Of products of matrices, with a signature, and of `ufunc.outer` the last axis is meant.
        if method == "__call__" and ufunc.signature is None:
            for column in inputs:
                if isinstance(column, Column):
                    column._check_beside(inputs)
        if "out" in kwargs:
            kwargs["out"] = tuple(map(_plain, kwargs["out"]))
        return getattr(ufunc, method)(*map(_plain, inputs), **kwargs)

    def __getitem__(self, index: Any) -> Any:
        """Returns the part, protected too if it is a column."""
        return column(np.asarray(self)[index])

    def __array_wrap__(self, array: np.ndarray, context: Any = None, return_scalar: bool = False) -> Any:
        """Returns what a function of NumPy made of the column, as a plain array."""
        return array[()] if return_scalar else array

    def __repr__(self) -> str:
        return repr(np.asarray(self))

    def _check_beside(self, others: tuple[Any, ...]) -> None:
        if self.ndim < 2 or self.shape[-1] != 1:
            return
        for other in others:
            shape = np.shape(other)
            if shape and shape[-1] > 1 and shape == self.shape[-1 - len(shape) : -1]:
                raise ValueError(
                    "A prediction of one target is a column, and broadcasting would make all pairs: write "
                    "`y[..., None]` for y, or `mean()[..., 0]` for the prediction. "
                    f"Received: shapes {self.shape} and {shape}"
                )


def column(values: np.ndarray) -> np.ndarray:
    """Returns the values, as a `Column` if they are of one target, [..., n, 1]."""
    is_column = isinstance(values, np.ndarray) and values.ndim > 1 and values.shape[-1] == 1
    return values.view(Column) if is_column else values


def _plain(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, Column) else value
