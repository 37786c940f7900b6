"""The base of layers that are linear in random kernels: a bias (random where asked), an estimator, an activation."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, TypedDict

import keras

from tfp_bnn import estimators, posteriors, priors
from tfp_bnn._numerics.noise import Noise
from tfp_bnn.estimators import Estimator, LinearMap, SignShapes
from tfp_bnn.layers.arguments import check_none_replaced, of_bias, posterior_of, prior_of
from tfp_bnn.layers.base import VariationalLayer, exact_or_estimated
from tfp_bnn.layers.plain import arguments_of
from tfp_bnn.posteriors import PosteriorVariables, WeightPosterior, WeightSample

Tensor = Any


class BayesianArguments(TypedDict, total=False):
    """What every layer here takes beside the arguments of its Keras layer; all are keywords."""

    estimator: str | Estimator | None
    prior: priors.Prior | None
    posterior: posteriors.Posterior | None
    bias_prior: priors.Prior | None
    bias_posterior: posteriors.Posterior | None
    kl_weight: float | None
    seed: int | None
    name: str | None
    dtype: Any
    trainable: bool
    activity_regularizer: Any
    kernel_initializer: Any
    depthwise_initializer: Any
    pointwise_initializer: Any
    bias_initializer: Any
    bias_regularizer: Any
    bias_constraint: Any


class LinearVariationalLayer(VariationalLayer):
    """Abstract base of `activation(map(inputs, kernel) + bias)` with a random kernel, or several maps one by one.

    A family of layers supplies its `LinearMap`s. The KL term is in closed form where there is one, and by Monte Carlo
    otherwise.

    Args:
        layer_class: the class of `keras.layers` that the family stands for.
        arguments: what that is made of, by name; without those of `keras.layers.Layer`, initializers and the like.
        estimator: how noise reaches the outputs, a name or a `tfp_bnn.estimators.Estimator`; None stands for the
            family's default.
        prior: a `tfp_bnn.priors.Prior` of the kernel's weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the kernel; None stands for `MeanFieldNormal()`.
        bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
        **kwargs: of `VariationalLayer`, of `keras.layers.Layer`, and initializers and the like of `layer_class`.
    """

    default_estimator: ClassVar[str] = "flipout"
    fixed_estimator: ClassVar[str | None] = None
    """The estimator that a class is named after, such as `DenseFlipout`; None if it takes any."""

    initializers: ClassVar[Mapping[str, str]] = {"kernel": "kernel_initializer"}
    """By the name of random weights, the argument of the Keras layer that says where they start."""

    def __init__(
        self,
        layer_class: type[keras.layers.Layer],
        arguments: Mapping[str, Any],
        *,
        estimator: str | Estimator | None = None,
        prior: priors.Prior | None = None,
        posterior: posteriors.Posterior | None = None,
        bias_prior: priors.Prior | None = None,
        bias_posterior: posteriors.Posterior | None = None,
        **kwargs: Any,
    ):
        of_keras = arguments_of(layer_class, kwargs)
        kwargs = {name: value for name, value in kwargs.items() if name not in of_keras}
        super().__init__(layer_class, {**arguments, **of_keras}, **kwargs)
        check_none_replaced(
            {name: value for name, value in of_keras.items() if name not in (*self.initializers.values(), *_OF_BIAS)}
        )
        self.estimator = estimators.get(self._estimator_or_default(estimator))
        self.prior = prior_of("prior", prior)
        self.posterior = posterior_of("posterior", posterior)
        self._check_bias(bias_posterior, of_keras)
        self.bias_prior, self.bias_posterior = of_bias(bias_prior, bias_posterior)
        for recipe in filter(None, (self.posterior, self.bias_posterior)):
            self.estimator.check(recipe)
        self.bias = None

    def _estimator_or_default(self, estimator: str | Estimator | None) -> str | Estimator:
        if self.fixed_estimator is None:
            return self.default_estimator if estimator is None else estimator
        if estimator is not None:
            raise ValueError(
                f"{type(self).__name__} has the estimator of its name. For another one write "
                f"{type(self).__base__.__name__}(..., estimator=...). Received: estimator={estimator!r}"
            )
        return self.fixed_estimator

    def _check_bias(self, bias_posterior: posteriors.Posterior | None, of_keras: Mapping[str, Any]) -> None:
        if bias_posterior is not None and not self.use_bias:
            raise ValueError("`bias_posterior` needs a bias. Received: use_bias=False")
        for argument in _OF_BIAS:
            if bias_posterior is not None and of_keras.get(argument) not in (None, "zeros"):
                raise ValueError(
                    f"`{argument}` needs a bias that is a plain weight, and `bias_posterior` makes it random. "
                    f"Received: {argument}={of_keras[argument]!r}"
                )

    # What a family supplies.

    @abc.abstractmethod
    def linear_maps(self, input_shape: Sequence[int | None]) -> Sequence[LinearMap]:
        """Returns the linear maps of the layer in their order; raises ValueError if inputs of this shape do not fit."""

    @abc.abstractmethod
    def bias_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns the shape of the Keras layer's bias."""

    # What all families share.

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Makes the variables for inputs of this shape."""
        self._maps = tuple(self.linear_maps(input_shape))
        for linear in self._maps:
            self.add_random_weights(linear.name, linear.kernel_shape, self._posterior_of(linear.name), self.prior)
        if not self.use_bias:
            return
        shape = self.bias_shape(input_shape)
        if self.bias_posterior is not None:
            self.add_random_weights("bias", shape, self.bias_posterior, self.bias_prior)
        else:
            of_keras = {kind: getattr(self._plain.layer, f"bias_{kind}") for kind in _KINDS}
            self.bias = self.add_weight(name="bias", shape=shape, **of_keras)

    def _posterior_of(self, weights: str) -> posteriors.Posterior:
        initializer = getattr(self, self.initializers[weights], None)
        return self.posterior if initializer is None else self.posterior.with_mean_initializer(initializer)

    def noisy_outputs(
        self, inputs: Tensor, weights: Mapping[str, WeightPosterior], noise: Noise
    ) -> tuple[Tensor, Mapping[str, WeightSample]]:
        """Returns the outputs with the estimator's noise."""
        outputs, samples = inputs, {}
        for linear in self._maps:
            outputs, samples[linear.name] = self.estimator.linear(linear, outputs, weights[linear.name], noise)
        if "bias" in weights:
            shape = (keras.ops.shape(outputs)[0], *self._along(outputs, weights["bias"].mean))
            bias, samples["bias"] = self.estimator.bias(weights["bias"], noise, shape)
            outputs = outputs + keras.ops.cast(bias, outputs.dtype)
        elif self.use_bias:
            outputs = self._add_bias(outputs, self.bias)
        return self.activation(outputs), samples

    def outputs_at(self, inputs: Tensor, weights: Mapping[str, Tensor]) -> Tensor:
        """Returns the outputs for one kernel and bias."""
        outputs = inputs
        for linear in self._maps:
            outputs = linear(outputs, weights[linear.name])
        if self.use_bias:
            outputs = self._add_bias(outputs, weights.get("bias", self.bias))
        return self.activation(outputs)

    def _add_bias(self, outputs: Tensor, bias: Tensor) -> Tensor:
        bias = keras.ops.cast(bias, outputs.dtype)
        return outputs + keras.ops.reshape(bias, (1, *self._along(outputs, bias)))

    def _along(self, outputs: Tensor, bias: Tensor) -> tuple[int, ...]:
        """Returns the bias's shape with ones around it for all axes of the outputs but the batch."""
        behind = (1,) * (len(outputs.shape) - 2) if getattr(self, "data_format", None) == "channels_first" else ()
        shape = (*bias.shape, *behind)
        return (*[1] * (len(outputs.shape) - 1 - len(shape)), *shape)

    def start_at(self, weights: Sequence[Any]) -> None:
        """Starts the posteriors at kernels and, if there is one, a bias, which may be a plain weight."""
        for linear, kernel in zip(self._maps, weights, strict=False):
            self._posterior_of(linear.name).start_at(self.random_weights[linear.name][0], kernel)
        if self.bias_posterior is not None:
            self.bias_posterior.start_at(self.random_weights["bias"][0], weights[-1])
        elif self.use_bias:
            self.bias.assign(weights[-1])

    def keras_weights(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the kernels and, if there is one, the bias."""
        bias = [weights.get("bias", self.bias)] if self.use_bias else []
        return [*[weights[linear.name] for linear in self._maps], *bias]

    def divergence(
        self, posterior: WeightPosterior, prior: priors.Prior, sample: WeightSample | None, noise: Noise
    ) -> Tensor:
        """Returns the closed form where there is one, otherwise the Monte Carlo estimate."""
        return exact_or_estimated(posterior, prior, sample, noise)

    def kernel_posterior(self) -> Any:
        """Returns the current posterior of the kernel, the first if there are several, as a TFP distribution."""
        return self._first_kernel()[0].read().distribution()

    def kernel_prior(self) -> Any:
        """Returns the current prior of the kernel, the first if there are several, as a TFP distribution."""
        variables, prior = self._first_kernel()
        return prior.distribution(variables.read().mean.shape)

    def _first_kernel(self) -> tuple[PosteriorVariables, priors.Prior]:
        if not self.random_weights:
            raise ValueError(
                f"The kernel has no posterior before the layer is built. Received: layer {self.name!r}, not built"
            )
        return self.random_weights[self._maps[0].name]

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are: Keras keeps shared
        objects shared only if it serializes them itself.
        """
        estimator = {} if self.fixed_estimator else {"estimator": estimators.serialize(self.estimator)}
        return {
            **super().get_config(),
            **estimator,
            "prior": self.prior,
            "posterior": self.posterior,
            "bias_prior": self.bias_prior,
            "bias_posterior": self.bias_posterior,
        }


_KINDS = ("initializer", "regularizer", "constraint")
_OF_BIAS = tuple(f"bias_{kind}" for kind in _KINDS)


def signs_along(axis: int, num_outputs: int) -> Any:
    """Returns the function of inputs that gives the shapes of signs: one for each example and channel.

    All positions of an example share their weights, hence their signs.

    Args:
        axis: along which channels lie, in inputs and outputs.
        num_outputs: how many channels the outputs have.

    Example:

    >>> signs_along(-1, 6)(keras.ops.ones((2, 8, 8, 3)))
    SignShapes(inputs=(2, 1, 1, 3), outputs=(2, 1, 1, 6), channel_axis=-1)
    """

    def sign_shapes(inputs: Tensor) -> SignShapes:
        batch = keras.ops.shape(inputs)[0]

        def shape(channels: int) -> tuple[Any, ...]:
            ones = [batch, *[1] * (len(inputs.shape) - 1)]
            ones[axis] = channels
            return tuple(ones)

        return SignShapes(shape(inputs.shape[axis]), shape(num_outputs), axis)

    return sign_shapes


def check_features(input_shape: Sequence[int | None]) -> None:
    """Raises ValueError if a dense layer cannot take inputs of this shape."""
    if len(input_shape) < 2 or not input_shape[-1]:
        raise ValueError(
            "A dense layer takes inputs of shape [batch, ..., features], with a known number of features, at least 1. "
            f"Received: input_shape={tuple(input_shape)}"
        )
