"""What the tests need to know of Keras's backend."""

import contextlib
from contextlib import AbstractContextManager

import keras
import pytest

TENSORFLOW = keras.backend.backend() == "tensorflow"


def has_tfp() -> bool:
    """Returns whether TFP must import: always on TensorFlow; on JAX if its substrate knows the installed jax.

    It does not ask the package, whose own import could then fail unnoticed.
    """
    if TENSORFLOW:
        return True
    try:
        from tensorflow_probability.substrates import jax

        return bool(jax.distributions)
    except (ImportError, AttributeError):
        return False


def needs_tfp() -> AbstractContextManager:
    """Returns the context of what needs TFP: where TFP does not import, it must raise and say what to install."""
    if has_tfp():
        return contextlib.nullcontext()
    return pytest.raises(ImportError, match="pip install tfp-nightly")
