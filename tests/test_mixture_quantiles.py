"""Quantiles of mixtures over draws: SciPy's distributions and its root finding are the oracle."""

import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from tfp_bnn import Predictive, likelihoods

PROBABILITIES = (0.001, 0.025, 0.5, 0.9)
FAMILIES = [
    (likelihoods.Normal, scipy.stats.norm),
    (likelihoods.Laplace, scipy.stats.laplace),
    (likelihoods.StudentT, lambda loc, scale: scipy.stats.t(4.0, loc, scale)),
]
of_each_family = pytest.mark.parametrize(("family", "noise"), FAMILIES, ids=["Normal", "Laplace", "StudentT"])


def outputs(draws=7, size=2):
    return np.random.default_rng(0).normal(scale=2, size=(draws, 5, size)).astype("float32")


def root(draws, probability):
    """Returns the quantile of an equal mixture of SciPy distributions."""
    return scipy.optimize.brentq(lambda y: draws.cdf(y).mean() - probability, -100, 100, xtol=1e-12)


@of_each_family
@pytest.mark.parametrize("scale", [0.5, None])
def test_quantiles_are_where_the_mean_distribution_function_has_the_probability(family, noise, scale):
    given = outputs(size=4)
    loc, scales = (given, np.full_like(given, scale)) if scale else np.split(given.astype("float64"), 2, axis=-1)
    scales = scales if scale else np.logaddexp(0, scales)
    found = Predictive(given, family(scale=scale)).quantiles(PROBABILITIES)
    assert found.shape == (4, *loc.shape[1:])
    for index in np.ndindex(loc.shape[1:]):
        draws = noise(loc=loc[:, *index].astype("float64"), scale=scales[:, *index])
        np.testing.assert_allclose(found[:, *index], [root(draws, p) for p in PROBABILITIES], rtol=1e-5, atol=1e-5)


@of_each_family
def test_quantiles_of_one_draw_are_those_of_the_likelihood(family, noise):
    given = outputs(draws=1)
    found = Predictive(given, family(scale=0.5)).quantiles(PROBABILITIES)
    expected = np.stack([noise(loc=given[0].astype("float64"), scale=0.5).ppf(p) for p in PROBABILITIES])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_gap_between_two_narrow_draws_is_no_trouble():
    predictive = Predictive(np.array([[[-1e3]], [[1e3]]]), likelihoods.Normal(scale=1e-3))
    np.testing.assert_allclose(predictive.quantiles((0.49, 0.51)).ravel(), [-1e3, 1e3], atol=0.01)


@pytest.mark.parametrize("probability", [0, 1, -0.1, np.nan])
def test_probabilities_lie_between_0_and_1(probability):
    with pytest.raises(ValueError, match=rf"between 0 and 1. Received: probabilities=\(0.5, {probability}\)"):
        Predictive(outputs(), likelihoods.Normal()).quantiles((0.5, probability))


@pytest.mark.parametrize("likelihood", [likelihoods.Categorical(), likelihoods.NormalMixture(), likelihoods.Poisson()])
def test_other_likelihoods_get_one_clear_error(likelihood):
    with pytest.raises(ValueError, match=f"Received: likelihood={type(likelihood).__name__}"):
        Predictive(outputs(), likelihood).quantiles((0.5,))
