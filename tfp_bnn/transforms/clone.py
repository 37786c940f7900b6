"""Copies of whole models whose weights start anew."""

import keras

from tfp_bnn._prior_sharing import kept_shared


def clone_model(model: keras.Model) -> keras.Model:
    """Returns a copy of a model whose weights start anew, as `keras.models.clone_model` does, its priors shared.

    Layers that share a prior in the model share one in the copy, another one than the model's. (In a clone that Keras
    makes, each layer has a prior of its own.)

    Args:
        model: a Sequential or Functional model.

    Returns:
        The copy, built if the model is, not compiled.

    Example:

    >>> from tfp_bnn import layers, models
    >>> clone = clone_model(models.mlp((4,), units=(8,), num_outputs=2))
    >>> len({id(layer.prior) for layer in layers.variational_layers(clone)})
    1
    """
    with kept_shared():
        return keras.models.clone_model(model)
