"""Posteriors q(w) over weights.

A `Posterior` is a recipe, as an initializer is: one object may serve many layers, and each gets variables of its own
from it, its `PosteriorVariables`. Read, these give a `WeightPosterior`: the distribution as it is now, in tensors.
"""

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from tfp_bnn._backend import tfp
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.noise import Noise
from tfp_bnn._numerics.softplus import softplus, softplus_inverse

__all__ = [
    "MeanFieldNormal",
    "Noise",
    "NormalVariables",
    "NormalWeights",
    "Posterior",
    "PosteriorVariables",
    "Pruned",
    "PrunedVariables",
    "WeightPosterior",
    "WeightSample",
]

Tensor = Any

# Of the root mean square of a tensor's means: less than that no mean counts as, where standard deviations start
# relative to it.
_LEAST_SHARE = 0.01


class WeightSample(NamedTuple):
    """One draw of a tensor of weights: the weights `value`, and log q(value) in nats, the sum over all of them.

    Where some are pruned, `kept` says which are not: log q, and the divergence from a prior, are of these alone.
    """

    value: Tensor
    log_prob: Tensor
    kept: Tensor | None = None


class WeightPosterior(abc.ABC):
    """The posterior of one tensor of weights, with the values that its variables have now."""

    mean: Tensor
    """The means of the weights, of their shape."""

    @abc.abstractmethod
    def sample(self, noise: Noise) -> WeightSample:
        """Draws the weights once; gradients reach the posterior's variables through the draw."""

    @abc.abstractmethod
    def distribution(self) -> Any:
        """Returns it as a TFP distribution."""


class PosteriorVariables(abc.ABC):
    """The variables of the posterior of one tensor of weights of one layer."""

    @abc.abstractmethod
    def read(self) -> WeightPosterior:
        """Returns the posterior with the current values."""


class Posterior(abc.ABC):
    """A recipe for the posterior of a tensor of weights."""

    weights: ClassVar[type[WeightPosterior]] = WeightPosterior
    """What its variables read: estimators other than reparameterization need `NormalWeights`."""

    @abc.abstractmethod
    def create(self, add_weight: Callable[..., Any], name: str, shape: Sequence[int]) -> PosteriorVariables:
        """Makes the variables of one tensor of weights.

        A recipe with means asks `add_weight` for `NAME_mean` first and for `NAME_rho` second, so that a layer which
        has the variable of the means already, that of a Keras layer, can give that one.

        Args:
            add_weight: the layer's own `add_weight`, so that the variables are the layer's.
            name: what the weights are, such as "kernel".
            shape: their shape.
        """

    def start_at(self, variables: PosteriorVariables, mean: Any) -> None:
        """Puts the means there and the standard deviations where the recipe starts them.

        Args:
            variables: what `create` made.
            mean: array of the weights' shape, or one that broadcasts to it.

        Raises:
            ValueError: if the recipe has no such start, or the variables are not of its kind.
        """
        raise ValueError(f"This posterior cannot start at given means. Received: {self!r}")

    def with_mean_initializer(self, mean_initializer: Any) -> "Posterior":
        """Returns the same recipe with means that start elsewhere; raises ValueError if it has no such means.

        Args:
            mean_initializer: a Keras initializer, or the name of one.
        """
        raise ValueError(
            f"This posterior has no `mean_initializer` to replace. Received: {mean_initializer!r} for {self!r}"
        )


