"""What every contender is: a library, in one mode, with one network, as its users would use it.

Every contender trains with Adam on the same random images; Bayesian ones with the prior that they are asked for, where
they have it.
"""

import abc
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from benchmarks.contenders.networks import Network

NUM_EXAMPLES = 60_000
MIXTURE = {"pi": 0.5, "sigma_1": 1.0, "sigma_2": 0.0025}


class Contender(abc.ABC):
    """One library, in one mode, with one network.

    Args:
        network: the network.
        estimator: "Flipout" or "Reparameterization".
        mixture: whether the prior is the scale mixture; otherwise it is N(0, 1).
        xla: whether to compile with XLA; None leaves it to the library.
    """

    PACKAGES: ClassVar[Sequence[str]]

    def __init__(self, network: Network, estimator: str, mixture: bool, xla: bool | None = None):
        self.network, self.estimator, self.mixture, self.xla = network, estimator, mixture, xla
        self.prepare()

    @abc.abstractmethod
    def prepare(self) -> None:
        """Makes the model."""

    @abc.abstractmethod
    def train(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> float:
        """Trains for one epoch; returns seconds a step, the epoch's set-up not counted."""

    @abc.abstractmethod
    def predict(self, x: np.ndarray, num_draws: int) -> None:
        """Computes the outputs of so many drawn networks (of a deterministic one: as often) and waits for them."""
