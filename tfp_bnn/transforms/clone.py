"""Copies of whole models with some layers replaced: what conversion and pruning have in common."""

from collections.abc import Callable

import keras

from tfp_bnn.layers.base import VariationalLayer, variational_layers

Layer = keras.layers.Layer


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

    clone = keras.models.clone_model(model, clone_function=copy, recursive=True)
    copied = {id(layer) for layer, _ in copies}
    left = [layer.name for layer in variational_layers(model) if id(layer) not in copied]
    if left:
        raise ValueError(
            "Bayesian layers inside layers that are no models cannot be converted. "
            f"Received: {', '.join(left)} in {model.name!r}"
        )
    return clone, copies
