"""The order of rows: each as often as another, in whole batches, in about as many steps as were asked for."""

import numpy as np
import pytest

from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn.models.rounds import rounds_of

pytestmark = on_tensorflow_alone


@pytest.mark.parametrize(
    ("num_rows", "batch_size", "steps"),
    [(200, 100, 5000), (201, 100, 5000), (7, 7, 60), (5003, 100, 2000), (30_000, 100, 400), (1, 1, 3), (99, 10, 51)],
)
def test_rows_come_equally_often_in_about_as_many_steps(num_rows, batch_size, steps):
    rows, number = rounds_of(num_rows, batch_size, steps, seed=0)
    assert len(rows) % batch_size == 0
    counts = np.bincount(rows, minlength=num_rows)
    assert counts.max() - counts.min() <= 1
    if number > 1:
        # What fills the last batch up is all that is beside whole passes.
        assert (counts > counts.min()).sum() < batch_size
    taken = number * len(rows) // batch_size
    assert steps <= taken <= steps + max(len(rows) // batch_size, 1) * (number > 1)


def test_each_pass_has_an_order_of_its_own_that_the_seed_says():
    rows = rounds_of(20, 20, 50, seed=3).rows.reshape(50, 20)
    assert (np.sort(rows, axis=1) == np.arange(20)).all()
    assert len(np.unique(rows, axis=0)) == 50
    np.testing.assert_array_equal(rows.ravel(), rounds_of(20, 20, 50, seed=3).rows)
    assert (rows.ravel() != rounds_of(20, 20, 50, seed=4).rows).any()


def test_fewer_steps_than_a_large_table_has_are_a_part_of_it():
    rows, number = rounds_of(100_000, 100, 70, seed=0)
    assert (len(rows), len(np.unique(rows)), number) == (7000, 7000, 1)
