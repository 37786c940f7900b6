"""Copies of whole models, as they are or with some layers replaced: what all transforms have in common."""

from collections.abc import Callable

import keras

from tfp_bnn._prior_sharing import kept_shared
from tfp_bnn.layers.base import VariationalLayer, variational_layers

Layer = keras.layers.Layer


def clone_model(model: keras.Model) -> keras.Model:
    """Returns a copy of a model whose weights start anew, as `keras.models.clone_model` does, its priors shared.

    Layers that share a prior in the model share one in the copy, another one than the model's. (In a clone that Keras
    makes, each layer has a prior of its own.)

    Args:
        model: a Sequential or Functional model.

    Returns:
        The copy, built if the model is, not compiled.

    Example:

    >>> from tfp_bnn import models
    >>> clone = clone_model(models.mlp((4,), units=(8,), num_outputs=2))
    >>> len({id(layer.prior) for layer in variational_layers(clone)})
    1
    """
    with kept_shared():
        return keras.models.clone_model(model)


def copy_model(
    model: keras.Model, copy_bayesian: Callable[[VariationalLayer], Layer]
) -> tuple[keras.Model, list[tuple[Layer, Layer]]]:
    """Returns a copy of a model, built and compiled as the model is, and all its layers beside their copies.

    The copies' weights are still those of a new model.

    Args:
        model: a built Sequential or Functional model; models inside it are copied too.
        copy_bayesian: makes the layer, not built, that stands in for a Bayesian one.

    Raises:
        ValueError: if the model is subclassed or not built, or has Bayesian layers inside layers that are no models.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a Keras model. Received: {model!r}")
    if not model.built:
        raise ValueError(f"Expected a model that is built. Received: {model.name!r}, which has not seen an input")
    copies: list[tuple[Layer, Layer]] = []

    def copy(layer: Layer) -> Layer:
        bayesian = isinstance(layer, VariationalLayer)
        copies.append((layer, copy_bayesian(layer) if bayesian else type(layer).from_config(layer.get_config())))
        return copies[-1][1]

    with kept_shared():
        clone = keras.models.clone_model(model, clone_function=copy, recursive=True)
    copied = {id(layer) for layer, _ in copies}
    left = [layer.name for layer in variational_layers(model) if id(layer) not in copied]
    if left:
        raise ValueError(
            "Bayesian layers inside layers that are no models cannot be converted. "
            f"Received: {', '.join(left)} in {model.name!r}"
        )
    return clone, copies
