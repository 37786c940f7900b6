"""From plain Keras models to Bayesian ones."""

import functools
import inspect
import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal

import keras

from tfp_bnn import _keras, estimators, layers, posteriors, priors
from tfp_bnn._checks import check_count, check_type
from tfp_bnn._prior_sharing import kept_shared
from tfp_bnn.layers.plain import OF_EVERY_LAYER
from tfp_bnn.layers.wrapper import NORMALIZATIONS, frozen_inside, has_random_weights
from tfp_bnn.transforms.copied import copy_model, replaceable_layers

Layer = keras.layers.Layer
Choice = str | type | Callable[[Layer], bool]

_RELATIVE_STDDEV = 0.1
"""Of a trained weight at the start, as a share of it: the middle of what Krishnan et al. 2020 use."""

_PRETRAINED_SCALE = 1.0


def to_bayesian(
    model: keras.Model,
    *,
    estimator: str | estimators.Estimator | None = None,
    prior: priors.Prior | Callable[[Layer], priors.Prior] | Literal["pretrained", "from_regularizer"] | None = None,
    posterior: posteriors.Posterior | None = None,
    init: Literal["pretrained", "random"] = "pretrained",
    layers: Choice | Sequence[Choice] | None = None,
    num_examples: int | None = None,
) -> keras.Model:
    """Returns a copy of a Keras model whose weights are random, to be trained on: any model, trained or not.

    Layers that this package has, such as `Conv2D` or `LSTM`, become its own; others with weights, your own classes too,
    are run by `tfp_bnn.layers.Bayesian`. Biases, normalizations and frozen layers stay as they are, and so do layers
    without weights. Shared layers are shared, models inside of models and layers inside of wrappers are converted, and
    a subclassed model stays an object of your class.

    Args:
        model: a built model. A class of your own must have a `get_config`, as for saving.
        estimator: of layers that have it; others keep theirs. None leaves it to the layers.
        prior: a `tfp_bnn.priors.Prior`, one for all layers; or a function of the Keras layer that returns its prior;
            "pretrained" for `N(w | trained weight, 1)`; "from_regularizer" for the prior that an L2 penalty is,
            `N(0, 1 / (2 l2 num_examples))`, and `N(0, 1)` where there is none. None stands for `Normal(scale=1.0)`.
        posterior: a `tfp_bnn.posteriors.Posterior`; None stands for `MeanFieldNormal(relative_stddev=0.1)` at trained
            weights, and for `MeanFieldNormal()` at random ones.
        init: "pretrained" keeps the weights as posterior means, "random" starts random weights anew.
        layers: which ones to convert: "last", the name of a layer, a class, a function of the layer that says so, or a
            sequence of these. None converts all that have weights.
        num_examples: how many examples the model is trained with, only for `prior="from_regularizer"`.

    Returns:
        The copy, compiled as the model is, its optimizer anew. Train it with `tfp_bnn.callbacks.KLWeight`.

    Raises:
        ValueError: if the model is not built, if no layer matches, if one cannot be made Bayesian, or if an argument
            is wrong.

    Example:

    >>> model = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(8, 3), keras.layers.Flatten(),
    ...                           keras.layers.Dense(10)])
    >>> [type(layer).__module__.split(".")[0] for layer in to_bayesian(model, layers="last").layers]
    ['keras', 'keras', 'tfp_bnn']

    Source: Krishnan et al. 2020, "Specifying Weight Priors in Bayesian Deep Neural Networks with Empirical Bayes",
    section 3 (trained weights as means, standard deviations in proportion to them).
    """
    if init not in ("pretrained", "random"):
        raise ValueError(f'`init` must be "pretrained" or "random". Received: init={init!r}')
    if posterior is None:
        relative = _RELATIVE_STDDEV if init == "pretrained" else None
        posterior = posteriors.MeanFieldNormal(relative_stddev=relative)
    prior_of = _prior_of(prior, check_type("posterior", posterior, posteriors.Posterior), num_examples)
    estimator = None if estimator is None else estimators.get(estimator)
    _check_model(model)
    chosen = _chosen(model, layers)
    if prior != "from_regularizer":
        _warn_of_regularizers(chosen)
    priors_of_layers = {id(layer): _checked(prior_of(layer)) for layer in chosen}

    def replace(layer: Layer) -> Layer | None:
        if id(layer) not in priors_of_layers:
            return None
        return bayesian(layer, estimator, priors_of_layers[id(layer)], posterior)

    # The layers' priors are those given, not copies.
    with kept_shared(*filter(None, priors_of_layers.values())):
        converted, replaced = copy_model(model, replace)
    if init == "pretrained":
        for layer, new in replaced:
            new.start_at(layer.get_weights())
    return converted


