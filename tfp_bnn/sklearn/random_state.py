"""Random numbers of one seed, of all that a network takes while it is made and trained."""

import contextlib
import random
import threading
from collections.abc import Iterator

# Python's generator is one for all threads.
_ONE_AT_A_TIME = threading.Lock()


@contextlib.contextmanager
def random_numbers_of(seed: int) -> Iterator[None]:
    """Makes Python's random numbers those of a seed within the scope, and puts them back where they were.

    From them come the seeds of Keras's initializers, of the noise of layers and of the order of rows. One thread at a
    time is in such a scope.

    Args:
        seed: integer.

    Example:

    >>> with random_numbers_of(1):
    ...     first = random.random()
    >>> with random_numbers_of(1):
    ...     again = random.random()
    >>> first == again
    True
    """
    with _ONE_AT_A_TIME:
        state = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(state)
