"""From Bayesian models to plain Keras models."""

from collections.abc import Callable
from typing import Any, Literal

import keras

from tfp_bnn._numerics.noise import counted
from tfp_bnn.layers.base import VariationalLayer, variational_layers
from tfp_bnn.prediction.draws import seeds_of_draws
from tfp_bnn.transforms.copied import copy_model, replaceable_layers

Layer = keras.layers.Layer
Tensor = Any


def to_deterministic(
    model: keras.Model, how: Literal["mean", "draw"] = "mean", *, seed: int | None = None
) -> keras.Model:
    """Returns a copy of a model with plain Keras layers, at the posterior means or at one draw: for `export`.

    Outputs of the mean weights are `f(x, E[w])`, which is not the mean `E[f(x, w)]` that `predict` gives. Outputs of a
    draw are those of one of the networks that `predict` averages: with the same seed, of the first one.

    Args:
        model: a built model, also one that `to_bayesian` made.
        how: "mean" or "draw".
        seed: integer that makes the draw repeatable; None draws one. Only with "draw".

    Returns:
        The copy, compiled as the model is. Its layers hold no code of this package; its loss may be a likelihood.

    Raises:
        ValueError: if the model is not built, if it has Bayesian layers inside other layers that cannot be replaced, or
            if an argument is wrong.

    Example:

    >>> from tfp_bnn import layers
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3)])
    >>> [type(layer).__name__ for layer in to_deterministic(model).layers]
    ['Dense']

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1 (the mean of the weights).
    """
    if how not in ("mean", "draw"):
        raise ValueError(f'`how` must be "mean" or "draw". Received: how={how!r}')
    if how == "mean" and seed is not None:
        raise ValueError(f'`seed` goes with how="draw": means are not drawn. Received: how="mean", seed={seed!r}')
    if isinstance(model, keras.Model):
        check_replaced(model)
    deterministic, replaced = copy_model(
        model, lambda layer: layer.keras_layer() if isinstance(layer, VariationalLayer) else None
    )
    weights_of = _means if how == "mean" else _draw(model, seed)
    for layer, plain in replaced:
        layer.put_into(plain, weights_of(layer))
    return deterministic


def check_replaced(model: keras.Model) -> None:
    """Raises ValueError if a model has Bayesian layers where none is replaced: inside layers that are copied whole."""
    found = {id(layer) for layer in replaceable_layers(model)}
    left = [layer.name for layer in variational_layers(model) if id(layer) not in found]
    if left:
        raise ValueError(
            "Bayesian layers inside other layers, such as cells of `keras.layers.RNN`, cannot be converted. "
            f"Received: {', '.join(left)} in {model.name!r}"
        )


def _means(layer: VariationalLayer) -> dict[str, Tensor]:
    return {name: variables.read().mean for name, (variables, _) in layer.random_weights.items()}


def _draw(model: keras.Model, seed: int | None) -> Callable[[VariationalLayer], dict[str, Tensor]]:
    """Returns the function of a layer that gives its weights in the network of a seed's first draw."""
    noise = counted(keras.ops.convert_to_tensor(seeds_of_draws(model, None, 1, seed)[0]))
    drawn = {id(layer): layer.sample_weights(noise) for layer in variational_layers(model)}
    return lambda layer: drawn[id(layer)]
