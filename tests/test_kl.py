"""KL divergences: closed forms beside TFP's, Monte Carlo beside closed forms."""

import math

import keras
import numpy as np
import pytest
import tensorflow_probability as tfp

from tfp_bnn import kl, posteriors, priors
from tfp_bnn._numerics.noise import counted

tfd = tfp.distributions
STANDARD_ERRORS = 5
MIXTURE = (1.0, 0.05, 0.3)
REFERENCE_MIXTURE = tfd.MixtureSameFamily(
    tfd.Categorical(probs=np.array([0.3, 0.7])), tfd.Normal(np.zeros(2), np.array([1.0, 0.05]))
)


def normal_weights(mean, stddev):
    return posteriors.NormalWeights(*(keras.ops.convert_to_tensor(a, "float32") for a in (mean, stddev)))


def random_weights(shape, spread=(0.05, 2.0)):
    """Returns a Gaussian posterior of random means and standard deviations, and these two in float64."""
    rng = np.random.default_rng(0)
    mean = rng.normal(size=shape).astype("float32").astype("float64")
    stddev = np.exp(rng.uniform(*np.log(spread), size=shape)).astype("float32").astype("float64")
    return normal_weights(mean, stddev), mean, stddev


def monte_carlo_draws(posterior, prior, draws=2000):
    """Returns independent Monte Carlo estimates of the divergence of a posterior from a prior."""

    def estimate(seed):
        return kl.monte_carlo(posterior.sample(counted(seed)), prior)

    def estimates(seeds):
        return keras.ops.map(estimate, seeds)

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        estimates = tf.function(estimates, autograph=False)
    seeds = np.stack([np.full(draws, 5), np.arange(draws)], axis=1).astype("int32")
    return keras.ops.convert_to_numpy(estimates(keras.ops.convert_to_tensor(seeds))).astype("float64")


@pytest.mark.parametrize("shape", [(), (7,), (20, 30), (3, 3, 2, 5)])
@pytest.mark.parametrize(("scale", "loc"), [(1.0, 0.0), (0.1, 0.5), (30.0, -2.0)])
def test_the_closed_form_equals_tfp(shape, scale, loc):
    posterior, mean, stddev = random_weights(shape)
    divergence = kl.closed_form(posterior, priors.Normal(scale, loc))
    assert tuple(divergence.shape) == ()
    expected = tfd.Normal(mean, stddev).kl_divergence(tfd.Normal(np.float64(loc), np.float64(scale))).numpy().sum()
    assert float(divergence) == pytest.approx(expected, rel=1e-5)


def test_the_closed_form_equals_tfp_for_very_small_and_large_standard_deviations():
    posterior, mean, stddev = random_weights((50, 40), spread=(1e-6, 1e3))
    expected = tfd.Normal(mean, stddev).kl_divergence(tfd.Normal(np.float64(0), np.float64(1))).numpy().sum()
    assert float(kl.closed_form(posterior, priors.Normal())) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("scale", "loc"), [(1.0, 0.0), (0.02, 0.0), (3.0, 1.0)])
def test_the_closed_form_is_zero_if_posterior_and_prior_are_equal(scale, loc):
    shape = (400, 400)
    posterior = normal_weights(np.full(shape, loc), np.full(shape, scale))
    divergence = float(kl.closed_form(posterior, priors.Normal(scale, loc)))
    # The scale, rounded to float32, is off by up to 6e-8 of itself: second order in the sum. What is left is the
    # rounding of sums whose terms, up to 4 nats a weight, cancel.
    assert abs(divergence) / math.prod(shape) < 4e-6


def test_divergences_are_sums_over_the_weights():
    prior = priors.Normal(0.5, 0.1)
    one = float(kl.closed_form(normal_weights([0.3], [0.2]), prior))
    assert one > 0
    for shape in [(10,), (6, 5), (2, 3, 4)]:
        many = kl.closed_form(normal_weights(np.full(shape, 0.3), np.full(shape, 0.2)), prior)
        assert float(many) == pytest.approx(math.prod(shape) * one, rel=1e-5)


def test_monte_carlo_is_log_q_less_log_p_summed_over_the_weights():
    posterior, mean, stddev = random_weights((6, 5))
    sample = posterior.sample(counted(keras.ops.convert_to_tensor([1, 2], "int32")))
    value = keras.ops.convert_to_numpy(sample.value).astype("float64")
    expected = (tfd.Normal(mean, stddev).log_prob(value) - REFERENCE_MIXTURE.log_prob(value)).numpy().sum()
    estimate = kl.monte_carlo(sample, priors.ScaleMixture(*MIXTURE))
    assert tuple(estimate.shape) == ()
    assert float(estimate) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(3,), (4, 5)])
def test_monte_carlo_is_the_closed_form_on_average(shape):
    posterior, *_ = random_weights(shape)
    prior = priors.Normal(0.7, 0.2)
    draws = monte_carlo_draws(posterior, prior)
    standard_error = draws.std() / math.sqrt(len(draws))
    assert standard_error > 0
    assert abs(draws.mean() - float(kl.closed_form(posterior, prior))) < STANDARD_ERRORS * standard_error


