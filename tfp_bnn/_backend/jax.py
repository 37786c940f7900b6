"""Keras's JAX backend."""

import functools
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import jax
import keras

from tfp_bnn import _keras
from tfp_bnn._extras import needed

__all__ = [
    "AFTER_A_FAILED_STEP",
    "TFP_CLASSES",
    "as_seed",
    "compile_draw",
    "compile_draws",
    "compiles_for_each_shape",
    "double_normals",
    "log_gamma",
    "num_replicas",
    "of_replica",
    "parts_of",
    "register_constant",
    "sync_state",
    "tfp_of",
    "tfp_that_trains",
    "warn_of_legacy_keras",
    "watch",
    "with_slope",
]

Tensor = Any
Draw = Callable[[Tensor, Any], Tensor]

# Keras's JAX trainer takes the values out of the model for a step, and an error in the first one loses them.
AFTER_A_FAILED_STEP = " If this was `fit`, make the model anew first: the failed step has left it without values."
"""What to do after an error in the first step of `fit`, for the end of its message."""


def warn_of_legacy_keras() -> None:
    """Warns if `tf.keras` is Keras 2: there is none beside JAX."""


# Training.


def num_replicas() -> int:
    """Returns how many replicas of the model train at once: always 1."""
    return 1


def of_replica(seed: Tensor) -> Tensor:
    """Returns a seed of its own for each replica that trains at once: Keras's JAX trainer has one program for all."""
    return seed


def sync_state(model: keras.Model) -> None:
    """Brings the variables of a model in training up to date: Keras's trainer keeps them elsewhere meanwhile."""
    model.jax_state_sync()


def register_constant(kind: type, argument_of: Callable[[Any], Any]) -> None:
    """Lets compiled functions return instances of a class, made of one argument each."""
    jax.tree_util.register_pytree_node(
        kind, lambda constant: ((), argument_of(constant)), lambda argument, _: kind(argument)
    )


# Variables that are not Keras's.


def watch(function: Callable[[], Any]) -> tuple[Any, list[Any]]:
    """Calls a function; returns its result, and the backend's own trainable variables that it read: there are none."""
    return function(), []


def parts_of(variable: Any) -> list[Any]:
    """Returns one of the backend's own variables, and what each replica has of it."""
    return [variable]


# Numbers.


def as_seed(seed: Tensor, bound: int) -> Tensor:
    """Returns a seed of Keras's in the form that TFP's samplers take, below a bound."""
    return jax.numpy.asarray(seed, "uint32") % jax.numpy.uint32(bound)


def double_normals(seed: Tensor, shape: Sequence[Any]) -> Tensor:
    """Returns standard normals in double precision."""
    return jax.random.normal(seed, shape, "float64")


def compile_draw(draw: Draw) -> Draw:
    """Compiles a function of a key of two integers and a size, also within functions that are not compiled."""
    return jax.jit(draw, static_argnums=1)


def log_gamma(x: Tensor) -> Tensor:
    """Returns the logarithm of the gamma function, which Keras does not have."""
    # As `jax.scipy.special.gammaln`, which is slow to import.
    return jax.lax.lgamma(x)