def bayesian(
    layer: Layer,
    estimator: estimators.Estimator | None,
    prior: priors.Prior | None,
    posterior: posteriors.Posterior,
) -> "layers.VariationalLayer":
    """Returns the Bayesian layer, not built, that stands for a Keras layer, of its name."""
    # With a part frozen it is not a layer of ours.
    own_class = None if frozen_inside(layer) else _own_classes().get(type(layer))
    of_bayes = {"prior": prior, "posterior": posterior}
    if own_class is None or not issubclass(own_class, layers.LinearVariationalLayer):
        wraps = isinstance(estimator, estimators.Reparameterization | estimators.Antithetic)
        of_bayes["estimator"] = estimator if wraps else None
    else:
        of_bayes["estimator"] = estimator
    if own_class is None:
        copy = type(layer).from_config(layer.get_config())
        return layers.Bayesian(copy, name=layer.name, frozen=frozen_inside(layer), **of_bayes)
    return own_class.from_config({**_arguments(layer, own_class), **of_bayes})


@functools.cache
def _own_classes() -> dict[type, type]:
    """Returns the layers of this package by the class of Keras that each stands for."""
    named = {name: getattr(layers, name) for name in layers.__all__ if hasattr(keras.layers, name)}
    return {getattr(keras.layers, name): own_class for name, own_class in named.items()}


def _arguments(layer: Layer, own_class: type) -> dict[str, Any]:
    """Returns what of a Keras layer's config its Bayesian one takes; what a prior replaces, it does not."""
    taken = {*inspect.signature(own_class.__init__).parameters, *OF_EVERY_LAYER}
    if issubclass(own_class, layers.LinearVariationalLayer):
        taken |= {*own_class.initializers.values(), "bias_initializer", "bias_regularizer", "bias_constraint"}
    arguments = {name: value for name, value in layer.get_config().items() if name in taken}
    if not arguments.get("use_bias", True) or arguments.get("bias_axes", "") is None:
        arguments = {name: value for name, value in arguments.items() if not name.startswith("bias_")}
    return arguments


# Which layers.


def _check_model(model: keras.Model) -> None:
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a Keras model. Received: {model!r}")
    for layer in (inside for whole in replaceable_layers(model) for inside in _keras.flatten_layers(whole)):
        if getattr(layer, "quantization_mode", None) is not None:
            raise ValueError(
                "Quantized weights cannot be made random; convert the model before it is quantized. "
                f"Received: layer {layer.name!r}, quantized to {layer.quantization_mode!r}"
            )
        if getattr(layer, "lora_enabled", False):
            raise ValueError(
                "A layer with LoRA weights cannot be made random. Merge them first: save the weights, and load them "
                f"into a model without LoRA. Received: layer {layer.name!r}"
            )
    models = [each for each in _keras.flatten_layers(model) if isinstance(each, keras.Model)]
    plain = [f"{weight.name} of {each.name!r}" for each in models for weight in _own_weights(each)]
    if plain:
        warnings.warn(
            "Weights that a class of models adds itself stay plain: put them into a layer, and they are made random. "
            f"Received: {', '.join(plain)}",
            stacklevel=3,
        )


def _own_weights(model: keras.Model) -> list[keras.Variable]:
    own = _keras.own_trainable_variables(model)
    return [each for each in own if each.trainable and not each.name.endswith("bias")]


def _chosen(model: keras.Model, choice: Choice | Sequence[Choice] | None) -> list[Layer]:
    found = list(replaceable_layers(model))
    possible = [layer for layer in found if _can_be_bayesian(layer)]
    if not possible:
        raise ValueError(
            "The model has no layer whose weights could be made random: they are frozen, normalizations, or Bayesian "
            f"already. Received: {model.name!r} with {', '.join(layer.name for layer in found) or 'no layers'}"
        )
    if choice is None:
        return possible
    choices = choice if isinstance(choice, list | tuple | set) else [choice]
    chosen = {id(layer): layer for each in choices for layer in _matches(each, found, possible)}
    if not chosen:
        raise ValueError(f"`layers` must choose one layer at least; None chooses all. Received: layers={choice!r}")
    return list(chosen.values())


def _matches(choice: Choice, found: list[Layer], possible: list[Layer]) -> list[Layer]:
    if choice == "last":
        return possible[-1:]
    if isinstance(choice, str):
        matches = [layer for layer in found if layer.name == choice]
    elif isinstance(choice, type):
        matches = [layer for layer in found if isinstance(layer, choice)]
    elif callable(choice):
        matches = [layer for layer in possible if choice(layer)]
    else:
        raise ValueError(
            '`layers` must be "last", a name, a class, a function of a layer, or a sequence of these. '
            f"Received: {choice!r}"
        )
    if not matches:
        names = ", ".join(layer.name for layer in possible)
        raise ValueError(f"No layer matches `layers`. Layers with weights are {names}. Received: layers={choice!r}")
    impossible = [layer.name for layer in matches if not _can_be_bayesian(layer)]
    if impossible:
        raise ValueError(
            "Layers without weights, frozen ones, normalizations and Bayesian ones cannot be made Bayesian. "
            f"Received: {', '.join(impossible)}"
        )
    return matches


