"""Canaries: private names of Keras that `tfp_bnn._keras` uses. Where one is gone, mend that file alone."""

import keras
import numpy as np

from tfp_bnn import _keras


def test_keras_notes_the_logits_behind_a_softmax_and_a_sigmoid():
    """If this fails, find how `keras.losses` of today see through a softmax head, and read that in `logits_behind`."""
    x = keras.ops.convert_to_tensor(np.array([[1.0, 2.0]], "float32"))
    for activation in (keras.activations.softmax, keras.activations.sigmoid):
        np.testing.assert_array_equal(_keras.logits_behind(activation(x)), x)
    assert _keras.logits_behind(x) is None


def test_a_symbolic_tensor_knows_the_operation_that_made_it():
    """If this fails, see how `keras.Model` finds its layers from its outputs, and mend `operation_behind`."""
    dense, inputs = keras.layers.Dense(2), keras.Input((3,))
    for _ in range(2):
        outputs = dense(inputs)
        assert _keras.operation_behind(outputs) == (dense, 0)
        assert _keras.inputs_of(outputs) == [inputs]
    assert _keras.operation_behind(np.zeros(2)) is None
