"""Keras's TensorFlow backend."""

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

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

_BETWEEN_REPLICAS = 104_729
"""How far the first halves of two replicas' seeds are apart; the second halves count the draws."""

AFTER_A_FAILED_STEP = ""
"""What to do after an error in the first step of `fit`, for the end of its message."""


def warn_of_legacy_keras() -> None:
    """Warns if `tf.keras` is Keras 2, whose models take no layer of Keras 3: with TF_USE_LEGACY_KERAS, as TFP asks."""
    # The values that TensorFlow takes for true.
    if os.environ.get("TF_USE_LEGACY_KERAS") in ("true", "True", "1"):
        warnings.warn(
            "TF_USE_LEGACY_KERAS is set: `tf.keras` is Keras 2, and its models refuse the layers of tfp_bnn, which are "
            "Keras 3 layers ('must be an instance of class Layer'). Build models with `import keras`, not `tf.keras`, "
            f"or unset the variable. Received: TF_USE_LEGACY_KERAS={os.environ['TF_USE_LEGACY_KERAS']}",
            stacklevel=3,
        )


# Training.


def num_replicas() -> int:
    """Returns how many replicas of the model train at once."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def of_replica(seed: Tensor) -> Tensor:
    """Returns a seed of its own for each replica that trains at once: of the first, and of one alone, the same."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    offset = tf.cast(context.replica_id_in_sync_group, seed.dtype) * tf.constant(_BETWEEN_REPLICAS, seed.dtype)
    return seed + tf.stack([offset, tf.zeros_like(offset)])


def sync_state(model: keras.Model) -> None:
    """Brings the variables of a model in training up to date: they always are."""


def register_constant(kind: type, argument_of: Callable[[Any], Any]) -> None:
    """Lets compiled functions return instances of a class, made of one argument each: they do."""


# Variables that are not Keras's.


def watch(function: Callable[[], Any]) -> tuple[Any, list[Any]]:
    """Calls a function; returns its result, and the backend's own trainable variables that it read."""
    with tf.GradientTape() as tape:
        result = function()
    return result, list(tape.watched_variables())


def parts_of(variable: Any) -> list[Any]:
    """Returns one of the backend's own variables, and what each replica has of it."""
    return [variable, *tf.distribute.get_strategy().experimental_local_results(variable)]


# Numbers.


def as_seed(seed: Tensor, bound: int) -> Tensor:
    """Returns a seed of Keras's in the form that TFP's samplers take, below a bound."""
    return tf.cast(tf.math.floormod(seed, tf.cast(bound, seed.dtype)), tf.int32)


def double_normals(seed: Tensor, shape: Sequence[Any]) -> Tensor:
    """Returns standard normals in double precision."""
    return tf.random.stateless_normal(shape, seed, dtype="float64", alg="philox")


def compile_draw(draw: Draw) -> Draw:
    """Compiles a function of a key of two integers and a size, also within functions that are not compiled."""
    signature = (tf.TensorSpec([2], tf.uint32), tf.TensorSpec([], tf.int32))
    # Eager calls meet many sizes once, and XLA compiles each: no gain.
    eager, within_graph = (
        _renewed(lambda xla=xla: tf.function(draw, input_signature=signature, autograph=False, jit_compile=xla))
        for xla in (False, True)
    )

    def draw_compiled(key: Tensor, size: Any) -> Tensor:
        return (eager if tf.executing_eagerly() else within_graph)(key, size)

    return draw_compiled


def _renewed(compile_anew: Callable[[], Draw]) -> Draw:
    """Returns a compiled function that is compiled anew whenever TensorFlow has lost it.

    What converts a graph that calls it (to ONNX, say) removes it from the process when it is done.
    """
    compiled = compile_anew()

    def draw_renewed(key: Tensor, size: Any) -> Tensor:
        nonlocal compiled
        try:
            return compiled(key, size)
        except tf.errors.NotFoundError:
            compiled = compile_anew()
            return compiled(key, size)

    return draw_renewed


def log_gamma(x: Tensor) -> Tensor:
    """Returns the logarithm of the gamma function, which Keras does not have."""
    return tf.math.lgamma(x)


