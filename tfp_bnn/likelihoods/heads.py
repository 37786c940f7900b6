"""Whether a softmax or a sigmoid made a network's outputs: then they are probabilities, and no logits.

Keras's losses look behind such a head; whoever reads the outputs sees probabilities.
"""

import functools
from typing import Any

import keras

from tfp_bnn import _keras

Tensor = Any

# Of functions, and of operations of Keras and TensorFlow; `tf.nn.softmax` is `softmax_v2`.
_ACTIVATIONS = {"softmax": "softmax", "softmax_v2": "softmax", "sigmoid": "sigmoid"}
# What changes shape or precision and leaves probabilities what they are.
_TRANSPARENT = {"Cast", "ExpandDims", "Flatten", "Identity", "IdentityN", "Reshape", "Squeeze", "StopGradient"}

UNKNOWN = "softmax or sigmoid"
"""Keras's note of the logits does not say which of them it was."""


def activation_of(outputs: Tensor) -> str | None:
    """Returns "softmax" or "sigmoid" if one made these outputs, `UNKNOWN` if it is not known which; None otherwise.

    Args:
        outputs: a tensor that a network gave, or a symbolic one, such as `model.outputs[0]`. Of tensors that JAX traces
            nothing is known.

    Example:

    >>> activation_of(keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")]).outputs[0])
    'softmax'
    """
    found = _of_symbolic(outputs) if keras.backend.is_keras_tensor(outputs) else _of_graph(outputs)[0]
    return found or (UNKNOWN if _keras.logits_behind(outputs) is not None else None)


def logits_of(probabilities: Tensor) -> Tensor | None:
    """Returns the logits of which a softmax or a sigmoid made these probabilities; None if they are not at hand."""
    noted = _keras.logits_behind(probabilities)
    return _of_graph(probabilities)[1] if noted is None else noted


def activation_of_layer(layer: Any) -> str | None:
    """Returns "softmax" or "sigmoid" if a layer, or another operation, ends in one; None otherwise."""
    if isinstance(layer, keras.Model):
        return activation_of_model(layer)
    by_class = _ACTIVATIONS.get(type(layer).__name__.lower())
    # What a recurrent layer calls its activation is followed by a product.
    if by_class or hasattr(layer, "recurrent_activation"):
        return by_class
    if isinstance(layer, keras.layers.Wrapper):
        return activation_of_layer(layer.layer)
    activation = getattr(layer, "activation", None)
    if isinstance(activation, keras.layers.Layer):
        return activation_of_layer(activation)
    if isinstance(activation, functools.partial):
        activation = activation.func
    return _ACTIVATIONS.get(getattr(activation, "__name__", ""))


def activation_of_model(model: keras.Model, output: int = 0) -> str | None:
    """Returns "softmax" or "sigmoid" if an output of a model is made by one; None if not, or if it cannot be seen.

    Args:
        model: seen is what a functional or a sequential model ends in; a subclass of `keras.Model` hides it.
        output: which of the model's outputs.
    """
    if isinstance(model, keras.Sequential) and not model.built:
        return activation_of_layer(model.layers[-1]) if model.layers else None
    outputs = getattr(model, "outputs", None)
    return activation_of(outputs[output]) if outputs else None


def _of_symbolic(output: Tensor) -> str | None:
    operation, index = _keras.operation_behind(output) or (None, 0)
    if isinstance(operation, keras.Model):
        return activation_of_model(operation, index)
    if type(operation).__name__ in _TRANSPARENT:
        return _of_symbolic(_keras.inputs_of(output)[0])
    return activation_of_layer(operation)


def _of_graph(tensor: Tensor) -> tuple[str | None, Tensor | None]:
    """Returns what a tensor of a TensorFlow graph was made by, and of what; None and None if it is another tensor."""
    try:
        operation = tensor.op
    except AttributeError:  # An array, or a tensor that TensorFlow or JAX computed at once.
        return None, None
    kind = getattr(operation, "type", "")
    if kind in _TRANSPARENT:
        return _of_graph(operation.inputs[0])
    activation = _ACTIVATIONS.get(kind.lower())
    return activation, operation.inputs[0] if activation else None
