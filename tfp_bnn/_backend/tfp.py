"""The only way to TensorFlow Probability: to the substrate that can do what is asked, when it is first asked.

A substrate is TFP on one array library. On Keras's TensorFlow backend it is TFP itself. On the JAX backend it is the
JAX substrate where that imports: TFP 0.25 knows jax < 0.7. The NumPy substrate imports beside any jax and does all that
takes values alone. Compiled steps and gradients, whose tensors have no values, need the JAX substrate.
"""

from types import ModuleType
from typing import Any

import keras

from tfp_bnn import _backend

Tensor = Any


def distributions(*parameters: Tensor) -> ModuleType:
    """Returns `tfp.distributions` of the substrate for distributions of these parameters.

    TFP takes seconds to import and no layer needs it to train, so it is imported by the first call and not before.

    Args:
        *parameters: tensors that the distributions are to be made of. The NumPy substrate makes arrays of them.

    Raises:
        ImportError: if TFP is not installed, or if one of them has no value and only the NumPy substrate imports; says
            what to install.
    """
    return _backend.tfp_of(parameters).distributions


def check_trains(distribution: Any) -> Any:
    """Returns a distribution that a user made, if it can be part of a training step.

    Those of other substrates cannot: they have no gradients.

    Raises:
        ImportError: if it is of TFP's NumPy substrate because no other imports; says what to install.
        ValueError: if it is of a substrate that is not that of Keras's backend.
    """
    module = type(distribution).__module__
    if module.startswith("tensorflow_probability.") and not module.startswith(_backend.TFP_CLASSES):
        raise ValueError(
            f"A TFP distribution that trains on Keras's {keras.backend.backend()} backend must be one of "
            f"{_backend.tfp_that_trains().__name__}.distributions. Received: {module}.{type(distribution).__name__}"
        )
    return distribution
