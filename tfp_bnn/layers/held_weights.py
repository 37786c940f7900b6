"""Weights held still: within the scope, the layers compute with given weights instead of drawing their own.

Prediction draws the weights of a whole network once and runs all inputs through that one network.
"""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from typing import Any

Tensor = Any
LayerWeights = Mapping[str, Tensor]

_held: contextvars.ContextVar[Mapping[int, LayerWeights] | None] = contextvars.ContextVar("held_weights", default=None)


@contextlib.contextmanager
def hold(weights: Mapping[Any, LayerWeights]) -> Iterator[None]:
    """Holds the weights of layers for as long as the scope is open, beside those that scopes around it hold.

    Args:
        weights: for each layer, its tensors of weights by name.
    """
    token = _held.set({**(_held.get() or {}), **{id(layer): tensors for layer, tensors in weights.items()}})
    try:
        yield
    finally:
        _held.reset(token)


def of(layer: Any) -> LayerWeights | None:
    """Returns the weights that are held for a layer, or None if it is to draw its own."""
    return (_held.get() or {}).get(id(layer))
