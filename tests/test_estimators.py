"""Estimators: what moments of outputs do not show."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn


@pytest.mark.parametrize(
    ("make_layer", "axes"),
    [(bnn.layers.DenseFlipout, 0), (lambda filters, **kw: bnn.layers.Conv2DFlipout(filters, 1, **kw), 2)],
)
def test_flipout_flips_each_channel_of_the_inputs_and_of_the_outputs(make_layer, axes):
    def noise_of_two_equal_examples(inputs, outputs):
        layer = make_layer(outputs, use_bias=False)
        layer.build((None, *[1] * axes, inputs))
        layer.random_weights["kernel"][0].assign(0.0, 1.0)
        return keras.ops.convert_to_numpy(layer(np.ones((2, *[1] * axes, inputs), "float32"))).reshape(2, outputs)

    # One input: the examples' noise differs in signs alone, which differ from output to output.
    first, second = noise_of_two_equal_examples(inputs=1, outputs=40)
    np.testing.assert_array_equal(np.abs(first), np.abs(second))
    assert set(np.sign(first * second)) == {-1.0, 1.0}
    # Many inputs, each with a sign of its own: not in signs alone.
    first, second = noise_of_two_equal_examples(inputs=40, outputs=1)
    assert np.abs(np.abs(first) - np.abs(second)).min() > 1e-3
