"""Bayesian layers that are run once a time step: one draw of their weights, and one KL term, for a whole sequence.

Keras runs the steps of `RNN` and of `TimeDistributed` in a loop that may be compiled. What is drawn or added inside of
it would be drawn anew at each step, and could not leave the loop. So the weights are drawn before it and held in it.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras

from tfp_bnn.layers import held_weights
from tfp_bnn.layers.base import VariationalLayer, variational_layers

Tensor = Any


def hold_weights_in_loops() -> None:
    """Makes Keras's two layers that loop over time hold the weights of Bayesian layers inside of them.

    Keras offers no hook before the loop, and the layers that loop may be made, and called, before any Bayesian layer
    knows of them. So their `call` is replaced, once; without Bayesian layers it does what it did.

    Example:

    >>> steps = keras.layers.TimeDistributed(keras.layers.Dense(3))
    >>> tuple(steps(keras.ops.ones((2, 5, 4))).shape)
    (2, 5, 3)
    """
    keras.layers.RNN.call = _holding(keras.layers.RNN.call, _build_cell)
    keras.layers.TimeDistributed.call = _holding(keras.layers.TimeDistributed.call, _build_layer)


def _holding(call: Callable[..., Any], build: Callable[[Any, Tensor], keras.layers.Layer]) -> Callable[..., Any]:
    @functools.wraps(call)
    def call_holding(loop: Any, inputs: Tensor, *args: Any, training: bool = False, **kwargs: Any) -> Any:
        step = build(loop, inputs)
        # Those that predict holds already, or a loop around this one, stay as they are.
        layers = [layer for layer in _bayesian_layers(step) if held_weights.of(layer) is None]
        if not layers:
            return call(loop, inputs, *args, training=training, **kwargs)
        with held_weights.hold({layer: layer.draw_for_sequence(training) for layer in layers}):
            return call(loop, inputs, *args, training=training, **kwargs)

    return call_holding


def _bayesian_layers(step: Any) -> list[VariationalLayer]:
    return variational_layers(step) if isinstance(step, keras.layers.Layer) else []


def _build_cell(rnn: keras.layers.RNN, inputs: Tensor) -> Any:
    """Returns the cell, with all Bayesian layers in it built: a cell without `build` makes its weights when it runs."""
    if not all(layer.built for layer in _bayesian_layers(rnn.cell)):
        # In the scope nothing that is drawn, added or updated lasts.
        with keras.StatelessScope():
            rnn.cell(inputs[:, 0], rnn.get_initial_state(keras.ops.shape(inputs)[0]))
    return rnn.cell


def _build_layer(steps: keras.layers.TimeDistributed, inputs: Tensor) -> keras.layers.Layer:
    """Returns the layer, with all Bayesian layers in it built."""
    if not all(layer.built for layer in _bayesian_layers(steps.layer)):
        with keras.StatelessScope():
            steps.layer(inputs[:, 0])
    return steps.layer
