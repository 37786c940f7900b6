"""The fully connected layer that takes any posterior and prior, TFP distributions included."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn import kl, posteriors, priors
from tfp_bnn._checks import check_count
from tfp_bnn._numerics.noise import Noise
from tfp_bnn.layers.base import VariationalLayer, monte_carlo_divergence
from tfp_bnn.layers.linear import check_features
from tfp_bnn.layers.tfp_functions import (
    DistributionPosterior,
    DistributionPrior,
    variables_of_posterior,
    variables_of_prior,
)
from tfp_bnn.posteriors import WeightPosterior, WeightSample

Tensor = Any
MakeDistribution = Callable[[int, int, Any], Any]


@keras.saving.register_keras_serializable("tfp_bnn")
class DenseVariational(VariationalLayer):
    """A Bayesian fully connected layer with one posterior over kernel and bias together.

    `activation(x @ kernel + bias)`, kernel and bias drawn once for each batch. It adds
    `kl_weight * (log q(w) - log p(w))` at the drawn weights w through `add_loss`.

    Takes inputs of shape [batch, ..., features], gives outputs of shape [batch, ..., units].

    Args:
        units: number of outputs, a positive integer.
        posterior: a `tfp_bnn.posteriors.Posterior`; None stands for `MeanFieldNormal()`. Or, as TFP's layer takes it,
            a function of (kernel size, bias size, dtype) that returns a distribution over a vector of that many
            weights, the kernel's first, or a callable of one argument, always None, that returns one. The Keras
            variables that the callable reads are tracked and trained; it must read some.
        prior: a `tfp_bnn.priors.Prior`, which several layers may share; None stands for `Normal(scale=1.0)`. Or such
            a function.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        kl_use_exact: take the KL divergence in closed form instead of by Monte Carlo.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        seed: integer seed of the noise; None draws one. TFP distributions draw from it too.
        **kwargs: of `keras.layers.Layer`: `name`, `dtype`, `trainable`, `activity_regularizer`.

    Raises:
        ValueError: if an argument or the inputs' shape is wrong, if the exact divergence is asked for and not known,
            if a function brings a posterior that would never be trained, or a prior that looks learned and would
            not be, or if the layer is trained with no KL weight set.
        ImportError: if a function is given and TFP does not import.

    Example:

    >>> from tfp_bnn import priors
    >>> prior = priors.ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.2, trainable=True)
    >>> model = keras.Sequential([
    ...     keras.Input((1,)),
    ...     DenseVariational(20, activation="relu", prior=prior),
    ...     DenseVariational(1, prior=prior),
    ... ])
    >>> len(prior.trainable_variables), len(model.trainable_variables)
    (3, 7)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3 (equation 2 for the cost).
    """

    def __init__(
        self,
        units: int,
        posterior: posteriors.Posterior | MakeDistribution | None = None,
        prior: priors.Prior | MakeDistribution | None = None,
        kl_weight: float | None = None,
        kl_use_exact: bool = False,
        activation: Any = None,
        use_bias: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ):
        arguments = {"units": check_count("units", units), "activation": activation, "use_bias": use_bias}
        super().__init__(keras.layers.Dense, arguments, kl_weight=kl_weight, seed=seed, **kwargs)
        self.posterior = _check(
            "posterior", posteriors.MeanFieldNormal() if posterior is None else posterior, posteriors.Posterior
        )
        self.prior = _check("prior", priors.Normal() if prior is None else prior, priors.Prior)
        self.kl_use_exact = kl_use_exact
        self.supports_masking = True

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the variables for inputs of this shape: a matrix whose rows are the kernel's and, last, the bias."""
        check_features(input_shape)
        features = input_shape[-1]
        self.input_spec = keras.layers.InputSpec(min_ndim=2, axes={-1: features})
        shape = (features + 1 if self.use_bias else features, self.units)
        sizes = (features * self.units, self.units if self.use_bias else 0, self.variable_dtype)
        posterior, prior = self.posterior, self.prior
        if not isinstance(posterior, posteriors.Posterior):
            # An attribute, so that Keras tracks it if it is a layer.
            self.posterior_source = posterior(*sizes)
            posterior = DistributionPosterior(self.posterior_source, shape)
        if not isinstance(prior, priors.Prior):
            self.distribution_prior = prior = DistributionPrior(prior(*sizes))
        self.add_random_weights("weights", shape, posterior, prior)
        self._track_what_is_read(posterior, prior)
        if self.kl_use_exact:
            kl.closed_form(self._variables().read(), prior)  # raises now what it would raise in training

    def _track_what_is_read(self, posterior: posteriors.Posterior, prior: priors.Prior) -> None:
        """Makes the variables of functions the layer's own, and refuses those that would never be trained."""
        read = []
        if isinstance(posterior, DistributionPosterior):
            read += variables_of_posterior(posterior)
        if isinstance(prior, DistributionPrior):
            read += variables_of_prior(prior, self._variables())
        tracked = {id(variable) for variable in self.variables}
        own = {id(variable): variable for variable in read if id(variable) not in tracked}
        for number, variable in enumerate(own.values()):
            # Attributes, for Keras and for `tf.train.Checkpoint`.
            setattr(self, f"variable_of_function_{number}", variable)

    def noisy_outputs(
        self, inputs: Tensor, weights: Mapping[str, WeightPosterior], noise: Noise
    ) -> tuple[Tensor, Mapping[str, WeightSample]]:
        """Returns the outputs at one draw of kernel and bias."""
        sample = weights["weights"].sample(noise)
        return self.outputs_at(inputs, {"weights": sample.value}), {"weights": sample}

    def outputs_at(self, inputs: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Returns `activation(x @ kernel + bias)`."""
        matrix = keras.ops.cast(weights["weights"], inputs.dtype)
        if not self.use_bias:
            return self.activation(keras.ops.matmul(inputs, matrix))
        # A column of ones meets the bias in the last row: cheaper than a copy of the matrix without that row.
        column = [(0, 0)] * (len(inputs.shape) - 1) + [(0, 1)]
        return self.activation(keras.ops.matmul(keras.ops.pad(inputs, column, constant_values=1), matrix))

    def start_at(self, weights: Sequence[Any]) -> None:
        """Starts the posterior at a kernel and, if there is one, a bias; a function's posterior cannot be moved."""
        recipe = _check_recipe(self.posterior)
        recipe.start_at(self._variables(), np.concatenate([np.reshape(each, (-1, self.units)) for each in weights]))

    def keras_weights(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the kernel's rows and, if there is one, the bias."""
        matrix = weights["weights"]
        return [matrix[:-1], matrix[-1]] if self.use_bias else [matrix]

    def divergence(
        self, posterior: WeightPosterior, prior: priors.Prior, sample: WeightSample | None, noise: Noise
    ) -> Tensor:
        """Returns log q(w) - log p(w) at the draw, or the exact divergence where `kl_use_exact` says so."""
        if self.kl_use_exact:
            return kl.closed_form(posterior, prior)
        return monte_carlo_divergence(posterior, prior, sample, noise)

    def kernel_posterior(self) -> Any:
        """Returns the kernel's posterior as a TFP distribution with the current values.

        Raises:
            ValueError: if the posterior came from a function: it is one distribution over kernel and bias, which
                `weights_posterior` returns.
        """
        weights = self._variables().read()
        if not isinstance(weights, posteriors.NormalWeights):
            raise ValueError(
                "The kernel has no posterior of its own in a joint one; see `weights_posterior`. "
                f"Received: posterior={self.posterior!r}"
            )
        rows = slice(None, -1 if self.use_bias else None)
        return posteriors.NormalWeights(weights.mean[rows], weights.stddev[rows]).distribution()

    def kernel_prior(self) -> Any:
        """Returns the kernel's current prior as a TFP distribution; that of all weights if a function gave it."""
        features = self.input_spec.axes[-1]
        return self.random_weights["weights"][1].distribution((features, self.units))

    def weights_posterior(self) -> Any:
        """Returns the posterior of kernel and bias together as a TFP distribution with the current values."""
        return self._variables().read().distribution()

    def _variables(self) -> posteriors.PosteriorVariables:
        if not self.random_weights:
            raise ValueError(
                f"There is no posterior before the layer is built. Received: layer {self.name!r}, not built"
            )
        return self.random_weights["weights"][0]

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are: Keras keeps shared
        objects shared only if it serializes them itself.
        """
        return {
            **super().get_config(),
            "posterior": self.posterior,
            "prior": self.prior,
            "kl_use_exact": self.kl_use_exact,
        }


def _check_recipe(posterior: Any) -> posteriors.Posterior:
    if not isinstance(posterior, posteriors.Posterior):
        raise ValueError(
            f"A posterior that a function returned starts where it does. Received: posterior={posterior!r}"
        )
    return posterior


def _check(name: str, value: Any, expected: type) -> Any:
    # A prior is a Keras layer, so it is callable, but it makes no distribution over weights of a size.
    is_function = callable(value) and not isinstance(value, type | priors.Prior)
    if not isinstance(value, expected) and not is_function:
        raise ValueError(
            f"`{name}` must be a tfp_bnn.{name}s.{expected.__name__} or a function of (kernel size, bias size, dtype) "
            f"that returns a TFP distribution. Received: {name}={value!r}"
        )
    return value
