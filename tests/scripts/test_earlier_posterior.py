"""A prior that follows the posterior at a distance, in scripts; that this is Bayes's rule, the package's tests show."""

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.learning.earlier_posterior import Heirs

SHAPE = (3, 2)


def make_layer(scale):
    prior = bnn.priors.EarlierPosterior({"kernel": SHAPE}, scale)
    layer = bnn.layers.DenseReparameterization(SHAPE[1], prior=prior, kl_weight=1.0)
    layer.build((None, SHAPE[0]))
    return layer, prior.of("kernel", SHAPE)


def arrays(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=SHAPE), rng.uniform(0.1, 2, SHAPE)


def test_the_prior_is_the_posterior_of_so_many_looks_ago():
    layer, prior = make_layer(scale=0.7)
    heirs = Heirs([layer], distance=2)
    for look in range(4):
        assert heirs.have_inherited == (look > 2)
        if not heirs.have_inherited:
            np.testing.assert_allclose(keras.ops.convert_to_numpy(prior.scale), 0.7, rtol=1e-6)
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(prior.loc), 0.0)
        layer.random_weights["kernel"][0].assign(*arrays(look))
        heirs.remember()
    mean, stddev = arrays(1)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(prior.loc), mean, rtol=1e-5)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(prior.scale), stddev, rtol=1e-5)