def with_slope(
    value: Callable[[Tensor, Tensor], Tensor], slope_times: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """Returns a function of `term` and `x` with gradients of one's own.

    Args:
        value: the function; its slope in `term` is 1.
        slope_times: its slope in x, of x and what it is multiplied by.
    """

    @tf.custom_gradient
    def differentiable(term: Tensor, x: Tensor) -> tuple[Tensor, Any]:
        return value(term, x), lambda upstream: (upstream, slope_times(x, upstream))

    # TensorFlow takes a variable among the arguments for one that the function captured.
    return lambda term, x: differentiable(tf.convert_to_tensor(term), tf.convert_to_tensor(x))


# Predictions.


class _OtherDtypes(Exception):
    """Raised while outputs are compiled whose number or dtypes turn out to be others than was thought."""


def compiles_for_each_shape(model: keras.Model) -> bool:
    """Returns whether `compile_draws` compiles anew for each number of inputs: XLA does, TensorFlow itself twice."""
    return bool(model.jit_compile)


def compile_draws(
    model: keras.Model, variables: list[Any], outputs_of_draw: Callable[[Any, Tensor], list[Tensor]]
) -> Callable[[Any, Any], list[Tensor]]:
    """Returns the compiled function of inputs and of seeds, [draws, 2], that gives the outputs of all draws.

    Args:
        model: the model.
        variables: those that it reads.
        outputs_of_draw: from inputs and one seed to tensors.
    """

    def draw_all(inputs: Any, seeds: tf.Tensor, dtypes: list[tf.DType]) -> list[tf.Tensor]:
        def draw(seed: tf.Tensor) -> list[tf.Tensor]:
            # Of what a layer updates, such as the state of a stateful one, nothing must reach the next draw.
            with keras.StatelessScope(state_mapping=[(variable, variable.value) for variable in variables]):
                outputs = outputs_of_draw(inputs, seed)
            found = [_dtype_kept(output) for output in outputs]
            if found != dtypes:
                raise _OtherDtypes(found)
            return [tf.cast(output, dtype) for output, dtype in zip(outputs, dtypes, strict=True)]

        return tf.map_fn(draw, seeds, parallel_iterations=1, fn_output_signature=dtypes)

    @tf.function(jit_compile=model.jit_compile, reduce_retracing=True)
    @tf.autograph.experimental.do_not_convert
    def draw_outputs(inputs: Any, seeds: tf.Tensor) -> list[tf.Tensor]:
        # A loop must know its dtypes before its body is there to ask.
        try:
            return draw_all(inputs, seeds, [tf.float32])
        except _OtherDtypes as error:
            return draw_all(inputs, seeds, error.args[0])

    has_traced = False

    def on_tensors(inputs: Any, seeds: Any) -> list[tf.Tensor]:
        nonlocal has_traced
        arguments = keras.tree.map_structure(tf.convert_to_tensor, (inputs, seeds))
        if not has_traced:
            has_traced = True
            # For all numbers of inputs and draws at once. A model that must know them is traced for each.
            with contextlib.suppress(Exception):
                draw_outputs.get_concrete_function(*keras.tree.map_structure(_of_any_length, arguments))
        return draw_outputs(*arguments)

    return on_tensors


def _of_any_length(tensor: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec([None, *tensor.shape[1:]], tensor.dtype)


def _dtype_kept(output: tf.Tensor) -> tf.DType:
    return output.dtype if output.dtype in (tf.bool, tf.float64) else tf.float32


# TensorFlow Probability.

TFP_CLASSES = "tensorflow_probability.python."
"""How the modules begin of TFP's distributions that train on this backend."""


def tfp_of(parameters: Sequence[Tensor]) -> ModuleType:
    """Returns TFP for distributions of these parameters."""
    return tfp_that_trains()


def tfp_that_trains() -> ModuleType:
    """Returns TFP for distributions that are part of a training step."""
    with needed("tensorflow,tfp"):
        import tensorflow_probability

        tensorflow_probability.distributions.Distribution  # noqa: B018  (the import is lazy, this makes it happen)
    return tensorflow_probability
