"""Models that go on from what they have learned, with other priors."""

from collections.abc import Mapping
from typing import Any

import keras

from tfp_bnn import _keras
from tfp_bnn._checks import check_type
from tfp_bnn._prior_sharing import kept_shared
from tfp_bnn.layers.base import VariationalLayer, variational_layers
from tfp_bnn.priors import Prior
from tfp_bnn.transforms.copied import copy_model
from tfp_bnn.transforms.to_deterministic import check_replaced


def with_priors(model: keras.Model, priors: Prior | Mapping[str, Prior]) -> keras.Model:
    """Returns a copy of a model, what it has learned included, whose layers have other priors.

    Random biases get their layer's prior too. The priors are those given, not copies.

    Args:
        model: a built model; what is inside of it is copied too.
        priors: one prior for all Bayesian layers, or priors by the layers' names, as
            `tfp_bnn.priors.from_posterior` returns; layers that are not named keep theirs.

    Returns:
        The copy, compiled as the model is; its optimizer starts anew.

    Raises:
        ValueError: if `priors` are not priors, name a layer that does not exist, or do not fit the weights of their
            layer; if the model is not built, or has Bayesian layers inside other layers that cannot be replaced.

    Example, ready for Tuesday's data after Monday's, with all that Monday's say as the prior:

    >>> from tfp_bnn import models, priors
    >>> from tfp_bnn.objective.loss_halves import kl_divergence
    >>> model = models.mlp((4,), units=(8,), num_outputs=2)
    >>> later = with_priors(model, priors.from_posterior(model))
    >>> float(kl_divergence(later))
    0.0

    Source: Nguyen et al. 2018, "Variational Continual Learning", equation 2.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a Keras model. Received: {model!r}")
    by_layer = _by_layer(model, priors)
    check_replaced(model)
    with kept_shared(*by_layer.values()):
        copy, copies = copy_model(
            model, lambda layer: _with_prior(layer, by_layer) if isinstance(layer, VariationalLayer) else None
        )
    for layer, its_copy in copies:
        _copy_state(layer, its_copy, replaced=layer.name in by_layer)
    return copy


def _by_layer(model: keras.Model, priors: Any) -> dict[str, Prior]:
    names = [layer.name for layer in variational_layers(model)]
    by_layer = dict(priors) if isinstance(priors, Mapping) else dict.fromkeys(names, priors)
    unknown = set(by_layer) - set(names)
    if unknown:
        raise ValueError(
            f"The Bayesian layers of {model.name!r} are {', '.join(names) or 'none'}. "
            f"Received: priors of {', '.join(map(repr, sorted(unknown, key=str)))}"
        )
    return {name: check_type("priors", prior, Prior) for name, prior in by_layer.items()}


def _with_prior(layer: VariationalLayer, by_layer: Mapping[str, Prior]) -> VariationalLayer:
    """Returns a layer, not built, of the same arguments except for its priors."""
    config = layer.get_config()
    if layer.name in by_layer:
        given = [name for name in ("prior", "bias_prior") if config.get(name) is not None]
        config = {**config, **dict.fromkeys(given, by_layer[layer.name])}
    return type(layer).from_config(config)


def _copy_state(layer: VariationalLayer, copy: VariationalLayer, replaced: bool) -> None:
    """Copies all variables and the state of the noise; of priors that stay theirs too."""
    for source, target in zip(_state(layer, not replaced), _state(copy, not replaced), strict=True):
        target.assign(source.value)
    if layer.kl_weight is not None:
        copy.kl_weight = layer.kl_weight


def _state(layer: VariationalLayer, of_priors_too: bool) -> list[keras.Variable]:
    priors = [] if of_priors_too else [each for each in _keras.flatten_layers(layer) if isinstance(each, Prior)]
    left_out = {id(variable) for prior in priors for variable in prior.variables}
    return [variable for variable in layer.variables if id(variable) not in left_out]
