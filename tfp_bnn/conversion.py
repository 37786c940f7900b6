"""From Bayesian models to plain Keras models."""

from typing import Any

import keras

from tfp_bnn.layers.variational_layer import VariationalLayer, variational_layers


def to_deterministic(model: keras.Model) -> keras.Model:
    """Returns a copy of a model with plain Keras layers, whose weights are the posterior means: for `export`.

    Its outputs are those of the mean weights, `f(x, E[w])`, which is not the mean `E[f(x, w)]` that `predict` gives.

    Args:
        model: a built Sequential or Functional model; models inside it are copied too.

    Returns:
        The copy, compiled as the model is. It holds no code of this package.

    Raises:
        ValueError: if the model is subclassed or not built, or has Bayesian layers inside layers that are no models.

    Example:

    >>> from tfp_bnn import layers
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3)])
    >>> [type(layer).__name__ for layer in to_deterministic(model).layers]
    ['Dense']

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1 (the mean of the weights).
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"Expected a Keras model. Received: {model!r}")
    if not model.built:
        raise ValueError(f"Expected a model that is built. Received: {model.name!r}, which has not seen an input")
    copies: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        bayesian = isinstance(layer, VariationalLayer)
        copies.append((layer, layer.keras_layer() if bayesian else type(layer).from_config(layer.get_config())))
        return copies[-1][1]

    deterministic = keras.models.clone_model(model, clone_function=copy, recursive=True)
    left = variational_layers(deterministic)
    if left:
        raise ValueError(
            "Bayesian layers inside layers that are no models cannot be converted. "
            f"Received: {', '.join(layer.name for layer in left)} in {model.name!r}"
        )
    for layer, plain in copies:
        plain.set_weights(_mean_weights(layer) if isinstance(layer, VariationalLayer) else layer.get_weights())
    return deterministic


def _mean_weights(layer: VariationalLayer) -> list[Any]:
    means = {name: variables.read().mean for name, (variables, _) in layer.random_weights.items()}
    return [keras.ops.convert_to_numpy(weights) for weights in layer.keras_weights(means)]
