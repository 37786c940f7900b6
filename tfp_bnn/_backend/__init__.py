"""What depends on Keras's backend: a file for each, with the same functions, of which the names here are one's.

Nothing else in the package imports TensorFlow or JAX, but `exports`, whose files are TensorFlow's. Another backend is
another such file, and a branch here.
"""

try:
    import keras
except ModuleNotFoundError as error:
    # Keras imports its backend.
    raise ImportError(
        'tfp_bnn runs on Keras\'s backends tensorflow and jax. Run pip install "tfp-bnn[tensorflow]", or pip install '
        f'"tfp-bnn[jax]" and set the environment variable KERAS_BACKEND=jax. Received: {error}'
    ) from error

if keras.backend.backend() == "tensorflow":
    from tfp_bnn._backend.tensorflow import *  # noqa: F403
elif keras.backend.backend() == "jax":
    from tfp_bnn._backend.jax import *  # noqa: F403
else:
    raise ImportError(
        "tfp_bnn runs on Keras's backends tensorflow and jax. Set the environment variable KERAS_BACKEND to one of "
        f"them before Keras is imported. Received: backend={keras.backend.backend()!r}"
    )
