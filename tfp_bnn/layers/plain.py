"""The Keras layer that a Bayesian layer stands for: it knows the arguments, checks them, and knows the shapes."""

import inspect
import random
from collections.abc import Mapping
from typing import Any

import keras


class PlainLayer:
    """A Keras layer that is asked and never built, held where Keras does not track it: it has no weights.

    Args:
        layer_class: the class of `keras.layers`.
        arguments: what it is made of, by name.
        name: of the layer.

    Raises:
        ValueError: if the Keras layer does not take the arguments.
    """

    def __init__(self, layer_class: type[keras.layers.Layer], arguments: Mapping[str, Any], name: str):
        self.layer_class = layer_class
        self.arguments = dict(arguments)
        # Keras draws seeds for initializers that are never used: the same seed goes on giving the same networks.
        state = random.getstate()
        try:
            self.layer = layer_class(**arguments, name=name)
        finally:
            random.setstate(state)

    def made_anew(self, **arguments: Any) -> keras.layers.Layer:
        """Returns a layer of that class, not built, made of arguments and of what each layer takes."""
        return self.layer_class(**arguments)

    def config(self) -> dict[str, Any]:
        """Returns the arguments in the form in which Keras saves them."""
        config = self.layer.get_config()
        # Of a few arguments, such as `use_cudnn`, Keras saves nothing.
        return {name: config[name] for name in self.arguments if name in config}


class GivenLayer:
    """A Keras layer that somebody made, of arguments that only it knows.

    Args:
        layer: the layer; whoever stands for it saves it.
    """

    arguments: Mapping[str, Any] = {}

    def __init__(self, layer: keras.layers.Layer):
        self.layer_class = type(layer)
        self.layer = layer

    def made_anew(self, **of_every_layer: Any) -> keras.layers.Layer:
        """Returns a copy of the layer, not built; what each layer takes, it has of its own."""
        return self.layer_class.from_config(self.layer.get_config())

    def config(self) -> dict[str, Any]:
        """Returns nothing."""
        return {}


def arguments_of(layer_class: type[keras.layers.Layer], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those keywords that are arguments of a Keras layer class, but not of every layer.

    Example:

    >>> arguments_of(keras.layers.Dense, {"units": 3, "name": "head", "prior": None})
    {'units': 3}
    """
    known = inspect.signature(layer_class.__init__).parameters
    return {name: value for name, value in kwargs.items() if name in known and name not in OF_EVERY_LAYER}


OF_EVERY_LAYER = ("activity_regularizer", "trainable", "dtype", "autocast", "name")
"""Arguments of `keras.layers.Layer`."""


def given(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a constructor, except its keywords: what the Keras layer is made of, by name.

    Args:
        variables: `locals()`, at the start of the constructor.
    """
    return {name: value for name, value in variables.items() if name not in ("self", "kwargs", "__class__")}
