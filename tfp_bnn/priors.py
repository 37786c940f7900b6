"""Priors p(w) over weights, each weight independent of the others; all have the same, or each that of yesterday."""

import abc
import math
import uuid
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfp_bnn import _prior_sharing
from tfp_bnn._backend import tfp
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.precision import widened
from tfp_bnn._numerics.softplus import plus_softplus, softplus
from tfp_bnn._prior_sharing import kept_shared

__all__ = [
    "NAMES",
    "EarlierPosterior",
    "EarlierWeights",
    "Normal",
    "Prior",
    "ScaleMixture",
    "from_posterior",
    "kept_shared",
]

NAMES = ("normal", "scale_mixture")
"""What command lines call them."""

Tensor = Any

# Of |log sigma|: beyond it the squares of standard deviations, or their inverses, leave float32.
_BOUND = 40.0
SMALLEST = math.exp(-_BOUND)

# All priors of this process, by identity: a copy made of a config can ask the original.
_living: "weakref.WeakValueDictionary[str | None, Prior]" = weakref.WeakValueDictionary()


class Prior(keras.layers.Layer, abc.ABC):
    """A prior over weights. One object may serve any number of layers; what it learns, it learns from all of them.

    It is a Keras layer only so that Keras tracks its variables: a learned prior appears in `trainable_variables`
    once, however many layers hold it. It is still shared after saving and loading (`.keras`), in pickles, in
    `copy.deepcopy` and `tfp_bnn.clone_model`; each copy of the model has a prior of its own. What else copies a model
    gives each layer its own, but for copies within `tfp_bnn.priors.kept_shared()`.
    """

    def __init__(self, name: str | None = None):
        super().__init__(name=name)
        # Which object it is, for configs: names and parameters of two priors may be the same.
        self.identity = uuid.uuid4().hex
        self.copied_from: str | None = None
        _living[self.identity] = self
        self.built = True
        self._layers_served: weakref.WeakSet[keras.layers.Layer] = weakref.WeakSet()

    def of(self, name: str, shape: Sequence[int]) -> "Prior":
        """Returns the prior of one tensor of weights of a layer: the same for all, unless it differs by tensor.

        Args:
            name: what the weights are, such as "kernel".
            shape: their shape.
        """
        return self

    def take_after(self, original: "Prior") -> None:
        """Takes over from the prior that it is a copy of what no config holds; what is learned starts anew."""

    def serve(self, layer: keras.layers.Layer) -> None:
        """Notes that a layer has weights with this prior."""
        self._layers_served.add(layer)

    def follow_layers(self) -> None:
        """Freezes the prior if all its layers are frozen: one that is still trained goes on teaching it."""
        self.trainable = any(layer.trainable for layer in self._layers_served)

    @abc.abstractmethod
    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log p(w) in nats for each weight, of the shape of `weights`."""

    @abc.abstractmethod
    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns the prior of a tensor of weights as a TFP distribution of batch shape `shape`, as it is today."""

    def stddev(self) -> Tensor | None:
        """Returns the standard deviation of each weight, as it is today, a scalar; None if weights differ in theirs."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, and which prior it is."""
        return {"name": self.name, "identity": self.identity, "copied_from": self.copied_from}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Prior":
        """Makes the prior that `get_config` describes; within `kept_shared`, one for all configs of one prior."""
        arguments = {name: value for name, value in config.items() if name not in ("identity", "copied_from")}

        def make() -> "Prior":
            prior = cls(**arguments)
            # Of a copy of a copy too, the first of all.
            prior.copied_from = config.get("copied_from") or config.get("identity")
            if (original := _living.get(config.get("identity"))) is not None:
                prior.take_after(original)
            return prior

        return _prior_sharing.copy_of(config, make)


@keras.saving.register_keras_serializable("tfp_bnn.priors")
class Normal(Prior):
    """The Gaussian prior, `p(w) = N(w | loc, scale^2)`.

    Layers take its KL divergence from a Gaussian posterior in closed form.

    Args:
        scale: standard deviation, in units of the weights; positive.
        loc: mean.

    Raises:
        ValueError: if `scale` is not positive.

    Example:

    >>> float(Normal(scale=2.0).log_prob(0.0))  # doctest: +ELLIPSIS
    -1.612...
    """

    def __init__(self, scale: float = 1.0, loc: float = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not 0 < scale < math.inf:
            raise ValueError(f"`scale` must be positive and finite. Received: scale={scale}")
        if not math.isfinite(loc):
            raise ValueError(f"`loc` must be finite. Received: loc={loc}")
        self.scale = float(scale)
        self.loc = float(loc)

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log N(w | loc, scale^2) in nats for each weight."""
        standardized = (weights - self.loc) / self.scale
        return -0.5 * keras.ops.square(standardized) - (math.log(self.scale) + HALF_LOG_TWO_PI)

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns `tfd.Normal(loc, scale)` of batch shape `shape`."""
        loc, scale = keras.ops.full(shape, self.loc), keras.ops.full(shape, self.scale)
        return tfp.distributions(loc, scale).Normal(loc, scale)

    def stddev(self) -> Tensor:
        """Returns the scale."""
        return keras.ops.convert_to_tensor(self.scale)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "scale": self.scale, "loc": self.loc}


