"""Any Keras layer, made Bayesian: it runs at weights that are drawn, whatever it does with them."""

import abc
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict, Unpack

import keras

from tfp_bnn import _keras, estimators, posteriors, priors
from tfp_bnn._numerics.noise import Noise
from tfp_bnn.estimators import Estimator
from tfp_bnn.layers import build_shapes
from tfp_bnn.layers.arguments import check_none_replaced, of_bias, posterior_of, prior_of
from tfp_bnn.layers.base import VariationalLayer, exact_or_estimated, variational_layers
from tfp_bnn.layers.halves import join, split
from tfp_bnn.layers.plain import arguments_of
from tfp_bnn.posteriors import WeightPosterior, WeightSample

Tensor = Any

NORMALIZATIONS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.SpectralNormalization,
    keras.layers.PReLU,
)
"""Layers whose weights are scales and slopes: inside of others they stay as they are."""

_ESTIMATORS = (estimators.Reparameterization, estimators.Antithetic)

_ASKED_OF_RECURRENT = ("go_backwards", "return_sequences", "return_state", "stateful", "reset_state")
"""What `Bidirectional` and models ask of a recurrent layer."""


class WrapperArguments(TypedDict, total=False):
    """What a wrapping layer takes beside the arguments of its Keras layer; all are keywords."""

    estimator: str | Estimator | None
    prior: priors.Prior | None
    posterior: posteriors.Posterior | None
    bias_prior: priors.Prior | None
    bias_posterior: posteriors.Posterior | None
    kl_weight: float | None
    name: str | None
    dtype: Any
    trainable: bool
    activity_regularizer: Any


class BayesianOfAny(WrapperArguments, total=False):
    """What `Bayesian` takes beside the layer; all are keywords."""

    seed: int | None
    frozen: Sequence[int]


class CallArguments(NamedTuple):
    """What a layer is called with."""

    positional: tuple[Any, ...]
    named: Mapping[str, Any]


