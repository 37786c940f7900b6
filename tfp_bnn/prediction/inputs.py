"""What a prediction takes as inputs: arrays in the structure of the model's inputs. What it does not take, it names."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


def arrays_for(model: keras.Model, x: Any) -> Any:
    """Returns the inputs as NumPy arrays, in the structure that a model takes.

    Args:
        model: the model.
        x: an array, a DataFrame, rows in nested lists; for a model of several inputs a list or a dict of these.

    Raises:
        ValueError: if `x` is sparse or ragged, one example without the batch axis, does not hold
            as many arrays as the model has inputs, or holds no example or not as many in each array.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> arrays_for(model, [[1, 2], [3, 4], [5, 6]]).shape
    (3, 2)
    """
    expected = _inputs_of(model)
    arrays = _arrays(x)
    if expected is not None:
        leaves = _one_for_each(expected, arrays)
        for array, tensor in zip(leaves, expected.values(), strict=True):
            _check_fits(array, tensor)
        arrays = keras.tree.pack_sequence_as(_structure_of(model), leaves)
    sizes = {array.shape[0] if array.ndim else 0 for array in keras.tree.flatten(arrays)}
    if len(sizes) != 1 or 0 in sizes:
        raise ValueError(f"`x` must hold at least one input, and as many in each array. Received: sizes {sizes}")
    return arrays


def _inputs_of(model: keras.Model) -> dict[str, Any] | None:
    """Returns the symbolic inputs of a model by the names that a dict of inputs has, or None if it does not say."""
    inputs = getattr(model, "inputs", None)
    if not isinstance(inputs, list | tuple) or not all(isinstance(tensor, keras.KerasTensor) for tensor in inputs):
        return None
    structure = _structure_of(model)
    if isinstance(structure, dict) and len(structure) == len(inputs):
        return {name: structure[name] for name in sorted(structure)}
    return {tensor.name: tensor for tensor in inputs}


def _structure_of(model: keras.Model) -> Any:
    return model.inputs[0] if isinstance(model, keras.Sequential) else model.input


def _arrays(x: Any) -> Any:
    if isinstance(x, dict):
        return {name: _arrays(value) for name, value in x.items()}
    if isinstance(x, list | tuple) and not _holds_numbers(x):
        return [_arrays(value) for value in x]
    return _array(x)


def _holds_numbers(rows: Sequence[Any]) -> bool:
    """Returns whether nested lists end in numbers (or strings), not in arrays; of the first row, for speed."""
    first = rows
    while isinstance(first, list | tuple) and len(first):
        first = first[0]
    return isinstance(first, list | tuple | str | bytes | int | float | np.generic)


def _array(x: Any) -> np.ndarray:
    instead = _instead_of(x)
    if instead:
        raise ValueError(f"`x` must be an array: write {instead}. Received: {type(x).__name__}")
    try:
        array = to_numpy(x)
    except ValueError as error:
        raise ValueError(
            "`x` must be an array, and these rows are of different lengths: cut or pad them, such as "
            f"keras.utils.pad_sequences(x). Received: {len(x)} rows"
        ) from error
    if array.dtype == object and not all(isinstance(item, str | bytes) for item in array.flat):
        raise ValueError(
            "`x` must hold numbers of one dtype: choose and encode the columns, and write np.asarray(x, 'float32'). "
            f"Received: {type(x).__name__} of dtype object"
        )
    return array


def _instead_of(x: Any) -> str | None:
    """Returns what to write instead of what is not an array, or None if it is one."""
    kind = type(x).__name__
    if "Sparse" in kind and kind.endswith("Tensor"):
        return "tf.sparse.to_dense(x)"
    if kind == "RaggedTensor":
        return "x.to_tensor()"
    for dense in ("toarray", "todense"):
        if hasattr(x, dense):
            return f"x.{dense}()"
    return None


def is_stream(x: Any) -> bool:
    """Returns whether this is a stream of batches, not arrays.

    Example:

    >>> is_stream(np.zeros(3)), is_stream([[1, 2], [3, 4]]), is_stream(iter([np.zeros(3)]))
    (False, False, True)
    """
    if isinstance(x, keras.utils.PyDataset):
        return True
    if hasattr(x, "__array__") or isinstance(x, list | tuple | dict | str | bytes) or _instead_of(x):
        return False
    return _can_be_iterated(x)


def to_numpy(x: Any) -> np.ndarray:
    """Returns an array or a tensor of any library as a NumPy array."""
    # Of PyTorch, on a device or with gradients.
    return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


def _can_be_iterated(x: Any) -> bool:
    return hasattr(x, "__iter__") or hasattr(x, "__next__") or hasattr(x, "__getitem__")


def _one_for_each(expected: dict[str, Any], arrays: Any) -> list[np.ndarray]:
    if isinstance(arrays, dict) and not any(isinstance(value, dict | list) for value in arrays.values()):
        if missing := expected.keys() - arrays.keys():
            raise ValueError(
                f"`x` must have an array for each input of the model, {', '.join(map(repr, expected))}; missing: "
                f"{', '.join(map(repr, sorted(missing)))}. Received: {', '.join(map(repr, arrays))}"
            )
        return [arrays[name] for name in expected]
    leaves = keras.tree.flatten(arrays)
    if len(leaves) != len(expected):
        batches = " Of a list of batches make one array, np.concatenate(x); of rows, np.stack(x)."
        raise ValueError(
            f"`x` must hold one array for each input of the model, of which there are {len(expected)}."
            f"{batches if len(expected) == 1 else ''} Received: {len(leaves)} arrays"
        )
    return leaves


def _check_fits(array: np.ndarray, tensor: Any) -> None:
    if _fits(array.shape, tensor.shape[1:]) and not _fits((*array.shape, 1), tensor.shape):
        raise ValueError(
            "`x` must have a batch axis: write x[None] for a single example. "
            f"Received: shape {array.shape}, where the model takes {tuple(tensor.shape)}"
        )


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    return len(shape) == len(expected) and all(b in (None, a) for a, b in zip(shape, expected, strict=True))