class NormalWeights(WeightPosterior):
    """Independent Gaussian weights, `q(w) = N(w | mean, stddev^2)`.

    Args:
        mean: tensor of the weights' shape.
        stddev: tensor of the same shape.
        kept: boolean tensor of the same shape, False for pruned weights: these are 0 for good, whatever `mean` and
            `stddev` say of them, and q is a distribution over the other weights. None: no weight is pruned.
    """

    def __init__(self, mean: Tensor, stddev: Tensor, kept: Tensor | None = None):
        self.kept = kept
        self.mean = self.where_kept(mean, 0.0)
        self.stddev = self.where_kept(stddev, 0.0)

    def where_kept(self, values: Tensor, pruned: float) -> Tensor:
        """Returns the values, a tensor of the weights' shape, with `pruned` in the places of pruned weights."""
        return values if self.kept is None else keras.ops.where(self.kept, values, pruned)

    def num_kept(self) -> int | Tensor:
        """Returns how many weights are not pruned."""
        if self.kept is None:
            return math.prod(self.mean.shape)
        return keras.ops.sum(keras.ops.cast(self.kept, self.mean.dtype))

    def sum_log_stddev(self) -> Tensor:
        """Returns the sum over the weights that are not pruned of the logarithm of the standard deviation."""
        return keras.ops.sum(keras.ops.log(self.where_kept(self.stddev, 1.0)))

    def sum_squares(self, origin: float = 0.0) -> Tensor:
        """Returns the sum over the weights that are not pruned of the square of the mean less `origin`."""
        return keras.ops.sum(self.where_kept(keras.ops.square(self.mean - origin), 0.0))

    def perturbation(self, noise: Noise) -> WeightSample:
        """Draws `stddev * eps`, the weights less their means; log q is that of `mean + stddev * eps`."""
        ops = keras.ops
        eps = noise.normal(self.mean.shape, keras.backend.standardize_dtype(self.mean.dtype))
        # In terms of eps, not of the weights: exact however small the standard deviation is beside the mean.
        squares = ops.sum(self.where_kept(ops.square(eps), 0.0))
        log_prob = -0.5 * squares - self.sum_log_stddev() - self.num_kept() * HALF_LOG_TWO_PI
        return WeightSample(self.stddev * eps, log_prob, self.kept)

    def sample(self, noise: Noise) -> WeightSample:
        """Draws `mean + stddev * eps` with eps from N(0, 1) (Blundell et al. 2015, section 3.2)."""
        perturbation = self.perturbation(noise)
        return perturbation._replace(value=self.mean + perturbation.value)

    def distribution(self) -> Any:
        """Returns `tfd.Normal(mean, stddev)`."""
        return tfp.distributions(self.mean, self.stddev).Normal(self.mean, self.stddev)


class NormalVariables(PosteriorVariables):
    """Two variables for each weight: its mean, and rho with `stddev = softplus(rho)`.

    Args:
        mean: variable of the weights' shape.
        rho: variable of the same shape.

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    def __init__(self, mean: Any, rho: Any):
        self.mean = mean
        self.rho = rho

    def read(self) -> NormalWeights:
        """Returns the Gaussian posterior with the current means and standard deviations."""
        # The value, not the variable: TensorFlow would read that when it is used, perhaps where Keras rounds variables.
        mean, rho = (keras.ops.convert_to_tensor(variable.value) for variable in (self.mean, self.rho))
        return NormalWeights(mean, softplus(rho))

    def assign(self, mean: Any, stddev: Any) -> None:
        """Sets the means and the standard deviations, arrays of the weights' shape (or that broadcast to it)."""
        shape = tuple(self.mean.shape)
        self.mean.assign(np.broadcast_to(mean, shape))
        self.rho.assign(np.broadcast_to(softplus_inverse(np.asarray(stddev, "float64")), shape))