def _can_be_bayesian(layer: Layer) -> bool:
    return (
        not isinstance(layer, (layers.VariationalLayer, *NORMALIZATIONS))
        and layer.built
        and layer.trainable
        and has_random_weights(layer)
    )


# Priors.


def _prior_of(
    prior: Any, posterior: posteriors.Posterior, num_examples: int | None
) -> Callable[[Layer], priors.Prior | None]:
    """Returns the function of a Keras layer that gives its prior."""
    if (num_examples is not None) != (prior == "from_regularizer"):
        raise ValueError(
            '`num_examples` goes with prior="from_regularizer", and that needs it: Keras adds a penalty to the mean '
            f"loss of an example. Received: prior={prior!r}, num_examples={num_examples!r}"
        )
    if prior == "from_regularizer":
        return functools.partial(_prior_from_regularizer, num_examples=check_count("num_examples", num_examples))
    if prior == "pretrained":
        return functools.partial(_prior_at_weights, posterior=posterior)
    if isinstance(prior, str):
        raise ValueError(
            '`prior` must be a tfp_bnn.priors.Prior, a function of a layer, "pretrained" or "from_regularizer". '
            f"Received: prior={prior!r}"
        )
    if prior is None or isinstance(prior, priors.Prior):
        return lambda layer: prior
    if not callable(prior):
        check_type("prior", prior, priors.Prior)
    return prior


def _checked(prior: Any) -> priors.Prior | None:
    return None if prior is None else check_type("prior", prior, priors.Prior)


def _prior_at_weights(layer: Layer, posterior: posteriors.Posterior) -> priors.Prior:
    """Returns the prior whose means are a layer's weights."""
    trained = bayesian(layer, None, None, posterior)
    trained.build_from_config(layer.get_build_config())
    trained.start_at(layer.get_weights())
    prior = priors.from_posterior(trained)
    for name, (variables, _) in trained.random_weights.items():
        mean = keras.ops.convert_to_numpy(variables.read().mean)
        prior.of(name, mean.shape).assign(loc=mean, scale=_PRETRAINED_SCALE)
    return prior


def _prior_from_regularizer(layer: Layer, num_examples: int) -> priors.Prior | None:
    """Returns the Gaussian prior whose negative logarithm is a layer's L2 penalty on all examples together."""
    penalties = list(_regularizers(layer).values())
    if not penalties:
        return None
    strengths = {_l2_of(penalty, layer) for penalty in penalties}
    if len(strengths) > 1:
        raise ValueError(
            "A layer has one prior, and its weights have penalties of several strengths. "
            f"Received: l2={', '.join(map(str, sorted(strengths)))} in {layer.name!r}"
        )
    return priors.Normal(scale=1 / math.sqrt(2 * strengths.pop() * num_examples))


def _l2_of(penalty: Any, layer: Layer) -> float:
    strength, other = float(getattr(penalty, "l2", 0.0)), float(getattr(penalty, "l1", 0.0))
    if not isinstance(penalty, keras.regularizers.L2 | keras.regularizers.L1L2) or other or not strength:
        raise ValueError(
            "Only an L2 penalty is a Gaussian prior; give this layer's prior as prior=lambda layer: ... "
            f"Received: {penalty.get_config() if hasattr(penalty, 'get_config') else penalty!r} in {layer.name!r}"
        )
    return strength


def _regularizers(layer: Layer) -> dict[str, Any]:
    """Returns the penalties on those weights of a layer that are to be random, by the weights' paths."""
    return {
        variable.path: variable.regularizer
        for variable in layer.trainable_variables
        if variable.regularizer is not None and not variable.name.endswith("bias")
    }


def _warn_of_regularizers(chosen: Sequence[Layer]) -> None:
    dropped = [
        layer.name
        for layer in chosen
        if _regularizers(layer)
        or any(each.constraint is not None and not each.name.endswith("bias") for each in layer.trainable_variables)
    ]
    if dropped:
        warnings.warn(
            "Regularizers and constraints of weights that are made random are dropped: that is the prior's part. An L2 "
            'penalty is a Gaussian prior: prior="from_regularizer", num_examples=... takes it over. '
            f"Received: {', '.join(dropped)}",
            stacklevel=3,
        )
