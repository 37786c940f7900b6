"""What the tests need to know of Keras's backend."""

import contextlib
from contextlib import AbstractContextManager

import keras
import pytest

from tfp_bnn import _tfp

TENSORFLOW = keras.backend.backend() == "tensorflow"


def has_tfp() -> bool:
    """Returns whether TFP imports: on JAX only one whose substrate knows the installed jax does."""
    try:
        return bool(_tfp.tfp())
    except ImportError:
        return False


def needs_tfp() -> AbstractContextManager:
    """Returns the context of what needs TFP: where TFP does not import, it must raise and say what to install."""
    if has_tfp():
        return contextlib.nullcontext()
    return pytest.raises(ImportError, match="pip install tfp-nightly")
