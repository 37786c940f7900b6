"""The random weights of a model as they are now, in numbers: means, standard deviations, what each costs in nats."""

import contextlib
import dataclasses
import math

import keras
import numpy as np
import scipy  # Its parts are imported when they are first used.

from tfp_bnn import kl
from tfp_bnn._backend import sync_state
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.noise import counted
from tfp_bnn.layers.base import VariationalLayer, built_variational_layers
from tfp_bnn.layers.tfp_functions import DistributionPrior
from tfp_bnn.posteriors import NormalWeights, WeightPosterior
from tfp_bnn.priors import Normal, Prior, ScaleMixture

STILL_PRIOR_NATS = 0.01
"""A weight whose divergence is within so many nats of the least possible has learned nothing worth the name."""

_NUM_STRATA = 64
"""Draws of each weight where its divergence has no closed form, one from each 64th of its probability."""

_AT_ONCE = 2**21
"""How many such draws lie in memory at once."""

_NUM_DRAWS = 100
"""For divergences that are known neither weight by weight nor in closed form."""


@dataclasses.dataclass(frozen=True, eq=False)
class RandomTensor:
    """One tensor of random weights. Pruned weights are not part of the arrays, which are flat and of double precision.

    Args:
        layer: whose weights these are.
        label: the layer's name, with a number behind it where another layer has the same.
        name: what the weights are, such as "kernel".
        shape: of the tensor, with the pruned weights.
        size: how many weights are not pruned.
        kl: KL[q || p] of all of them in nats.
        mean: their posterior means, [size]; None if the posterior is not Gaussian.
        stddev: their posterior standard deviations, [size]; None if the posterior is not Gaussian.
        kl_of_weights: KL[q || p] of each in nats, [size]; None if it is not known weight by weight.
        least_kl: the least that a Gaussian posterior of one weight can have.
    """

    layer: VariationalLayer
    label: str
    name: str
    shape: tuple[int, ...]
    size: int
    kl: float
    mean: np.ndarray | None = None
    stddev: np.ndarray | None = None
    kl_of_weights: np.ndarray | None = None
    least_kl: float = 0.0

    def signal_to_noise(self) -> np.ndarray | None:
        """Returns `|mean| / stddev` of each weight, or None if the posterior is not Gaussian."""
        if self.mean is None:
            return None
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.mean == 0, 0.0, np.abs(self.mean) / self.stddev)

    def is_still_prior(self) -> np.ndarray | None:
        """Returns whether each weight's posterior is the prior, or as near to it as a Gaussian can be."""
        return None if self.kl_of_weights is None else self.kl_of_weights < self.least_kl + STILL_PRIOR_NATS


def random_tensors(model: keras.layers.Layer) -> list[RandomTensor]:
    """Returns the random weights of a built model with the current values, each layer once.

    Raises:
        ValueError: if the model has no random weights, or a Bayesian layer is not built.

    Example:

    >>> from tfp_bnn import models
    >>> [(tensor.name, tensor.shape) for tensor in random_tensors(models.mlp((4,), units=(8,), num_outputs=2))]
    [('kernel', (4, 8)), ('kernel', (8, 2))]
    """
    if isinstance(model, keras.Model):
        sync_state(model)
    layers = built_variational_layers(model)
    tensors = [_read(layer, label, name) for layer, label in _labelled(layers) for name in layer.random_weights]
    if not tensors:
        raise ValueError(
            f"The model has no random weights: none of its layers is Bayesian, or it is not built. "
            f"Received: model={model!r}"
        )
    return tensors


def _labelled(layers: list[VariationalLayer]) -> list[tuple[VariationalLayer, str]]:
    """Returns the layers with a name for each: those of nested models may share theirs."""
    named: list[tuple[VariationalLayer, str]] = []
    for layer in layers:
        same = sum(other.name == layer.name for other, _ in named)
        named.append((layer, f"{layer.name} {same + 1}" if same else layer.name))
    return named


