"""What the tests need to know of Keras's backend, beside what `tfp_bnn.testing` knows of it."""

import contextlib
from contextlib import AbstractContextManager

import pytest

from tfp_bnn.testing.on_backends import (
    TENSORFLOW,
    compiled,
    convolves_empty_batches,
    double_precision,
    numpy,
    over_seeds,
    seeds,
    soonest,
    with_gradient,
    with_variables,
)

__all__ = [
    "ONE_BACKEND",
    "TENSORFLOW",
    "compiled",
    "convolves_empty_batches",
    "double_precision",
    "numpy",
    "over_seeds",
    "seeds",
    "soonest",
    "with_gradient",
    "with_variables",
    "UNCOMPILED",
    "has_tfp",
    "needs_tfp",
    "on_jax_alone",
    "on_tensorflow_alone",
]


# For brief runs of scripts and for plots, which test nothing of a backend that other tests do not.
ONE_BACKEND = "one backend is enough"
on_tensorflow_alone = pytest.mark.skipif(not TENSORFLOW, reason=ONE_BACKEND)
on_jax_alone = pytest.mark.skipif(TENSORFLOW, reason=ONE_BACKEND)


# Of `compile`, for models that train for a step or two: TensorFlow takes seconds to trace what it runs at once.
UNCOMPILED = {"run_eagerly": TENSORFLOW}


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
