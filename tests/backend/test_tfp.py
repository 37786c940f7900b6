"""TFP distributions beside SciPy's, on each backend, whether TFP knows the installed jax or not."""

import keras
import numpy as np
import pytest
import scipy.special
import scipy.stats

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, compiled, double_precision, has_tfp, needs_tfp, numpy, on_jax_alone

WEIGHTS = np.linspace(-0.4, 0.4, 6).reshape(3, 2)
STDDEVS = np.linspace(0.02, 0.3, 6).reshape(3, 2)


def dense_flipout(prior=None):
    layer = bnn.layers.DenseFlipout(2, prior=prior, kl_weight=1.0)
    layer.build((None, 3))
    layer.random_weights["kernel"][0].assign(WEIGHTS, STDDEVS)
    return layer


def test_the_posterior_of_a_kernel_has_its_density_and_its_draws():
    posterior = dense_flipout().kernel_posterior()
    expected = scipy.stats.norm(WEIGHTS, STDDEVS)
    np.testing.assert_allclose(numpy(posterior.log_prob(np.float32(0.1))), expected.logpdf(0.1), rtol=1e-4)
    np.testing.assert_allclose(numpy(posterior.quantile(np.float32(0.9))), expected.ppf(0.9), rtol=1e-4)
    np.testing.assert_allclose(numpy(posterior.entropy()), expected.entropy(), rtol=1e-5)
    draws = numpy(posterior.sample(4000, seed=(1, 2)))
    standard_error = STDDEVS / np.sqrt(4000)
    assert (abs(draws.mean(axis=0) - WEIGHTS) < 5 * standard_error).all()


def test_the_prior_of_a_kernel_has_the_density_of_today():
    learned = bnn.priors.ScaleMixture(sigma_1=1.0, sigma_2=0.1, pi=0.2, trainable=True)
    layer = dense_flipout(learned)
    learned.trainable_variables[0].assign(np.log(2.0))
    components = scipy.stats.norm(0, [2.0, 0.1]).logpdf(0.3) + np.log([0.2, 0.8])
    density = numpy(layer.kernel_prior().log_prob(np.full((3, 2), 0.3, "float32")))
    np.testing.assert_allclose(density, np.full((3, 2), scipy.special.logsumexp(components)), rtol=1e-5)


def test_kernel_and_bias_of_a_joint_posterior_are_distributions():
    layer = bnn.layers.DenseVariational(2, kl_weight=1.0)
    layer.build((None, 3))
    matrix = np.concatenate([WEIGHTS, [[0.5, -0.5]]])
    layer.random_weights["weights"][0].assign(matrix, 0.1)
    np.testing.assert_allclose(numpy(layer.weights_posterior().mean()), matrix, rtol=1e-6)
    np.testing.assert_allclose(numpy(layer.kernel_posterior().mean()), WEIGHTS, rtol=1e-6)
    np.testing.assert_allclose(numpy(layer.kernel_prior().stddev()), np.ones((3, 2)))


def test_the_divergence_of_a_posterior_from_a_prior_by_tfp_is_ours():
    layer = dense_flipout(bnn.priors.Normal(0.5))
    layer(np.ones((1, 3), "float32"), training=True)
    of_tfp = layer.kernel_posterior().kl_divergence(layer.kernel_prior())
    assert numpy(of_tfp).sum() == pytest.approx(float(layer.losses[0]), rel=1e-5)


def test_distributions_have_the_precision_of_their_parameters():
    likelihood = bnn.likelihoods.Normal(scale=0.5)
    with double_precision():
        for dtype in ("float32", "float64"):
            outputs = keras.ops.convert_to_tensor(np.full((1, 1), 1e9), dtype)
            mean = keras.ops.convert_to_numpy(likelihood.distribution(outputs).mean())
            assert mean.dtype == dtype
            assert mean.item() == 1e9
        far = likelihood.predictive_distribution(keras.ops.convert_to_tensor([[[1e9]], [[1e9 + 1]]], "float64"))
        assert numpy(far.mean()).item() == 1e9 + 0.5
        assert numpy(far.stddev()).item() == pytest.approx(0.5**0.5)


@on_jax_alone
def test_tensors_without_values_need_the_jax_substrate():
    outputs = np.array([[0.5, -2.0]], "float32")

    def entropy(outputs):
        return bnn.likelihoods.Categorical().distribution(outputs).entropy()

    with needs_tfp():
        p = scipy.special.softmax(outputs.astype("float64"))
        np.testing.assert_allclose(numpy(compiled(entropy)(outputs)), scipy.stats.entropy(p, axis=-1), rtol=1e-5)
    # One who asks for values after such an error gets them.
    assert numpy(entropy(outputs)).shape == (1,)


@pytest.mark.parametrize("which", ["posterior", "prior"])
def test_a_distribution_without_gradients_is_refused_where_it_would_train(which):
    from tensorflow_probability.substrates import numpy as foreign

    def normals(kernel_size, bias_size, dtype):
        zeros = np.zeros(kernel_size + bias_size, "float32")
        return foreign.distributions.Independent(foreign.distributions.Normal(zeros, zeros + 1), 1)

    layer = bnn.layers.DenseVariational(2, **{which: normals}, kl_weight=1.0)
    expected = (
        ValueError,
        r"must be one of tensorflow_probability.* Received: tensorflow_probability.substrates.numpy",
    )
    if not (TENSORFLOW or has_tfp()):
        expected = (ImportError, "pip install tfp-nightly")
    with pytest.raises(expected[0], match=expected[1]):
        layer(np.ones((1, 3), "float32"), training=True)