def with_slope(
    value: Callable[[Tensor, Tensor], Tensor], slope_times: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns a function of `term` and `x` with gradients of one's own.

    Args:
        value: the function; its slope in `term` is 1.
        slope_times: its slope in x, of x and what it is multiplied by.
    """
    differentiable = jax.custom_jvp(value)
    differentiable.defjvp(lambda at, along: (value(*at), along[0] + slope_times(at[1], along[1])))
    return differentiable


# Predictions.

_IN_TRAINING = (
    "The model is in training, and Keras has taken its values out of it: no step has ended yet, or the training is "
    "that of a larger model. In a callback of your own, first call model.jax_state_sync() of the one that is trained. "
)
_TRIES = 1000


def compiles_for_each_shape(model: keras.Model) -> bool:
    """Returns whether `compile_draws` compiles anew for each number of inputs: it does."""
    return True


def compile_draws(
    model: keras.Model, variables: list[Any], outputs_of_draw: Callable[[Any, Tensor], list[Tensor]]
) -> Callable[[Any, Any], list[Tensor]]:
    """Returns the compiled function of inputs and of seeds, [draws, 2], that gives the outputs of all draws.

    Args:
        model: the model.
        variables: those that it reads.
        outputs_of_draw: from inputs and one seed to tensors.
    """

    @jax.jit
    def draw_outputs(values: list[Tensor], inputs: Any, seeds: Tensor) -> list[Tensor]:
        def one_draw(seed: Tensor) -> list[Tensor]:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return outputs_of_draw(inputs, seed)

        return jax.lax.map(one_draw, seeds)

    def on_values(inputs: Any, seeds: Any) -> list[Tensor]:
        for _ in range(_TRIES):
            values = _values_of(variables, model)
            try:
                return draw_outputs(values, inputs, seeds)
            except (RuntimeError, ValueError) as error:
                # A step of a training in another thread may take them between the two lines above.
                if not any(value.is_deleted() for value in values):
                    raise
                failed = error
        raise RuntimeError(f"{_IN_TRAINING}Received: model {model.name!r}, in training") from failed

    return on_values


def _values_of(variables: list[Any], model: keras.Model) -> list[Tensor]:
    """Returns the values of variables, of a model in training those that its last step left."""
    while True:
        in_training = _keras.values_in_training(model)
        try:
            # Not by `get`, which would ask for values that are not there.
            return [in_training[id(v)] if id(v) in in_training else v.value for v in variables]  # noqa: SIM401
        except TypeError as error:
            # A variable without a value asks its initializer for one, and has none.
            if _keras.is_in_fit_elsewhere(model):
                time.sleep(0.01)  # Its first step has not ended.
            else:
                raise RuntimeError(f"{_IN_TRAINING}Received: model {model.name!r}, in training") from error


# TensorFlow Probability.

TFP_CLASSES = "tensorflow_probability.substrates.jax."
"""How the modules begin of TFP's distributions that train on this backend."""


def tfp_of(parameters: Sequence[Tensor]) -> ModuleType:
    """Returns TFP for distributions of these parameters; the NumPy substrate if the one of JAX does not import.

    Raises:
        ImportError: if one of them has no value and only the NumPy substrate imports; says what to install.
    """
    has_values = not any(isinstance(parameter, jax.core.Tracer) for parameter in parameters)
    if has_values and not isinstance(_jax_substrate(), ModuleType):
        from tensorflow_probability.substrates import numpy as substrate

        return substrate
    return tfp_that_trains()


def tfp_that_trains() -> ModuleType:
    """Returns TFP for distributions that are part of a training step; raises ImportError if that does not import."""
    substrate = _jax_substrate()
    if isinstance(substrate, ModuleType):
        return substrate
    raise ImportError(
        "TFP distributions in a compiled step or under gradients on Keras's JAX backend need a TFP whose JAX "
        "substrate knows the installed jax. TFP 0.25 knows jax < 0.7; for a newer one run: "
        "pip uninstall --yes tensorflow-probability && pip install tfp-nightly. Priors and posteriors of this "
        f"package train without. Received: jax {jax.__version__}, {type(substrate).__name__}: {substrate}"
    ) from substrate


@functools.cache
def _jax_substrate() -> ModuleType | Exception:
    """Returns TFP's JAX substrate, or what its import raised: it is tried once, since to fail takes seconds too."""
    with needed("tfp"):
        import tensorflow_probability  # noqa: F401
    try:
        from tensorflow_probability.substrates import jax as substrate

        substrate.distributions  # noqa: B018  (the import is lazy, this makes it happen)
    except (ImportError, AttributeError) as error:
        # TFP 0.25 reads attributes that JAX 0.7 removed, hence the AttributeError.
        return error
    return substrate
