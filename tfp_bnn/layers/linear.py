"""The base of layers with a linear operation: a random kernel, a bias (random where asked), an estimator."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras

from tfp_bnn import kl, posteriors, priors
from tfp_bnn._checks import check_type
from tfp_bnn._numerics.noise import Noise
from tfp_bnn.estimators import Estimator, SignShapes
from tfp_bnn.layers.base import VariationalLayer, monte_carlo_divergence
from tfp_bnn.posteriors import PosteriorVariables, WeightPosterior, WeightSample

Tensor = Any


class LinearVariationalLayer(VariationalLayer):
    """Abstract base of `activation(linear_op(inputs, kernel) + bias)` with a random kernel.

    A family of layers supplies `kernel_shape`, `linear_op`, `sign_shapes` and the shapes that Keras asks for; a final
    class names its `estimator`. The KL term is in closed form where there is one, and by Monte Carlo otherwise.

    Args:
        num_outputs: units or filters.
        activation: Keras activation, or None.
        use_bias: whether a bias is added.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        **kwargs: of `VariationalLayer` and of `keras.layers.Layer`.
    """

    estimator: ClassVar[Estimator]

    def __init__(
        self,
        num_outputs: int,
        *,
        activation: Any = None,
        use_bias: bool = True,
        prior: priors.Prior | None = None,
        posterior: posteriors.Posterior | None = None,
        bias_prior: priors.Prior | None = None,
        bias_posterior: posteriors.Posterior | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if bias_posterior is not None and not use_bias:
            raise ValueError("`bias_posterior` needs a bias. Received: use_bias=False")
        if bias_prior is not None and bias_posterior is None:
            raise ValueError("`bias_prior` needs a `bias_posterior`. Received: bias_posterior=None")
        self._num_outputs = num_outputs
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.prior = _prior("prior", prior)
        self.posterior = _posterior("posterior", posteriors.MeanFieldNormal() if posterior is None else posterior)
        self.bias_posterior = bias_posterior if bias_posterior is None else _posterior("bias_posterior", bias_posterior)
        self.bias_prior = None if bias_posterior is None else _prior("bias_prior", bias_prior)
        self.bias = None

    # What a family supplies.

    @abc.abstractmethod
    def check_input_shape(self, input_shape: Sequence[int | None]) -> None:
        """Raises ValueError if the layer cannot take inputs of this shape."""

    @abc.abstractmethod
    def kernel_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns the kernel's shape for inputs of this shape."""

    @abc.abstractmethod
    def linear_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Returns the outputs without bias and activation."""

    @abc.abstractmethod
    def sign_shapes(self, inputs: Tensor) -> SignShapes:
        """Returns the shapes of one value for each example and channel, for inputs and for outputs."""

    # What all families share.

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the variables for inputs of this shape."""
        self.check_input_shape(input_shape)
        self.add_random_weights("kernel", self.kernel_shape(input_shape), self.posterior, self.prior)
        if self.bias_posterior is not None:
            self.add_random_weights("bias", (self._num_outputs,), self.bias_posterior, self.bias_prior)
        elif self.use_bias:
            self.bias = self.add_weight(name="bias", shape=(self._num_outputs,), initializer="zeros")

    def noisy_outputs(
        self, inputs: Tensor, weights: Mapping[str, WeightPosterior], noise: Noise
    ) -> tuple[Tensor, Mapping[str, WeightSample]]:
        """Returns the outputs with the estimator's noise."""
        signs = self.sign_shapes(inputs)
        kernel = self.estimator.linear(self._apply_kernel, inputs, weights["kernel"], noise, signs)
        outputs, samples = kernel.outputs, {"kernel": kernel.sample}
        if "bias" in weights:
            bias = self.estimator.bias(weights["bias"], noise, signs)
            outputs = outputs + keras.ops.cast(bias.outputs, outputs.dtype)
            samples["bias"] = bias.sample
        elif self.use_bias:
            outputs = self._add_bias(outputs, self.bias, signs)
        return self.activation(outputs), samples

    def outputs_at(self, inputs: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Returns the outputs for one kernel and bias."""
        outputs = self._apply_kernel(inputs, weights["kernel"])
        if self.use_bias:
            outputs = self._add_bias(outputs, weights.get("bias", self.bias), self.sign_shapes(inputs))
        return self.activation(outputs)

    def _apply_kernel(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return self.linear_op(inputs, keras.ops.cast(kernel, inputs.dtype))

    def _add_bias(self, outputs: Tensor, bias: Tensor, signs: SignShapes) -> Tensor:
        bias = keras.ops.reshape(keras.ops.cast(bias, outputs.dtype), (1, *signs.outputs[1:]))
        return outputs + bias

    def keras_weights(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns kernel and, if there is one, bias."""
        bias = [weights.get("bias", self.bias)] if self.use_bias else []
        return [weights["kernel"], *bias]

    def divergence(
        self, posterior: WeightPosterior, prior: priors.Prior, sample: WeightSample | None, noise: Noise
    ) -> Tensor:
        """Returns the closed form where there is one, otherwise the Monte Carlo estimate."""
        if kl.has_closed_form(posterior, prior):
            return kl.closed_form(posterior, prior)
        return monte_carlo_divergence(posterior, prior, sample, noise)

    def kernel_posterior(self) -> Any:
        """Returns the kernel's posterior as a TFP distribution with today's values."""
        return self._random("kernel")[0].read().distribution()

    def kernel_prior(self) -> Any:
        """Returns the kernel's prior as a TFP distribution with today's values."""
        variables, prior = self._random("kernel")
        return prior.distribution(variables.read().mean.shape)

    def _random(self, name: str) -> tuple[PosteriorVariables, priors.Prior]:
        if name not in self.random_weights:
            raise ValueError(
                f"The {name} has no posterior before the layer is built. Received: layer {self.name!r}, not built"
            )
        return self.random_weights[name]

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are: Keras keeps shared
        objects shared only if it serializes them itself.
        """
        return {
            **super().get_config(),
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "prior": self.prior,
            "posterior": self.posterior,
            "bias_prior": self.bias_prior,
            "bias_posterior": self.bias_posterior,
        }


def check_features(input_shape: Sequence[int | None]) -> None:
    """Raises ValueError if a dense layer cannot take inputs of this shape."""
    if len(input_shape) < 2 or not input_shape[-1]:
        raise ValueError(
            "A dense layer takes inputs of shape [batch, ..., features], with a known number of features, at least 1. "
            f"Received: input_shape={tuple(input_shape)}"
        )


def _prior(name: str, prior: Any) -> priors.Prior:
    return check_type(name, priors.Normal() if prior is None else prior, priors.Prior)


def _posterior(name: str, posterior: Any) -> posteriors.Posterior:
    return check_type(name, posterior, posteriors.Posterior)
