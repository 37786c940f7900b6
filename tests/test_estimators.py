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


# Antithetic noise.


def test_antithetic_noise_cancels_over_equal_examples():
    # In pairs of groups of one kernel each, whatever the batch, if it is not filled up.
    for size, pairs in ((16, 8), (16, 3), (6, 1), (2, 1)):
        layer = bnn.layers.Dense(3, use_bias=False, estimator=bnn.estimators.Antithetic(pairs), seed=1)
        layer.build((None, 5))
        layer.random_weights["kernel"][0].assign(0.0, 1.0)
        outputs = keras.ops.convert_to_numpy(layer(np.ones((size, 5), "float32")))
        if size % (2 * pairs) == 0:
            np.testing.assert_allclose(outputs.sum(axis=0), np.zeros(3), atol=1e-5)
        assert np.abs(outputs).min() > 0


def test_each_pair_of_groups_has_signs_of_its_own():
    layer = bnn.layers.Dense(40, use_bias=False, estimator=bnn.estimators.Antithetic(pairs=2), seed=1)
    layer.build((None, 1))
    layer.random_weights["kernel"][0].assign(0.0, 1.0)
    outputs = keras.ops.convert_to_numpy(layer(np.ones((4, 1), "float32")))
    assert (np.abs(outputs) == np.abs(outputs[:1])).all()
    # Two pairs of opposites, which differ in some signs.
    assert len({tuple(row) for row in np.sign(outputs)}) == 4


@pytest.mark.parametrize(
    ("pairs", "weights", "batch", "expected"),
    [(8, 100, 128, 8), (8, 2**18, 128, 4), (8, 2**19, 128, None), (8, 2**19, 4, 2), (1, 2**22, 128, 1), (8, 9, 1, 1)],
)
def test_large_kernels_and_small_batches_have_fewer_pairs(pairs, weights, batch, expected):
    linear = bnn.estimators.LinearMap("kernel", (weights, 1), None, None)
    assert bnn.estimators.Antithetic(pairs)._pairs_for(linear, batch) == expected


def test_a_kernel_that_is_too_large_to_copy_has_the_noise_of_flipout():
    inputs = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")
    outputs = []
    for estimator in ("antithetic", "flipout"):
        layer = bnn.layers.Dense(2**18, estimator=estimator, seed=1, use_bias=False)
        layer.build((None, 2))
        layer.random_weights["kernel"][0].assign(0.5, 1.0)
        outputs.append(keras.ops.convert_to_numpy(layer(inputs)))
    np.testing.assert_array_equal(outputs[0], outputs[1])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_antithetic_noise_of_a_batch_whose_size_is_not_known_when_it_is_compiled(size):
    layer = bnn.layers.Conv2D(2, 3, estimator="antithetic", posterior=bnn.posteriors.MeanFieldNormal(1e-6), seed=1)
    model = keras.Sequential([keras.Input((4, 4, 3)), layer])
    images = np.random.default_rng(0).normal(size=(size, 4, 4, 3)).astype("float32")
    expected = bnn.to_deterministic(model).predict(images, verbose=0)
    # A batch of 2 first, so that its size is not fixed.
    model.predict(images[:2], verbose=0)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-3, atol=1e-4)


def test_an_estimator_has_a_name_or_a_config():
    assert bnn.estimators.serialize(bnn.estimators.get("local-reparameterization")) == "local_reparameterization"
    layer = bnn.layers.Dense(2, estimator=bnn.estimators.Antithetic(pairs=3))
    loaded = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert loaded.estimator.pairs == 3
    with pytest.raises(ValueError, match=r"must be one of \"flipout\", .*Received: estimator='dropout'"):
        bnn.layers.Dense(2, estimator="dropout")
    with pytest.raises(ValueError, match="Received: pairs=0"):
        bnn.estimators.Antithetic(pairs=0)


class Point(bnn.posteriors.Posterior):
    """A posterior that is no Gaussian."""

    def create(self, add_weight, name, shape):
        raise NotImplementedError


def test_a_posterior_that_an_estimator_cannot_use_is_an_error_when_the_layer_is_made():
    for estimator in ("flipout", "local_reparameterization", "antithetic"):
        with pytest.raises(ValueError, match=r'needs a posterior of NormalWeights.*estimator="reparameterization"'):
            bnn.layers.Dense(2, estimator=estimator, posterior=Point())
    bnn.layers.Dense(2, estimator="reparameterization", posterior=Point())
