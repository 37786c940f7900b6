"""How many examples a call of `fit` trains on, as far as Keras knows it."""

from typing import Any, NamedTuple

import keras

from tfp_bnn import _keras


class TrainingData(NamedTuple):
    """What is known of the data of a call of `fit`.

    `num_examples` is exact if it `is_exact`, and otherwise that of full batches; None if it is not known. `is_cut` says
    whether an epoch has a number of steps of its own (`steps_per_epoch`), whatever the data have.
    """

    num_examples: int | None = None
    is_exact: bool = False
    is_cut: bool = False


def of_fit(model: keras.Model) -> TrainingData:
    """Returns what is known of the data of the call of `model.fit` that is under way."""
    iterator = _keras.iterator_of_fit(model)
    if iterator is None:
        return TrainingData()
    is_cut = bool(iterator.steps_per_epoch)
    adapter = iterator.data_adapter
    if adapter.num_batches is None:
        return TrainingData(is_cut=is_cut)
    if adapter.batch_size is not None and adapter.has_partial_batch is not None:
        return TrainingData(
            _of_batches(adapter.num_batches, adapter.batch_size, adapter.partial_batch_size), True, is_cut
        )
    if isinstance(adapter, _keras.PyDatasetAdapter):
        dataset = adapter.py_dataset
        first, last = (_size(dataset[index]) for index in (0, adapter.num_batches - 1))
        return TrainingData(_of_batches(adapter.num_batches, first, last), False, is_cut)
    if isinstance(adapter, _keras.TFDatasetAdapter):
        unbatched = _keras.cardinality_before_batching(adapter)
        if unbatched is not None:
            return TrainingData(unbatched, True, is_cut)
    return TrainingData(adapter.batch_size and adapter.num_batches * adapter.batch_size, False, is_cut)


def _of_batches(num_batches: int, size: int, last: int | None) -> int:
    return (num_batches - 1) * size + (last or size)


def _size(batch: Any) -> int:
    return len(keras.tree.flatten(batch)[0])
