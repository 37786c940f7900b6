"""The only importer of TensorFlow Probability: the substrate of Keras's backend, when it is first needed."""

import functools
import types

from tfp_bnn import _backend


@functools.cache
def tfp() -> types.ModuleType:
    """Returns `tensorflow_probability`, or its JAX substrate on Keras's JAX backend.

    TFP takes seconds to import and no layer needs it to train, so it is imported by the first call and not before.

    Raises:
        ImportError: if TFP does not import beside the installed TensorFlow or JAX; says what to install.
    """
    if _backend.name() == "tensorflow":
        import tensorflow_probability

        return tensorflow_probability
    try:
        from tensorflow_probability.substrates import jax as jax_substrate

        jax_substrate.distributions  # noqa: B018  (the import is lazy, this makes it happen)
    except (ImportError, AttributeError) as error:
        # TFP 0.25 reads attributes that JAX 0.7 removed, hence the AttributeError.
        import jax

        raise ImportError(
            "TFP distributions on Keras's JAX backend need a TFP whose JAX substrate knows the installed jax. "
            "TFP 0.25 knows jax < 0.7; for a newer one run: "
            "pip uninstall --yes tensorflow-probability && pip install tfp-nightly. "
            f"Training and `predict` work without. Received: jax {jax.__version__}, {type(error).__name__}: {error}"
        ) from error
    return jax_substrate


def distributions() -> types.ModuleType:
    """Returns `tfp.distributions` of Keras's backend; raises as `tfp` does."""
    return tfp().distributions
