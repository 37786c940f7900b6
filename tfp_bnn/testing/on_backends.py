"""What checks need to know of Keras's backend: compiling, mapping over seeds, gradients, double precision."""

import contextlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np

TENSORFLOW = keras.backend.backend() == "tensorflow"


def double_precision() -> AbstractContextManager:
    """Returns the context in which the backend has float64: on JAX it is off by default."""
    if TENSORFLOW:
        return contextlib.nullcontext()
    import jax

    return jax.enable_x64(True)


def numpy(tensor: Any) -> np.ndarray:
    """Returns a tensor as a float64 array."""
    return keras.ops.convert_to_numpy(tensor).astype("float64")


def convolves_empty_batches() -> bool:
    """Returns whether a convolution of no example has the outputs' shape.

    Where TensorFlow runs on oneDNN, which depends on the processor, it has the inputs', and Keras's layers fail.
    """
    if not TENSORFLOW:
        return True
    import tensorflow as tf

    return tf.nn.conv1d(tf.zeros((0, 5, 2)), tf.zeros((3, 2, 4)), 1, "SAME").shape == (0, 5, 4)


def compiled(function: Callable, xla: bool = False) -> Callable:
    """Returns the function of tensors, compiled: on TensorFlow as a graph, with XLA if asked; on JAX always with it."""
    if TENSORFLOW:
        import tensorflow as tf

        return tf.function(function, autograph=False, jit_compile=xla)
    import jax

    return jax.jit(function)


def soonest(function: Callable) -> Callable:
    """Returns the function as the backend has one value of it soonest: on JAX compiled, on TensorFlow as it is.

    JAX compiles each operation for each shape if it is not all compiled at once.
    """
    return function if TENSORFLOW else compiled(function)


def with_variables(function: Callable, variables: Sequence[Any]) -> Callable:
    """Returns the compiled function of tensors that reads the current values of Keras variables at each call."""
    if TENSORFLOW:
        return compiled(function)

    def stateless(values: list[Any], *args: Any) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*args)

    run = compiled(stateless)
    return lambda *args: run([variable.value for variable in variables], *args)


def seeds(num_draws: int, first: int = 12) -> Any:
    """Returns one seed a draw, [num_draws, 2], with room for a hundred counts in each."""
    pairs = np.stack([np.full(num_draws, first), 100 * np.arange(num_draws)], axis=1)
    return keras.ops.convert_to_tensor(pairs.astype("int32"))


def over_seeds(function: Callable, num_draws: int, xla: bool = True) -> np.ndarray:
    """Returns what a function makes of many seeds, [num_draws, ...], in one loop that XLA compiles, if it may.

    TensorFlow, which hands each operation of each draw to its kernel, takes three times as long without XLA.
    """
    return numpy(compiled(lambda seeds: _map(function, seeds), xla)(seeds(num_draws)))


def _map(function: Callable, seeds: Any) -> Any:
    if TENSORFLOW:
        import tensorflow as tf

        # Keras traces the function a second time, to ask what it returns: mostly this.
        with contextlib.suppress(TypeError, ValueError):
            return tf.map_fn(function, seeds, fn_output_signature=tf.float32)
    return keras.ops.map(function, seeds)


def with_gradient(function: Callable, variables: Sequence[Any]) -> Callable:
    """Returns the function that gives a scalar function's value and then its gradient in Keras variables, [1 + n]."""

    def value_and_gradient(*args: Any) -> Any:
        value, gradients = _value_and_gradients(function, variables, args)
        return keras.ops.concatenate([keras.ops.reshape(part, (-1,)) for part in (value, *gradients)])

    return value_and_gradient


def _value_and_gradients(function: Callable, variables: Sequence[Any], args: Sequence[Any]) -> tuple[Any, list[Any]]:
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = function(*args)
        return value, tape.gradient(value, [variable.value for variable in variables])
    import jax

    def value_at(values: list[Any]) -> Any:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*args)

    return jax.value_and_grad(value_at)([variable.value for variable in variables])
