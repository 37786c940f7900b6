"""The Keras layer that a Bayesian layer stands for: it knows the arguments, checks them, and knows the shapes."""

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

    def config(self) -> dict[str, Any]:
        """Returns the arguments in the form in which Keras saves them."""
        config = self.layer.get_config()
        return {name: config[name] for name in self.arguments}
