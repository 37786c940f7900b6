"""Private names of Keras that the package needs, each with the reason; tests/test_keras_privates.py watches them."""

from typing import Any

import keras


def flatten_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns a model and all layers in it, nested ones too, each once; `model.layers` has the outermost alone."""
    return model._flatten_layers()


def last_compile(model: keras.Model) -> Any:
    """Returns an object that each `compile` makes anew, None before the first.

    `compile` replaces no public object: optimizer and loss may be the ones of the compile before.
    """
    return getattr(model, "_compile_config", None)
