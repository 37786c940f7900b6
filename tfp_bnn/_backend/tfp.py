"""The only importer of TensorFlow Probability: of the substrate that can do what is asked, when it is first asked.

A substrate is TFP on one array library. On Keras's TensorFlow backend it is TFP itself. On the JAX backend it is the
JAX substrate where that imports: TFP 0.25 knows jax < 0.7. The NumPy substrate imports beside any jax and does all that
takes values alone. Compiled steps and gradients, whose tensors have no values, need the JAX substrate.
"""

import functools
from types import ModuleType
from typing import Any

from tfp_bnn import _backend

Tensor = Any


def distributions(*parameters: Tensor) -> ModuleType:
    """Returns `tfp.distributions` of the substrate for distributions of these parameters.

    TFP takes seconds to import and no layer needs it to train, so it is imported by the first call and not before.

    Args:
        *parameters: tensors that the distributions are to be made of. The NumPy substrate makes arrays of them.

    Raises:
        ImportError: if one of them has no value and only the NumPy substrate imports; says what to install.
    """
    if _backend.name() == "jax" and not _imports_jax_substrate() and not any(map(_backend.is_tracer, parameters)):
        from tensorflow_probability.substrates import numpy as substrate

        return substrate.distributions
    return _of_backend().distributions


def check_trains(distribution: Any) -> Any:
    """Returns a distribution that a user made, if it can be part of a training step.

    Those of other substrates cannot: they have no gradients.

    Raises:
        ImportError: if it is of TFP's NumPy substrate because no other imports; says what to install.
        ValueError: if it is of a substrate that is not that of Keras's backend.
    """
    module = type(distribution).__module__
    own = {"tensorflow": "tensorflow_probability.python.", "jax": "tensorflow_probability.substrates.jax."}
    if module.startswith("tensorflow_probability.") and not module.startswith(own[_backend.name()]):
        raise ValueError(
            f"A TFP distribution that trains on Keras's {_backend.name()} backend must be one of "
            f"{_of_backend().__name__}.distributions. Received: {module}.{type(distribution).__name__}"
        )
    return distribution


def _of_backend() -> ModuleType:
    """Returns TFP, or its JAX substrate on Keras's JAX backend; raises ImportError if that does not import."""
    if _backend.name() == "tensorflow":
        import tensorflow_probability

        return tensorflow_probability
    if not _imports_jax_substrate():
        import jax

        error = _jax_substrate()
        raise ImportError(
            "TFP distributions in a compiled step or under gradients on Keras's JAX backend need a TFP whose JAX "
            "substrate knows the installed jax. TFP 0.25 knows jax < 0.7; for a newer one run: "
            "pip uninstall --yes tensorflow-probability && pip install tfp-nightly. Priors and posteriors of this "
            f"package train without. Received: jax {jax.__version__}, {type(error).__name__}: {error}"
        ) from error
    return _jax_substrate()


def _imports_jax_substrate() -> bool:
    return isinstance(_jax_substrate(), ModuleType)


@functools.cache
def _jax_substrate() -> ModuleType | Exception:
    """Returns TFP's JAX substrate, or what its import raised: it is tried once, since to fail takes seconds too."""
    try:
        from tensorflow_probability.substrates import jax as substrate

        substrate.distributions  # noqa: B018  (the import is lazy, this makes it happen)
    except (ImportError, AttributeError) as error:
        # TFP 0.25 reads attributes that JAX 0.7 removed, hence the AttributeError.
        return error
    return substrate