class WrappingLayer(VariationalLayer):
    """Abstract base of layers that run a Keras layer at weights drawn once a call.

    The means of its weights are the Keras layer's own variables, in `layer`: at standard deviation 0 it is that layer.

    Args:
        layer_class: the class of `keras.layers`, or a layer.
        arguments: what the class is made of, by name. Of a layer nothing.
        estimator: "reparameterization" or "antithetic"; None stands for "reparameterization".
        prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`. Means start
            where the Keras layer starts its weights.
        bias_prior: prior of the biases; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of the biases; None trains them as plain weights.
        **kwargs: of `VariationalLayer` and of `keras.layers.Layer`.
    """

    def __init__(
        self,
        layer_class: type[keras.layers.Layer] | keras.layers.Layer,
        arguments: Mapping[str, Any],
        *,
        estimator: str | Estimator | None = None,
        prior: priors.Prior | None = None,
        posterior: posteriors.Posterior | None = None,
        bias_prior: priors.Prior | None = None,
        bias_posterior: posteriors.Posterior | None = None,
        **kwargs: Any,
    ):
        # Keras reads the signature of `call` when a layer is made: masks and states come by their names.
        object.__setattr__(self, "call", self._call_like(layer_class))
        of_keras = arguments_of(layer_class, kwargs) if isinstance(layer_class, type) else {}
        of_keras.pop("seed", None)  # of both: of the Keras layer's dropout, and of the noise
        kwargs = {name: value for name, value in kwargs.items() if name not in of_keras}
        check_none_replaced(of_keras)
        super().__init__(layer_class, arguments, **kwargs)
        self.estimator = _estimator(estimator)
        self.prior = prior_of("prior", prior)
        self.posterior = posterior_of("posterior", posterior)
        self.bias_prior, self.bias_posterior = of_bias(bias_prior, bias_posterior)
        for recipe in filter(None, (self.posterior, self.bias_posterior)):
            self.estimator.check(recipe)
        self.layer = self.keras_layer() if isinstance(layer_class, type) else layer_class
        self.supports_masking = self.layer.supports_masking
        self.frozen: Sequence[int] = ()
        self._called_with: dict[str, Any] | None = None
        if isinstance(self.estimator, estimators.Antithetic) and getattr(self.layer, "stateful", False):
            raise ValueError(
                "A stateful layer keeps a state for each example of a batch, which antithetic draws would run in two "
                'halves. Write estimator="reparameterization". Received: estimator="antithetic", stateful=True'
            )
        if inside := variational_layers(self.layer):
            raise ValueError(
                "The layer to make Bayesian must have no Bayesian layers inside of it. "
                f"Received: {', '.join(each.name for each in inside)} in {self.layer.name!r}"
            )

    @abc.abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are."""

    def _shared_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "estimator": estimators.serialize(self.estimator),
            "prior": self.prior,
            "posterior": self.posterior,
            "bias_prior": self.bias_prior,
            "bias_posterior": self.bias_posterior,
        }

    def __getattr__(self, name: str) -> Any:
        """Returns what wrappers of Keras ask of a recurrent layer inside."""
        if name in _ASKED_OF_RECURRENT and hasattr(layer := self.__dict__.get("layer"), name):
            return getattr(layer, name)
        return super().__getattr__(name)

    # Calls. The class takes no arguments of its own: each layer is called as the one that it runs.

    def _call_like(self, layer: type[keras.layers.Layer] | keras.layers.Layer) -> Callable[..., Any]:
        """Returns the `call` of this layer, with the signature of another's and, in any case, `training`."""
        is_class = isinstance(layer, type)
        parameters = list(inspect.signature(layer.call).parameters.values())[1 if is_class else 0 :]
        takes_training = any(parameter.name == "training" for parameter in parameters)
        if not takes_training:
            # Behind all but `**kwargs`.
            end = next((n for n, each in enumerate(parameters) if each.kind == each.VAR_KEYWORD), len(parameters))
            parameters.insert(end, inspect.Parameter("training", inspect.Parameter.KEYWORD_ONLY, default=False))
        signature = inspect.Signature(parameters)

        def call(*args: Any, **kwargs: Any) -> Any:
            training = signature.bind(*args, **kwargs).arguments.get("training")
            if not takes_training:
                kwargs.pop("training", None)
            return self._forward(CallArguments(args, kwargs), bool(training))

        call.__signature__ = signature
        return call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Builds the Keras layer, if it is not, as its own first call would, and calls this one."""
        if not self.built:
            if not self.layer.built:
                build_shapes.run(self.layer, args, kwargs)
            self._called_with = build_shapes.of_call(args, kwargs)
            self.build(None)
        return super().__call__(*args, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Makes the variables for one input of this shape."""
        if not self.layer.built:
            build_shapes.run(self.layer, (build_shapes.tensors(input_shape),), {})
        if self.frozen:
            # Holders come before what they hold, and set this of all of it.
            for number, inside in enumerate(_keras.flatten_layers(self.layer)):
                inside.trainable = number not in self.frozen
        self.frozen = frozen_inside(self.layer)
        # A layer may say so when it is built.
        self.supports_masking = self.layer.supports_masking
        self._means = _Means(_random_variables(self.layer, with_biases=self.bias_posterior is not None))
        for name, variable in self._means.by_name.items():
            is_bias = _is_bias(variable)
            # What weights should be like, their prior says.
            variable.regularizer = variable.constraint = None
            self.add_random_weights(
                name,
                tuple(variable.shape),
                self.bias_posterior if is_bias else self.posterior,
                self.bias_prior if is_bias else self.prior,
                mean=variable,
            )

    def get_build_config(self) -> dict[str, Any] | None:
        """Returns the shapes of what the layer was first called with."""
        return super().get_build_config() if self._called_with is None else {"called_with": self._called_with}

    def build_from_config(self, config: Mapping[str, Any]) -> None:
        """Makes the variables for what this layer, or the Keras layer that it stands for, was first called with."""
        self._called_with = build_shapes.of_config(config)
        # One with a `build` that leaves the layers inside to their first call says that it is built, and they are not.
        if not all(each.built for each in _keras.flatten_layers(self.layer)):
            build_shapes.run(self.layer, *build_shapes.arguments(self._called_with))
        self.build(None)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the Keras layer says of its outputs."""
        if "training" not in inspect.signature(self.layer.call).parameters:
            kwargs.pop("training", None)
        return self.layer.compute_output_spec(*args, **kwargs)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor) -> Tensor:
        """Returns the Keras layer's mask."""
        return self.layer.compute_mask(inputs, previous_mask)

    # Weights.

    def start_at(self, weights: Sequence[Any]) -> None:
        """Starts the posteriors at weights of the Keras layer."""
        self.layer.set_weights(weights)
        for name, variable in self._means.by_name.items():
            recipe = self.bias_posterior if _is_bias(variable) else self.posterior
            recipe.start_at(self.random_weights[name][0], keras.ops.convert_to_numpy(variable))

    def keras_weights(self, weights: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the Keras layer's weights, the random ones as given."""
        drawn = {id(variable): weights[name] for name, variable in self._means.by_name.items()}
        return [drawn.get(id(variable), variable) for variable in self.layer.weights]

    def put_into(self, layer: keras.layers.Layer, weights: Mapping[str, Tensor]) -> None:
        """Puts the weights into the Keras layer for this one, and freezes what is frozen in this one."""
        super().put_into(layer, weights)
        for ours, theirs in zip(_keras.flatten_layers(self.layer), _keras.flatten_layers(layer), strict=True):
            if theirs.trainable != ours.trainable:
                theirs.trainable = ours.trainable

    # Outputs.

    def outputs_at(self, inputs: Any, weights: Mapping[str, Tensor]) -> Any:
        """Returns the Keras layer's outputs for one value of the random weights.

        Args:
            inputs: `CallArguments`, or the only input.
            weights: by name.
        """
        return self._run(inputs if isinstance(inputs, CallArguments) else CallArguments((inputs,), {}), weights)

    def _run(self, arguments: CallArguments, weights: Mapping[str, Tensor], share_of_losses: float = 1.0) -> Any:
        drawn = [(variable, weights[name]) for name, variable in self._means.by_name.items()]
        with _keras.InnerScope(drawn) as scope:
            outputs = self.layer(*arguments.positional, **arguments.named)
        # Statistics of normalizations, seeds of dropout, states: what the layer updates, it updates for good.
        for variable, value in scope.updates():
            variable.assign(value)
        for loss in scope.losses:
            self.add_loss(share_of_losses * loss)
        return outputs

    def noisy_outputs(
        self, inputs: Any, weights: Mapping[str, WeightPosterior], noise: Noise
    ) -> tuple[Any, Mapping[str, WeightSample]]:
        """Returns the outputs at one draw of the weights; antithetic, at two opposite ones for two halves."""
        if not isinstance(self.estimator, estimators.Antithetic):
            samples = {name: posterior.sample(noise) for name, posterior in weights.items()}
            return self.outputs_at(inputs, {name: sample.value for name, sample in samples.items()}), samples
        draws = {name: posterior.perturbation(noise) for name, posterior in weights.items()}
        arguments = inputs if isinstance(inputs, CallArguments) else CallArguments((inputs,), {})
        halves, num_examples = split(tuple(arguments))
        outputs = []
        for half, sign in zip(halves, (1, -1), strict=False):
            drawn = {name: weights[name].mean + sign * draw.value for name, draw in draws.items()}
            # Losses inside are means over examples, as those of Keras are.
            outputs.append(self._run(CallArguments(*half), drawn, 1 / len(halves)))
        samples = {name: draw._replace(value=weights[name].mean + draw.value) for name, draw in draws.items()}
        return join(outputs, num_examples), samples

    def divergence(
        self, posterior: WeightPosterior, prior: priors.Prior, sample: WeightSample | None, noise: Noise
    ) -> Tensor:
        """Returns the closed form where there is one, otherwise the Monte Carlo estimate."""
        return exact_or_estimated(posterior, prior, sample, noise)


class _Means:
    """Variables of a layer inside, by the names of the random weights whose means they are.

    An object of a kind that Keras does not track: they are the layer's, not the wrapper's.
    """

    def __init__(self, by_name: Mapping[str, keras.Variable]):
        self.by_name = by_name


def _random_variables(layer: keras.layers.Layer, with_biases: bool) -> dict[str, keras.Variable]:
    """Returns the variables of a layer that are to be means, by names that tell them apart."""
    found = [
        (owner.name, variable)
        for owner in _owners(layer)
        for variable in _keras.own_trainable_variables(owner)
        if with_biases or not _is_bias(variable)
    ]
    if not found:
        raise ValueError(
            "The layer has no weights to make random but, perhaps, biases: these are random with "
            f"bias_posterior=tfp_bnn.posteriors.MeanFieldNormal(). Received: layer {layer.name!r}"
        )
    names = [variable.name for _, variable in found]
    named: dict[str, keras.Variable] = {}
    for owner, variable in found:
        name = stem = variable.name if names.count(variable.name) == 1 else f"{owner}_{variable.name}"
        while name in named:
            name = f"{stem}_{len(named)}"
        named[name] = variable
    return named


def _owners(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yields a layer and those inside of it whose weights are to be random: not frozen ones, not normalizations."""
    frozen = frozen_inside(layer)
    for number, owner in enumerate(_keras.flatten_layers(layer)):
        if owner is layer or (number not in frozen and not isinstance(owner, NORMALIZATIONS)):
            yield owner


def has_random_weights(layer: keras.layers.Layer) -> bool:
    """Returns whether a built layer has weights that `Bayesian` makes random.

    Example:

    >>> normalization = keras.layers.LayerNormalization()
    >>> normalization.build((None, 3))
    >>> has_random_weights(keras.Sequential([keras.Input((3,)), normalization]))
    False
    """
    return any(not _is_bias(each) for owner in _owners(layer) for each in _keras.own_trainable_variables(owner))


def frozen_inside(layer: keras.layers.Layer) -> list[int]:
    """Returns which layers inside of a layer are frozen: their numbers among all in it.

    Configs do not say so of layers that a class makes by itself. None if the layer itself is frozen, with all in it.

    Example:

    >>> inside = keras.layers.Dense(2, trainable=False)
    >>> frozen_inside(keras.Sequential([keras.Input((3,)), keras.layers.Dense(3), inside])) != []
    True
    """
    inside = enumerate(_keras.flatten_layers(layer)) if layer.trainable else ()
    return [number for number, each in inside if not each.trainable]


def _is_bias(variable: keras.Variable) -> bool:
    return variable.name == "bias" or variable.name.endswith("_bias")


def _estimator(estimator: str | Estimator | None) -> Estimator:
    made = estimators.get("reparameterization" if estimator is None else estimator)
    if not isinstance(made, _ESTIMATORS):
        raise ValueError(
            'A layer that is run at drawn weights has the estimators "reparameterization" and "antithetic": what '
            f"others need, is known of linear layers alone. Received: estimator={estimator!r}"
        )
    return made


@keras.saving.register_keras_serializable("tfp_bnn")
class Bayesian(WrappingLayer):
    """Any Keras layer, your own included, with random weights: one draw of all of them a call, and one KL term.

    `layer(x; w)`, w drawn from the posterior; in a recurrent layer one draw serves a whole sequence. Call it as you
    call the layer: with masks, states, several inputs. Layers inside of the layer are made random too, except
    normalizations and what is frozen. Where this package has the layer itself, such as `tfp_bnn.layers.Conv2D`, take
    that: it knows estimators of less noise.

    Args:
        layer: the Keras layer, built or not. It becomes part of this one: its variables are the posterior means.
        estimator: "reparameterization", or "antithetic": the draw for one half of a batch and its opposite for the
            other, by two calls; None stands for "reparameterization".
        prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`. Regularizers and
            constraints of these weights are dropped: that is the prior's part.
        posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`. Its means
            start at the layer's weights.
        bias_prior: prior of weights called "bias"; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
        bias_posterior: posterior of weights called "bias"; None trains them as plain weights.
        kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
        seed: integer seed of the noise; None draws one.
        frozen: numbers of layers inside to freeze, for files, which know of the others by the layer's own config.
        name: of the layer.

    Raises:
        ValueError: if an argument is wrong, if the layer has no weights to make random or has Bayesian layers inside,
            or if it is trained with no KL weight set.

    Example:

    >>> layer = Bayesian(keras.layers.ConvLSTM2D(3, 2), kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 5, 4, 4, 1))).shape), sorted(layer.random_weights)
    ((2, 3, 3, 3), ['kernel', 'recurrent_kernel'])

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; for sequences, Fortunato et al.
    2017, "Bayesian Recurrent Neural Networks", section 3.
    """

    def __init__(self, layer: keras.layers.Layer, **kwargs: Unpack[BayesianOfAny]):
        if not isinstance(layer, keras.layers.Layer):
            raise ValueError(f"`layer` must be a Keras layer. Received: layer={layer!r}")
        kwargs.setdefault("dtype", layer.dtype_policy)
        kwargs.setdefault("name", f"bayesian_{layer.name}")
        frozen = kwargs.pop("frozen", ())
        super().__init__(layer, {}, **kwargs)
        self.frozen = list(frozen)

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, with prior and posterior objects as they are."""
        layer = keras.saving.serialize_keras_object(self.layer)
        return {**self._shared_config(), "layer": layer, "frozen": list(self.frozen)}