def _read(layer: VariationalLayer, label: str, name: str) -> RandomTensor:
    variables, prior = layer.random_weights[name]
    posterior = variables.read()
    shape = tuple(posterior.mean.shape)
    if not isinstance(posterior, NormalWeights):
        return RandomTensor(layer, label, name, shape, int(np.prod(shape)), _kl_of_all(posterior, prior))
    kept = np.ones(shape, bool) if posterior.kept is None else keras.ops.convert_to_numpy(posterior.kept)
    mean, stddev = (keras.ops.convert_to_numpy(part).astype("float64") for part in (posterior.mean, posterior.stddev))
    dtype = keras.backend.standardize_dtype(posterior.mean.dtype)
    kl_of_weights = _kl_of_weights(mean, stddev, prior, dtype)
    if kl_of_weights is not None:
        kl_of_weights = kl_of_weights[kept]
    # Weight by weight it is exact for `Normal` alone.
    exact = _is_normal(prior) or not kl.has_closed_form(posterior, prior)
    total = float(kl_of_weights.sum()) if exact and kl_of_weights is not None else _kl_of_all(posterior, prior)
    size = int(np.count_nonzero(kept))
    return RandomTensor(
        layer, label, name, shape, size, total, mean[kept], stddev[kept], kl_of_weights, _least_kl(prior)
    )


# The divergence, weight by weight.


def _kl_of_weights(mean: np.ndarray, stddev: np.ndarray, prior: Prior, dtype: str = "float32") -> np.ndarray | None:
    """Returns KL[q || p] of each weight, exactly or of draws; None if the prior is one of all weights together.

    Pruned weights, of standard deviation 0, get what is not a number.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if _is_normal(prior):
            squares = (np.square(stddev) + np.square(mean - prior.loc)) / prior.scale**2
            return 0.5 * (squares - 1) - np.log(stddev / prior.scale)
        log_ratios = _log_ratios(mean, stddev, prior, dtype)
        return None if log_ratios is None else log_ratios - HALF_LOG_TWO_PI - np.log(stddev)


def _is_normal(prior: Prior) -> bool:
    # A subclass with a density of its own is another distribution.
    return type(prior).log_prob is Normal.log_prob


def _log_ratios(mean: np.ndarray, stddev: np.ndarray, prior: Prior, dtype: str) -> np.ndarray | None:
    """Returns the mean over draws of log q(w) - log p(w) for each weight, less what q has beside its exponent.

    Stratified draws, of a fixed seed: as unbiased as independent ones, however narrow a component of the prior, and so
    near where q and p are near that weights which hardly differ from the prior can be told from those that do.
    """
    if isinstance(prior, DistributionPrior):
        return None
    rng = np.random.default_rng(0)
    total = np.zeros(mean.shape)
    for strata in np.array_split(np.arange(_NUM_STRATA), -(-_NUM_STRATA * mean.size // _AT_ONCE) or 1):
        # Above 0, whose quantile is infinite.
        places = 1 - rng.random((len(strata), *mean.shape))
        eps = scipy.special.ndtri((strata.reshape(-1, *[1] * mean.ndim) + places) / (_NUM_STRATA + 1e-9))
        at = keras.ops.convert_to_tensor((mean + stddev * eps).astype(dtype))
        log_prior = keras.ops.convert_to_numpy(prior.log_prob(at))
        total += (-0.5 * np.square(eps) - log_prior).sum(axis=0)
    return total / _NUM_STRATA


def _least_kl(prior: Prior) -> float:
    """Returns the least KL[q || p] of a Gaussian q: above 0 for mixtures, whose shape no Gaussian has."""
    if not isinstance(prior, ScaleMixture):
        return 0.0
    sigmas = [float(prior.sigma_1), float(prior.sigma_2)]
    if not np.isfinite(sigmas).all():
        return math.nan
    # So fine that the least of them is within 0.001 nats of the least of all.
    stddev = np.exp(np.arange(np.log(min(sigmas)) - 1, np.log(max(sigmas)) + 1, 0.05))
    divergences = _kl_of_weights(np.zeros(stddev.shape), stddev, prior)
    return 0.0 if divergences is None else float(divergences.min())


def _kl_of_all(posterior: WeightPosterior, prior: Prior) -> float:
    """Returns KL[q || p] of a tensor in closed form if there is one, else the mean over 100 draws of a fixed seed."""
    if kl.has_closed_form(posterior, prior):
        # TFP's distributions tell only when they are asked.
        with contextlib.suppress(ValueError):
            return float(kl.closed_form(posterior, prior))
    noise = counted(keras.ops.convert_to_tensor([0, 0], "int32"))
    return float(np.mean([float(kl.monte_carlo(posterior.sample(noise), prior)) for _ in range(_NUM_DRAWS)]))
