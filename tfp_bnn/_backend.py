"""Which Keras backends the package runs on."""

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
