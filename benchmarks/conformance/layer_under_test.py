"""A layer of any library in one form, so that the same checks can be run on each."""

import abc
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

NUM_INPUTS = {"dense": 5, "conv": 2}
NUM_OUTPUTS = 3
INPUT_SHAPES = {"dense": (4, 5), "conv": (2, 4, 4, 2)}
KERNEL_SHAPES = {"dense": (5, 3), "conv": (2, 2, 2, 3)}


class Weights(NamedTuple):
    """Posterior of a layer: means and standard deviations, kernels as [..., inputs, outputs]; stddev 0: not random."""

    kernel_mean: np.ndarray
    kernel_stddev: np.ndarray
    bias_mean: np.ndarray
    bias_stddev: np.ndarray

    def random(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Returns mean and standard deviation of each tensor of weights that is random."""
        tensors = [self[:2], self[2:]]
        return [(mean.astype("float64"), stddev.astype("float64")) for mean, stddev in tensors if stddev.any()]


class Prior(NamedTuple):
    """The prior `pi N(loc, sigma_1^2) + (1 - pi) N(loc, sigma_2^2)`; Gaussian for pi = 1.

    `floor` is added to its density.
    """

    sigma_1: float = 1.0
    loc: float = 0.0
    pi: float = 1.0
    sigma_2: float = 1.0
    floor: float = 0.0

    def kl(self, mean: np.ndarray, stddev: np.ndarray) -> np.ndarray:
        """Returns KL[N(mean, stddev^2) || prior] for each weight, in closed form or else on a fine grid."""
        if self.pi == 1 and not self.floor:
            squares = (stddev**2 + (mean - self.loc) ** 2) / (2 * self.sigma_1**2)
            return np.log(self.sigma_1 / stddev) + squares - 0.5
        z = np.linspace(-10, 10, 4001)
        normal = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        weights = mean[..., None] + stddev[..., None] * z
        prior = self.floor + sum(
            weight / (sigma * math.sqrt(2 * math.pi)) * np.exp(-0.5 * ((weights - self.loc) / sigma) ** 2)
            for weight, sigma in ((self.pi, self.sigma_1), (1 - self.pi, self.sigma_2))
        )
        return np.trapezoid(normal * (np.log(normal / prior) - np.log(stddev)[..., None]), z)


class Kl(NamedTuple):
    """Draws of a KL divergence, and the name of the dtype that the library computed them in."""

    draws: np.ndarray
    dtype: str


DEFAULT = "the library's default prior"
GAUSSIAN = "prior N(0.3, 0.7^2)"
MIXTURE = "prior 0.5 N(0, 1) + 0.5 N(0, 0.3^2)"
PRIORS = {GAUSSIAN: Prior(0.7, loc=0.3), MIXTURE: Prior(1.0, pi=0.5, sigma_2=0.3)}


class LayerUnderTest(abc.ABC):
    """One layer of one library, built for inputs of INPUT_SHAPES, in a form that all checks can use.

    Arrays are as in Keras on this side: channels last, kernels [..., inputs, outputs].

    Args:
        name: name of the layer's class, with ", random bias" after it where that is not the library's default.
        prior: name of its prior.
        dtype: precision of the layer, one of PRECISIONS; None for float32.
    """

    PACKAGES: ClassVar[Sequence[str]]
    NAMES: ClassVar[Sequence[str]]
    DEFAULT_PRIOR: ClassVar[Prior] = Prior()
    PRIOR_NAMES: ClassVar[Sequence[str]] = (DEFAULT, GAUSSIAN)
    PRECISIONS: ClassVar[Sequence[str]] = ("mixed_bfloat16", "bfloat16")
    FORMATS: ClassVar[Sequence[str]]

    def __init__(self, name: str, prior: str = DEFAULT, dtype: str | None = None):
        self.class_name, *self.options = name.split(", ")
        self.family = "conv" if "Conv" in name else "dense"
        self.dtype = dtype
        self.layer = self.make(None if prior == DEFAULT else PRIORS[prior])

    @property
    def random_bias(self) -> bool:
        """Whether the bias has a posterior."""
        return True

    @property
    def correlation(self) -> int:
        """Correlation of the noise of two examples of one batch that the layer's estimator stands for."""
        return 0 if "Flipout" in self.class_name or "Local" in self.class_name else 1

    @classmethod
    @abc.abstractmethod
    def set_seed(cls, seed: int) -> None:
        """Seeds the library's random numbers."""

    @abc.abstractmethod
    def make(self, prior: Prior | None) -> Any:
        """Returns the layer, built."""

    @abc.abstractmethod
    def assign(self, weights: Weights) -> None:
        """Sets the posterior."""

    @abc.abstractmethod
    def draws(self, inputs: np.ndarray, num_draws: int) -> np.ndarray:
        """Returns noisy outputs, [draws, batch, ..., outputs]."""

    @abc.abstractmethod
    def kl(self, num_draws: int, num_calls: int = 1) -> Kl:
        """Returns what the library collects as KL divergence of a model that calls the layer so many times."""

    @abc.abstractmethod
    def reloaded(self, file_format: str, directory: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Returns the posterior's variables of a model with the layer, before and after it was saved and loaded."""


def inputs_of(layer: LayerUnderTest) -> np.ndarray:
    """Returns inputs, the same for all libraries."""
    return np.random.default_rng(0).normal(size=INPUT_SHAPES[layer.family]).astype("float32")


def random_weights(layer: LayerUnderTest) -> Weights:
    """Returns means from N(0, 1) and standard deviations from U(0.2, 1.5), the same for all libraries."""
    rng, shape = np.random.default_rng(1), KERNEL_SHAPES[layer.family]
    kernel = rng.normal(size=shape), rng.uniform(0.2, 1.5, shape)
    bias = rng.normal(size=NUM_OUTPUTS), rng.uniform(0.2, 1.5, NUM_OUTPUTS) * layer.random_bias
    return Weights(*(array.astype("float32") for array in (*kernel, *bias)))


def softplus_inverse(value: np.ndarray) -> np.ndarray:
    """Returns rho with softplus(rho) = value."""
    value = value.astype("float64")
    return (value + np.log(-np.expm1(-value))).astype("float32")
