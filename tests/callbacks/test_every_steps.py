"""Actions every so many steps, at the batches that Keras tells callbacks of; test_training.py has them in `fit`."""

from types import SimpleNamespace

import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone


def steps_seen(every, ends_of_executions, start=0, accumulated=1):
    """Returns when the function is called in an epoch whose executions end with these batches, counted from 0."""
    optimizer = SimpleNamespace(iterations=start, gradient_accumulation_steps=accumulated)
    seen = []
    callback = bnn.callbacks.EverySteps(every, seen.append)
    callback.set_model(SimpleNamespace(optimizer=optimizer))
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    for batch in ends_of_executions:
        optimizer.iterations = start + (batch + 1) // accumulated
        callback.on_train_batch_end(batch)
    return seen


@pytest.mark.parametrize(
    ("every", "ends", "expected"),
    [
        (3, range(9), [3, 6, 9]),
        (3, [2, 5, 8], [3, 6, 9]),  # three batches an execution: one call for each
        (4, [2, 5, 8, 11], [6, 9, 12]),  # past 4, past 8, at 12
        (2, [4, 9], [5, 10]),  # several multiples in one execution are one call
        (5, [3, 7, 8], [8]),
    ],
)
def test_the_batches_of_an_execution_all_count(every, ends, expected):
    assert steps_seen(every, ends) == expected


def test_a_resumed_training_goes_on_counting():
    assert steps_seen(4, range(6), start=7) == [8, 12]


def test_minibatches_whose_gradients_are_accumulated_are_one_step():
    assert steps_seen(2, range(12), accumulated=3) == [2, 4]
