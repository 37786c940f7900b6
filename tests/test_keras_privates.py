"""Private names of Keras that `tfp_bnn._keras` needs. Where a test fails, it says what to do."""

import keras
from backend import TENSORFLOW

from tfp_bnn import _keras


def test_a_keras_variable_holds_the_backend_s_variable():
    """If `_value` goes: find what a `tf.GradientTape` watches when the variable is read, and return that."""
    variable = keras.Variable(2.0)
    assert float(_keras.backend_variable(variable)) == 2.0
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            keras.ops.square(variable)
        assert [id(watched) for watched in tape.watched_variables()] == [id(_keras.backend_variable(variable))]
