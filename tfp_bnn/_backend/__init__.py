"""Which Keras backend the package runs on, and on how many replicas of the model."""

import os
import warnings
from typing import Any

import keras

SUPPORTED = ("tensorflow", "jax")


def name() -> str:
    """Returns the name of Keras's backend, "tensorflow" or "jax".

    Raises:
        ImportError: if Keras runs on another backend.
    """
    backend = keras.backend.backend()
    if backend not in SUPPORTED:
        raise ImportError(
            f"tfp_bnn runs on Keras's backends {' and '.join(SUPPORTED)}. Set the environment variable "
            f"KERAS_BACKEND to one of them before Keras is imported. Received: backend={backend!r}"
        )
    return backend


def warn_of_legacy_keras() -> None:
    """Warns if `tf.keras` is Keras 2, whose models take no layer of Keras 3: with TF_USE_LEGACY_KERAS, as TFP asks."""
    # The values that TensorFlow takes for true.
    if name() == "tensorflow" and os.environ.get("TF_USE_LEGACY_KERAS") in ("true", "True", "1"):
        warnings.warn(
            "TF_USE_LEGACY_KERAS is set: `tf.keras` is Keras 2, and its models refuse the layers of tfp_bnn, which are "
            "Keras 3 layers ('must be an instance of class Layer'). Build models with `import keras`, not `tf.keras`, "
            f"or unset the variable. Received: TF_USE_LEGACY_KERAS={os.environ['TF_USE_LEGACY_KERAS']}",
            stacklevel=3,
        )


def num_replicas() -> int:
    """Returns how many replicas of the model train at once: as many as TensorFlow's strategy has, on JAX always 1."""
    if name() == "jax":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def is_tracer(tensor: Any) -> bool:
    """Returns whether a tensor stands for values to come, as JAX's do in compiled functions and under gradients."""
    if name() == "tensorflow":
        return False
    import jax

    return isinstance(tensor, jax.core.Tracer)
