"""From Bayesian models to plain Keras models."""

from typing import Any

import keras

from tfp_bnn.layers.base import VariationalLayer
from tfp_bnn.transforms.clone import copy_model


def to_deterministic(model: keras.Model) -> keras.Model:
    """Returns a copy of a model with plain Keras layers, whose weights are the posterior means: for `export`.

    Its outputs are those of the mean weights, `f(x, E[w])`, which is not the mean `E[f(x, w)]` that `predict` gives.

    Args:
        model: a built Sequential or Functional model; models inside it are copied too.

    Returns:
        The copy, compiled as the model is. Its layers hold no code of this package; its loss may be a likelihood.

    Raises:
        ValueError: if the model is subclassed or not built, or has Bayesian layers inside layers that are no models.

    Example:

    >>> from tfp_bnn import layers
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3)])
    >>> [type(layer).__name__ for layer in to_deterministic(model).layers]
    ['Dense']

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1 (the mean of the weights).
    """
    deterministic, copies = copy_model(model, lambda layer: layer.keras_layer())
    for layer, plain in copies:
        plain.set_weights(_mean_weights(layer) if isinstance(layer, VariationalLayer) else layer.get_weights())
    return deterministic


def _mean_weights(layer: VariationalLayer) -> list[Any]:
    means = {name: variables.read().mean for name, (variables, _) in layer.random_weights.items()}
    return [keras.ops.convert_to_numpy(weights) for weights in layer.keras_weights(means)]