def test_monte_carlo_from_a_mixture_is_the_integral_on_average():
    mean, stddev = np.array([0.02, 0.5, -1.0]), np.array([0.01, 0.3, 0.05])
    grid = np.linspace(-12, 12, 20_001)[:, np.newaxis] * stddev + mean
    posterior = tfd.Normal(mean, stddev)
    integrand = posterior.prob(grid) * (posterior.log_prob(grid) - REFERENCE_MIXTURE.log_prob(grid))
    expected = np.trapezoid(integrand.numpy(), grid, axis=0).sum()
    draws = monte_carlo_draws(normal_weights(mean, stddev), priors.ScaleMixture(*MIXTURE))
    assert abs(draws.mean() - expected) < STANDARD_ERRORS * draws.std() / math.sqrt(len(draws))


def test_monte_carlo_is_zero_at_every_draw_if_posterior_and_prior_are_equal():
    draws = monte_carlo_draws(normal_weights(np.full((5, 4), 0.1), np.full((5, 4), 0.5)), priors.Normal(0.5, 0.1), 100)
    # Each is the difference of two sums of some 20 nats.
    np.testing.assert_allclose(draws, np.zeros(100), atol=2e-5)


def earlier_weights(mean, stddev):
    prior = priors.EarlierPosterior({"kernel": mean.shape}).of("kernel", mean.shape)
    prior.assign(mean, stddev)
    return prior


@pytest.mark.parametrize("shape", [(), (7,), (3, 3, 2, 5)])
def test_the_closed_form_from_an_earlier_posterior_equals_tfp(shape):
    posterior, mean, stddev = random_weights(shape)
    rng = np.random.default_rng(1)
    loc, scale = rng.normal(size=shape), np.exp(rng.uniform(-4, 1, size=shape))
    prior = earlier_weights(np.asarray(loc), scale)
    expected = tfd.Normal(mean, stddev).kl_divergence(tfd.Normal(loc, scale)).numpy().sum()
    assert float(kl.closed_form(posterior, prior)) == pytest.approx(expected, rel=1e-5)


def test_the_divergence_of_an_earlier_posterior_from_itself_is_zero():
    posterior, mean, stddev = random_weights((400, 400))
    assert float(kl.closed_form(posterior, earlier_weights(mean, stddev))) == 0
    later = normal_weights(mean, stddev * 1.001)
    # 160,000 times a millionth; the sums of logarithms are a million times that.
    assert float(kl.closed_form(later, earlier_weights(mean, stddev))) == pytest.approx(0.16, rel=0.05)


def test_the_divergence_from_an_earlier_posterior_is_that_of_the_weights_that_are_kept():
    kept = np.array([True, False, True])
    mean, stddev = np.array([0.3, 0.0, -0.2]), np.array([0.5, 0.0, 0.1])
    posterior = normal_weights(mean, stddev)
    posterior = posteriors.NormalWeights(posterior.mean, posterior.stddev, keras.ops.convert_to_tensor(kept))
    # What a pruned weight was once, or that it is pruned.
    for loc, scale in [(5.0, 0.2), (0.0, 0.0)]:
        prior = earlier_weights(np.array([0.1, loc, 0.1]), np.array([0.3, scale, 0.3]))
        reference = tfd.Normal(np.float64(0.1), np.float64(0.3))
        expected = tfd.Normal(mean[kept], stddev[kept]).kl_divergence(reference).numpy().sum()
        assert float(kl.closed_form(posterior, prior)) == pytest.approx(expected, rel=1e-5)


def test_monte_carlo_from_an_earlier_posterior_is_the_closed_form_on_average():
    posterior, mean, stddev = random_weights((4, 5))
    prior = earlier_weights(mean + 0.1, stddev * 1.3)
    draws = monte_carlo_draws(posterior, prior)
    standard_error = draws.std() / math.sqrt(len(draws))
    assert abs(draws.mean() - float(kl.closed_form(posterior, prior))) < STANDARD_ERRORS * standard_error


def test_only_pairs_with_a_closed_form_have_one():
    posterior = normal_weights([0.0], [1.0])
    assert kl.has_closed_form(posterior, priors.Normal())
    assert not kl.has_closed_form(posterior, priors.ScaleMixture())
    with pytest.raises(ValueError, match="Received: posterior=NormalWeights, prior=ScaleMixture"):
        kl.closed_form(posterior, priors.ScaleMixture())


def test_the_closed_form_of_a_class_is_that_of_its_subclasses_if_these_are_the_same_distribution():
    class Renamed(priors.Normal):
        pass

    class Other(priors.Normal):
        def log_prob(self, weights):
            return -abs(weights)

    posterior = normal_weights([0.5], [2.0])
    assert float(kl.closed_form(posterior, Renamed(3.0))) == float(kl.closed_form(posterior, priors.Normal(3.0)))
    assert not kl.has_closed_form(posterior, Other())


def test_a_closed_form_can_be_registered(monkeypatch):
    monkeypatch.setattr(kl, "_CLOSED_FORMS", dict(kl._CLOSED_FORMS))

    @kl.register_closed_form(posteriors.NormalWeights, priors.ScaleMixture)
    def seven(posterior, prior):
        return 7.0

    assert kl.closed_form(normal_weights([0.0], [1.0]), priors.ScaleMixture()) == 7.0
    assert seven(None, None) == 7.0
