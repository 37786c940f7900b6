"""A batch in two halves: for layers that are run twice, at a draw of the weights and at the opposite one."""

from collections.abc import Sequence
from typing import Any

import keras

Tensor = Any


def split(arguments: Any) -> tuple[list[Any], Any]:
    """Returns the arguments of a call for each half of its examples, and how many examples there are.

    An odd batch is filled up with an example of its own; a batch of one has one half. Tensors whose first axis is not
    the batch, such as a mask for all examples, go into both halves.

    Args:
        arguments: a structure of tensors and other values; the first tensor has the batch as its first axis.

    Example:

    >>> halves, number = split([keras.ops.arange(5)])
    >>> [[int(number) for number in half[0]] for half in halves], number
    ([[0, 1, 2], [3, 4, 0]], 5)
    """
    first = next(value for value in keras.tree.flatten(arguments) if _has_axis(value))
    number, of_first = keras.ops.shape(first)[0], first.shape[0]
    if isinstance(number, int) and number < 2:
        return [arguments], number
    half = (number + 1) // 2
    places = [keras.ops.arange(half), (half + keras.ops.arange(half)) % number]

    def half_of(value: Any, places: Tensor) -> Any:
        return keras.ops.take(value, places, axis=0) if _has_axis(value) and value.shape[0] == of_first else value

    return [keras.tree.map_structure(lambda value, at=at: half_of(value, at), arguments) for at in places], number


def join(outputs: Sequence[Any], num_examples: Any) -> Any:
    """Returns the outputs of all examples, in their order."""
    if len(outputs) == 1:
        return outputs[0]
    return keras.tree.map_structure(lambda *halves: keras.ops.concatenate(halves, axis=0)[:num_examples], *outputs)


def _has_axis(value: Any) -> bool:
    return hasattr(value, "shape") and len(value.shape) > 0
