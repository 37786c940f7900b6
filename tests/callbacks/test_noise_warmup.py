"""The share of varying noise over the epochs."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone


def test_the_share_rises_linearly_and_ends_at_1():
    model = keras.Sequential([keras.Input((2,)), bnn.layers.GrowingNoise()])
    callback = bnn.callbacks.NoiseWarmup(epochs=2.5)
    callback.set_model(model)
    shares = []
    for epoch in range(4):
        callback.on_epoch_begin(epoch)
        shares.append(float(model.layers[0].share))
    assert shares == pytest.approx([0.2, 0.6, 1, 1])
    callback.on_epoch_begin(0)
    callback.on_train_end()
    assert float(model.layers[0].share) == 1


def test_at_a_share_of_0_the_noise_is_the_same_everywhere():
    layer = bnn.layers.GrowingNoise()
    outputs = np.array([[1.0, 2.0], [3.0, 5.0]], "float32")
    scales = {}
    for share in (0.0, 0.5, 1.0):
        layer(outputs)
        layer.share.assign(share)
        loc, scales[share] = keras.ops.convert_to_numpy(layer(outputs)).T
        np.testing.assert_array_equal(loc, [1, 3])
    assert scales[0.0][0] == scales[0.0][1]
    # What varies is the network's second output, times the share.
    np.testing.assert_allclose(scales[1.0] - scales[0.0], outputs[:, 1], rtol=1e-6)
    np.testing.assert_allclose(scales[0.5] - scales[0.0], 0.5 * outputs[:, 1], rtol=1e-6)