@keras.saving.register_keras_serializable("tfp_bnn.posteriors")
class MeanFieldNormal(Posterior):
    """Independent Gaussian weights: each has a mean and a standard deviation of its own, both trained.

    Args:
        initial_stddev: standard deviation at the start, in units of the weights; positive.
        mean_initializer: Keras initializer of the means of kernels.
        relative_stddev: standard deviation at the start in units of the weight's own mean, `relative_stddev * |mean|`:
            for means that were trained already. A weight gets at least a hundredth of what one of the tensor's root
            mean square gets, and `initial_stddev` if all means of the tensor are 0, as those of biases are. None: all
            start at `initial_stddev`.
        fan_in_stddev: standard deviation at the start in units of `1 / sqrt(fan-in)`, where the fan-in of a tensor
            is the product of all its axes but the last, as Keras's initializers count: with inputs of root mean square
            1, the noise of a unit's sum then has this standard deviation, however wide the layer is. Vectors, biases,
            start at `initial_stddev`. None: all start at `initial_stddev`.

    Raises:
        ValueError: if a standard deviation is not positive, if both kinds of start are given, or if
            `mean_initializer` is no Keras initializer.

    Example:

    >>> MeanFieldNormal(initial_stddev=0.02).initial_stddev
    0.02
    >>> posterior = MeanFieldNormal(relative_stddev=0.1)
    >>> variables = posterior.create(keras.layers.Layer().add_weight, "kernel", (2,))
    >>> posterior.start_at(variables, [2.0, -0.5])
    >>> [round(float(stddev), 4) for stddev in variables.read().stddev]
    [0.2, 0.05]

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; `relative_stddev` is the delta
    of Krishnan et al. 2020, "Specifying Weight Priors in Bayesian Deep Neural Networks with Empirical Bayes".
    """

    weights = NormalWeights

    def __init__(
        self,
        initial_stddev: float = 0.05,
        mean_initializer: Any = "he_normal",
        relative_stddev: float | None = None,
        fan_in_stddev: float | None = None,
    ):
        _check_positive("initial_stddev", initial_stddev)
        if relative_stddev is not None:
            _check_positive("relative_stddev", relative_stddev)
        if fan_in_stddev is not None:
            _check_positive("fan_in_stddev", fan_in_stddev)
        if None not in (relative_stddev, fan_in_stddev):
            raise ValueError(
                "Give `relative_stddev` or `fan_in_stddev`, not both. "
                f"Received: relative_stddev={relative_stddev}, fan_in_stddev={fan_in_stddev}"
            )
        self.initial_stddev = float(initial_stddev)
        self.relative_stddev = None if relative_stddev is None else float(relative_stddev)
        self.fan_in_stddev = None if fan_in_stddev is None else float(fan_in_stddev)
        self.mean_initializer = keras.initializers.get(mean_initializer)
        if not isinstance(self.mean_initializer, keras.initializers.Initializer):
            raise ValueError(
                "`mean_initializer` must be a Keras initializer, or the name of one. "
                f"Received: mean_initializer={mean_initializer!r}"
            )

    def create(self, add_weight: Callable[..., Any], name: str, shape: Sequence[int]) -> NormalVariables:
        """Makes the variables `NAME_mean` and `NAME_rho`; the means of a vector, a bias, start at 0."""
        mean_initializer = self.mean_initializer.clone() if len(shape) > 1 else "zeros"
        mean = add_weight(name=f"{name}_mean", shape=shape, initializer=mean_initializer)

        def start_of_rho(shape: Sequence[int], dtype: Any = None) -> Tensor:
            # Where Keras makes variables first and their values later, those of the means come first too.
            return keras.ops.cast(self._start_of_rho(mean), dtype)

        return NormalVariables(mean, add_weight(name=f"{name}_rho", shape=shape, initializer=start_of_rho))

    def start_at(self, variables: PosteriorVariables, mean: Any) -> None:
        """Puts the means there and the standard deviations where the recipe starts them."""
        if not isinstance(variables, NormalVariables):
            raise ValueError(f"`variables` must be NormalVariables, as `create` makes. Received: {variables!r}")
        mean = np.broadcast_to(keras.ops.convert_to_numpy(mean), tuple(variables.mean.shape))
        variables.assign(mean, self.initial_stddevs(mean, mean.shape))

    def initial_stddevs(self, mean: np.ndarray, shape: Sequence[int]) -> float | np.ndarray:
        """Returns where the standard deviations start, one for all or one for each mean.

        Args:
            mean: the means, in any shape.
            shape: that of the tensor of weights.

        Example:

        >>> MeanFieldNormal(relative_stddev=0.1).initial_stddevs(np.array([1.0, -2.0]), (2,))
        array([0.1, 0.2])
        """
        root_mean_square = np.sqrt(np.mean(np.square(mean, dtype="float64")))
        if self.relative_stddev is None or root_mean_square == 0:
            return self._stddev_of(shape)
        return self.relative_stddev * np.maximum(np.abs(mean), _LEAST_SHARE * root_mean_square)

    def _stddev_of(self, shape: Sequence[int]) -> float:
        if self.fan_in_stddev is None or len(shape) < 2:
            return self.initial_stddev
        return self.fan_in_stddev / math.sqrt(math.prod(shape[:-1]))

    def _start_of_rho(self, mean: Any) -> Tensor:
        ops = keras.ops
        mean = ops.convert_to_tensor(mean)
        initial = float(softplus_inverse(self._stddev_of(mean.shape)))
        if self.relative_stddev is None:
            return ops.full_like(mean, initial)
        root_mean_square = ops.sqrt(ops.mean(ops.square(mean)))
        stddev = self.relative_stddev * ops.maximum(ops.abs(mean), _LEAST_SHARE * root_mean_square)
        # The inverse of softplus; in tensors, since Keras may compile what makes initial values.
        return ops.where(root_mean_square > 0, stddev + ops.log(-ops.expm1(-stddev)), initial)

    def with_mean_initializer(self, mean_initializer: Any) -> "MeanFieldNormal":
        """Returns the same recipe with means that start elsewhere."""
        return MeanFieldNormal(self.initial_stddev, mean_initializer, self.relative_stddev, self.fan_in_stddev)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {
            "initial_stddev": self.initial_stddev,
            "mean_initializer": keras.initializers.serialize(self.mean_initializer),
            "relative_stddev": self.relative_stddev,
            "fan_in_stddev": self.fan_in_stddev,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "MeanFieldNormal":
        """Makes the posterior that `get_config` describes."""
        return cls(**config)


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be positive and finite. Received: {name}={value}")


class PrunedVariables(PosteriorVariables):
    """The variables of a Gaussian posterior, and which of the weights are kept.

    Args:
        normal: mean and rho of each weight, pruned or not.
        kept: variable of the weights' shape: 1, or 0 for pruned weights.
    """

    def __init__(self, normal: NormalVariables, kept: Any):
        self.normal = normal
        self.kept = kept

    def read(self) -> NormalWeights:
        """Returns the Gaussian posterior with the current means and standard deviations, both 0 for pruned weights."""
        weights = self.normal.read()
        return NormalWeights(weights.mean, weights.stddev, keras.ops.cast(self.kept, "bool"))


@keras.saving.register_keras_serializable("tfp_bnn.posteriors")
class Pruned(Posterior):
    """A Gaussian posterior some of whose weights are pruned, their means and standard deviations both 0 for good.

    `tfp_bnn.prune` gives the layers of its models such posteriors. At the start every weight is kept.

    Args:
        posterior: recipe of the Gaussian posterior.

    Raises:
        ValueError: if `posterior` is no `MeanFieldNormal`.

    Example:

    >>> Pruned(MeanFieldNormal(initial_stddev=0.02)).posterior.initial_stddev
    0.02

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1.
    """

    weights = NormalWeights

    def __init__(self, posterior: MeanFieldNormal):
        if not isinstance(posterior, MeanFieldNormal):
            raise ValueError(
                f"Only weights of a MeanFieldNormal posterior can be pruned. Received: posterior={posterior!r}"
            )
        self.posterior = posterior

    def create(self, add_weight: Callable[..., Any], name: str, shape: Sequence[int]) -> PrunedVariables:
        """Makes the variables of the Gaussian posterior, and `NAME_kept`."""
        normal = self.posterior.create(add_weight, name, shape)
        kept = add_weight(name=f"{name}_kept", shape=shape, initializer="ones", trainable=False)
        return PrunedVariables(normal, kept)

    def start_at(self, variables: PosteriorVariables, mean: Any) -> None:
        """Starts the Gaussian posterior there; weights that are pruned stay so."""
        if not isinstance(variables, PrunedVariables):
            raise ValueError(f"`variables` must be PrunedVariables, as `create` makes. Received: {variables!r}")
        self.posterior.start_at(variables.normal, mean)

    def with_mean_initializer(self, mean_initializer: Any) -> "Pruned":
        """Returns the same recipe with means that start elsewhere."""
        return Pruned(self.posterior.with_mean_initializer(mean_initializer))

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {"posterior": keras.saving.serialize_keras_object(self.posterior)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Pruned":
        """Makes the posterior that `get_config` describes."""
        return cls(keras.saving.deserialize_keras_object(config["posterior"]))
