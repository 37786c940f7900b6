"""Where inputs come from: arrays, or streams of batches, as `keras.Model.predict` takes them."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from tfp_bnn import _keras
from tfp_bnn._checks import check_count
from tfp_bnn.prediction import inputs
from tfp_bnn.prediction.batch_sizes import fixed_size_of, num_rows


class Batch(NamedTuple):
    """Inputs, with the targets and sample weights that came with them: arrays, or structures of them, of one length."""

    inputs: Any
    targets: Any = None
    weights: Any = None

    @property
    def size(self) -> int:
        """How many inputs."""
        return num_rows(self.inputs)

    def rows(self, start: int, stop: int) -> "Batch":
        """Returns some of the rows."""
        return self._map(lambda array: array[start:stop])

    def _map(self, function: Callable[[np.ndarray], np.ndarray]) -> "Batch":
        return Batch(*(None if part is None else keras.tree.map_structure(function, part) for part in self))


class Source(NamedTuple):
    """Batches in the structure of a model's inputs, to be iterated once, and how many inputs they have, if known."""

    batches: Iterator[Batch]
    num_inputs: int | None


def source_of(
    model: keras.Model, x: Any, y: Any = None, weights: Any = None, *, batch_size: int = 1000, steps: int | None = None
) -> Source:
    """Returns the inputs of a prediction in batches.

    Args:
        model: the model.
        x: arrays, a DataFrame or rows in nested lists, for several inputs a list or dict of these; or a stream of
            batches: a `tf.data.Dataset`, a `PyDataset`, a `DataLoader`, or anything else that gives batches, each of
            inputs, or a tuple (inputs, targets) or (inputs, targets, sample weights).
        y: targets in the structure of the model's outputs; None for none, or those of the stream.
        weights: sample weights, likewise.
        batch_size: how many inputs a batch has. Batches of a stream are cut and merged to it, as far as they can be.
        steps: how many batches of a stream are taken; None for all.

    Raises:
        ValueError: if the stream is endless and `steps` is None, if targets or weights are given beside a stream or do
            not have the length of the inputs, or as `inputs.arrays_for` does.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> stream = ((np.zeros((3, 2)), np.zeros(3)) for _ in range(4))
    >>> [batch.size for batch in source_of(model, stream, batch_size=5).batches]
    [5, 5, 2]
    """
    batch_size = fixed_size_of(model) or check_count("batch_size", batch_size)
    if steps is not None:
        check_count("steps", steps)
    if not inputs.is_stream(x):
        whole = Batch(inputs.arrays_for(model, x), _one_for_each_output(model, y), _one_for_each_output(model, weights))
        _check_lengths(whole)
        return Source(_cut([whole], batch_size), whole.size)
    if y is not None or weights is not None:
        raise ValueError(
            "Targets and sample weights come with the batches of `x`, as (inputs, targets) or (inputs, targets, sample "
            f"weights). Received: x={type(x).__name__} and {'y' if y is not None else 'sample_weight'}"
        )
    stream = itertools.islice(_stream(x, steps), steps)
    batches = (_batch(model, each) for each in stream)
    return Source(_not_empty(_cut(_merged(batches, batch_size), batch_size), x), None)


def _one_for_each_output(model: keras.Model, values: Any) -> Any:
    """Returns targets or sample weights as arrays: a dict or, of several outputs, a list of them, or one."""
    if values is None:
        return None
    if isinstance(values, dict):
        return {name: _one_for_each_output(model, value) for name, value in values.items()}
    if isinstance(values, list | tuple) and len(values) == _num_outputs(model) > 1:
        return [None if value is None else np.asarray(value) for value in values]
    return np.asarray(values)


def _num_outputs(model: keras.Model) -> int:
    for each in (getattr(model, "outputs", None), getattr(model, "loss", None)):
        if isinstance(each, list | tuple):
            return len(each)
    return 1


def _check_lengths(batch: Batch) -> None:
    for name, part in (("y", batch.targets), ("sample_weight", batch.weights)):
        for array in keras.tree.flatten(part) if part is not None else ():
            if np.ndim(array) == 0 or len(array) != batch.size:
                raise ValueError(
                    f"`{name}` must have one {'target' if name == 'y' else 'weight'} for each of {batch.size} inputs. "
                    f"Received: shape {np.shape(array)}"
                )


def _stream(x: Any, steps: int | None) -> Iterator[Any]:
    if isinstance(x, keras.utils.PyDataset):
        if x.num_batches is None and steps is None:
            raise _endless(x)
        adapter = _keras.PyDatasetAdapter(x, class_weight=None)
        adapter.on_epoch_begin()
        try:
            yield from itertools.islice(adapter.get_numpy_iterator(), x.num_batches)
        finally:
            adapter.on_epoch_end()
        return
    cardinality = getattr(x, "cardinality", None)
    if callable(cardinality) and int(cardinality()) == -1 and steps is None:
        raise _endless(x)
    yield from x


def _endless(x: Any) -> ValueError:
    return ValueError(
        f"`x` never ends: say how many batches are to be taken, steps=... . Received: an endless {type(x).__name__}"
    )


def _batch(model: keras.Model, batch: Any) -> Batch:
    # As Keras does, a list too, which is what PyTorch's loaders give.
    x, y, weights = keras.utils.unpack_x_y_sample_weight(tuple(batch) if isinstance(batch, list) else batch)
    found = Batch(inputs.arrays_for(model, x), *(part if part is None else _to_numpy(part) for part in (y, weights)))
    _check_lengths(found)
    return found


def _to_numpy(structure: Any) -> Any:
    return keras.tree.map_structure(inputs.to_numpy, structure)


def _merged(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    """Yields batches of at least a size, as far as neighbours have the same structure and shapes."""
    held: list[Batch] = []
    for batch in batches:
        if held and not _are_alike(held[-1], batch):
            yield _joined(held)
            held = []
        held.append(batch)
        if sum(each.size for each in held) >= size:
            whole = _joined(held)
            full = whole.size // size * size
            yield whole.rows(0, full)
            held = [whole.rows(full, whole.size)] if full < whole.size else []
    if held:
        yield _joined(held)


def _are_alike(a: Batch, b: Batch) -> bool:
    def shapes(batch: Batch) -> list[Any]:
        return [None if array is None else np.shape(array)[1:] for array in keras.tree.flatten(tuple(batch))]

    return shapes(a) == shapes(b)


def _joined(batches: list[Batch]) -> Batch:
    if len(batches) == 1:
        return batches[0]
    return Batch(
        *(
            None if parts[0] is None else keras.tree.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
            for parts in zip(*batches, strict=True)
        )
    )


def _cut(batches: Iterable[Batch], size: int) -> Iterator[Batch]:
    for batch in batches:
        for start in range(0, batch.size, size):
            yield batch.rows(start, start + size)


def _not_empty(batches: Iterator[Batch], x: Any) -> Iterator[Batch]:
    first = next(batches, None)
    if first is None:
        raise ValueError(
            f"`x` must hold at least one input. Received: {type(x).__name__} without a batch; an iterator that was "
            "used up has none left"
        )
    return itertools.chain([first], batches)