@keras.saving.register_keras_serializable("tfp_bnn.priors")
class ScaleMixture(Prior):
    """The scale-mixture prior, `p(w) = pi N(w | 0, sigma_1^2) + (1 - pi) N(w | 0, sigma_2^2)`.

    A wide component for the weights that matter and a narrow one for those that do not. Fixed, or learned together
    with the network (empirical Bayes): then log sigma_1, log sigma_2 and logit pi are trained, which keeps every
    value valid.

    Args:
        sigma_1: standard deviation of the wide component, at the start if it is learned.
        sigma_2: standard deviation of the narrow one; 4e-18 < sigma_2 < sigma_1 < 2e17.
        pi: share of the wide component, between 0 and 1 (both excluded).
        trainable: whether the three parameters are learned.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> prior = ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.2, trainable=True)
    >>> len(prior.trainable_variables)
    3

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equation 7.
    """

    def __init__(
        self,
        sigma_1: float = 1.0,
        sigma_2: float = math.exp(-6),
        pi: float = 0.5,
        trainable: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not SMALLEST < sigma_2 < sigma_1 < 1 / SMALLEST:
            raise ValueError(
                f"The standard deviations must satisfy {SMALLEST:.0e} < sigma_2 < sigma_1 < {1 / SMALLEST:.0e}, so "
                "that their squares and inverses are float32 numbers. "
                f"Received: sigma_1={sigma_1}, sigma_2={sigma_2}"
            )
        if not 0 < pi < 1:
            raise ValueError(f"`pi` must lie strictly between 0 and 1. Received: pi={pi}")
        # Not Keras's `trainable`: freezing and thawing a network must not turn a fixed prior into a learned one.
        self.learned = bool(trainable)
        self._initial = {"sigma_1": float(sigma_1), "sigma_2": float(sigma_2), "pi": float(pi)}
        self._log_sigma_1 = self._parameter("log_sigma_1", math.log(sigma_1))
        self._log_sigma_2 = self._parameter("log_sigma_2", math.log(sigma_2))
        self._logit_pi = self._parameter("logit_pi", math.log(pi) - math.log1p(-pi))

    def _parameter(self, name: str, value: float) -> Any:
        if not self.learned:
            return value
        initializer = keras.initializers.Constant(value)
        dtype = widened(self.variable_dtype)
        return self.add_weight(name=name, shape=(), initializer=initializer, dtype=dtype, autocast=False)

    def _parameters(self, dtype: str | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns log sigma_1, log sigma_2 and logit pi as tensors."""
        dtype = widened(self.variable_dtype) if dtype is None else dtype
        bounded = [
            keras.ops.clip(keras.ops.cast(p, dtype), -_BOUND, _BOUND) for p in (self._log_sigma_1, self._log_sigma_2)
        ]
        return (*bounded, keras.ops.cast(self._logit_pi, dtype))

    @property
    def sigma_1(self) -> Tensor:
        """The wide component's standard deviation, as it is today; a scalar tensor."""
        return keras.ops.exp(self._parameters()[0])

    @property
    def sigma_2(self) -> Tensor:
        """The narrow component's standard deviation, as it is today; a scalar tensor."""
        return keras.ops.exp(self._parameters()[1])

    @property
    def pi(self) -> Tensor:
        """The share of the wide component, as it is today; a scalar tensor."""
        return keras.ops.sigmoid(self._parameters()[2])

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log p(w) in nats for each weight.

        It is the wide component's log-density plus softplus of the log-odds of the narrow one: one elementary
        function for each weight, and no underflow however small sigma_2 or however far out w.
        """
        ops = keras.ops
        weights = ops.convert_to_tensor(weights)
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(weights.dtype)):
            weights = ops.cast(weights, keras.config.floatx())
        log_sigma_1, log_sigma_2, logit_pi = self._parameters(keras.backend.standardize_dtype(weights.dtype))
        # Learning may make the first component the narrower one; the density must be summed from the wider.
        log_wide, log_narrow = ops.maximum(log_sigma_1, log_sigma_2), ops.minimum(log_sigma_1, log_sigma_2)
        logit_wide = ops.where(log_sigma_1 >= log_sigma_2, logit_pi, -logit_pi)
        half_precision_wide, half_precision_narrow = 0.5 * ops.exp(-2 * log_wide), 0.5 * ops.exp(-2 * log_narrow)
        squared = ops.square(weights)
        wide = -squared * half_precision_wide - (log_wide + softplus(-logit_wide) + HALF_LOG_TWO_PI)
        narrow_log_odds = (log_wide - log_narrow - logit_wide) - squared * (half_precision_narrow - half_precision_wide)
        return plus_softplus(wide, narrow_log_odds)

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns the two-component `tfd.MixtureSameFamily` of batch shape `shape`."""
        ops = keras.ops
        spread = ops.broadcast_to(ops.stack([self.sigma_1, self.sigma_2]), (*shape, 2))
        share = ops.broadcast_to(ops.stack([self.pi, 1 - self.pi]), (*shape, 2))
        tfd = tfp.distributions(spread, share)
        return tfd.MixtureSameFamily(tfd.Categorical(probs=share), tfd.Normal(ops.zeros_like(spread), spread))

    def stddev(self) -> Tensor:
        """Returns `sqrt(pi sigma_1^2 + (1 - pi) sigma_2^2)`, with today's values."""
        ops = keras.ops
        return ops.sqrt(self.pi * ops.square(self.sigma_1) + (1 - self.pi) * ops.square(self.sigma_2))

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), **self._initial, "trainable": self.learned}


# It is made of what is above.
from tfp_bnn.earlier_posterior import EarlierPosterior, EarlierWeights, from_posterior  # noqa: E402
