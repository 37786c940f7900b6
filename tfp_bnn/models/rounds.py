"""The rows of a table in the order in which a network is trained on them: whole batches, several passes in a round."""

import math
from typing import NamedTuple

import numpy as np

STEPS_A_ROUND = 50


class Rounds(NamedTuple):
    """Rows in their order, of which a round is one epoch of Keras.

    Args:
        rows: numbers of rows, as many as whole batches take.
        number: how many rounds there are.
    """

    rows: np.ndarray
    number: int


def rounds_of(num_rows: int, batch_size: int, steps: int, seed: int) -> Rounds:
    """Returns rounds of shuffled rows that are about so many steps of training.

    An epoch costs Keras more than the steps of a small network, and a small table has few steps a pass. So a round is
    as many passes as 50 steps take, each in an order of its own; the next round repeats it. Its last batch is filled up
    with rows of one more pass: a batch of another size would be compiled by itself.

    Args:
        num_rows: rows of the table.
        batch_size: rows of a step.
        steps: how many steps. If there is more than one round, the rounds are of whole passes, and the steps may be
            up to a round more.
        seed: of the orders.

    Example:

    >>> rounds = rounds_of(num_rows=3, batch_size=2, steps=100, seed=0)  # 50 steps take 100 rows: 34 passes
    >>> len(rounds.rows), rounds.number
    (102, 2)
    >>> np.bincount(rounds.rows).tolist()
    [34, 34, 34]
    """
    number = math.ceil(steps / STEPS_A_ROUND)
    steps_a_round = math.ceil(steps / number)
    if number > 1:
        passes = math.ceil(steps_a_round * batch_size / num_rows)
        whole = math.ceil(passes * num_rows / batch_size)
        number = math.ceil(steps / whole)
        # Fewer steps than one pass over a large table has are a part of it.
        steps_a_round = whole if number > 1 else steps
    size = steps_a_round * batch_size
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(num_rows) for _ in range(math.ceil(size / num_rows))]
    return Rounds(np.concatenate(orders)[:size], number)
