"""Quantiles of mixtures over draws: SciPy's distributions, its root finding and summed probabilities are the oracle."""

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats

from tests.support.on_backends import double_precision
from tfp_bnn import Predictive, likelihoods, metrics

# Roots and sums in NumPy, of parameters that test_likelihood_families.py sees on both backends.
pytestmark = pytest.mark.jax_if_thorough

PROBABILITIES = (0.001, 0.025, 0.5, 0.9)
LEAST = 1e-3  # The default of `min_scale` and `min_concentration`.
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
    scales = scales if scale else positive(scales)
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


# Mixtures of normals


def positive(rho):
    return LEAST + (1 - LEAST) * np.exp(np.arcsinh(rho / 2))


def rho_of(value):
    return 2 * np.sinh(np.log((value - LEAST) / (1 - LEAST)))


def double_quantiles(likelihood, outputs, probabilities):
    """Returns the quantiles of outputs in double precision: float32 would round scales and concentrations."""
    with double_precision():
        return Predictive(np.asarray(outputs, "float64"), likelihood).quantiles(probabilities)


def components_of(outputs, count):
    """Returns weights that add up to 1, locs and scales, each [draws, components, n, d], as NormalMixture documents."""
    blocks = np.stack(np.split(np.asarray(outputs, "float64"), 3 * count, axis=-1), axis=1)
    logits, locs, rhos = np.split(blocks, 3, axis=1)
    return scipy.special.softmax(logits, axis=1) / len(outputs), locs, positive(rhos)


def mean_normal_cdf(y, components):
    weights, locs, scales = components
    return (weights * scipy.stats.norm.cdf(y, locs, scales)).sum(axis=(0, 1))


@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("draws", [1, 7])
def test_quantiles_of_normal_mixtures_are_where_the_mean_distribution_function_has_the_probability(draws, components):
    given = outputs(draws, size=6 * components)
    found = double_quantiles(likelihoods.NormalMixture(components), given, PROBABILITIES)
    assert found.shape == (4, 5, 2)
    for y, probability in zip(found, PROBABILITIES, strict=True):
        np.testing.assert_allclose(mean_normal_cdf(y, components_of(given, components)), probability, atol=1e-9)


def test_quantiles_of_a_mixture_of_one_normal_are_the_normals():
    given = outputs(draws=1, size=3)
    found = double_quantiles(likelihoods.NormalMixture(1), given, PROBABILITIES)
    _, locs, scales = components_of(given, 1)
    expected = scipy.stats.norm.ppf(np.reshape(PROBABILITIES, (-1, 1, 1)), locs[0, 0], scales[0, 0])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("logit", [40.0, 300.0])
def test_a_far_component_without_weight_does_not_move_the_quantile(logit):
    # The mean distribution function at the near end of the bracket is the probability, but for rounding either way.
    probabilities = np.linspace(0.05, 0.95, 19)
    for far in (-1e6, 1e6):
        given = np.tile([logit, -logit, 0.0, far, rho_of(1.0), rho_of(1.0)], (3, 1, 1))
        found = double_quantiles(likelihoods.NormalMixture(2), given, probabilities)
        np.testing.assert_allclose(found.ravel(), scipy.stats.norm.ppf(probabilities), rtol=1e-9, atol=1e-9)


def test_a_gap_between_components_of_far_draws_is_no_trouble():
    locs = np.reshape([[-1e6, -1e3], [1e3, 1e6]], (2, 1, 2))
    others = np.zeros((2, 1, 2))
    given = np.concatenate([others, locs, np.full_like(locs, rho_of(2e-3))], axis=-1)
    found = double_quantiles(likelihoods.NormalMixture(2), given, (0.125, 0.375, 0.625, 0.875))
    np.testing.assert_allclose(found.ravel(), [-1e6, -1e3, 1e3, 1e6], rtol=1e-8)


@pytest.mark.parametrize("parameter", range(6))
def test_a_parameter_of_a_normal_mixture_that_is_no_number_leaves_the_other_inputs_alone(parameter):
    given = outputs(size=6)
    expected = double_quantiles(likelihoods.NormalMixture(2), given, (0.75,))
    given[1, 2, parameter] = np.nan
    with np.errstate(invalid="ignore"):
        found = double_quantiles(likelihoods.NormalMixture(2), given, (0.75,))
    expected[:, 2] = np.nan
    np.testing.assert_array_equal(found, expected)


# Counts


def poissons(outputs):
    return scipy.stats.poisson(np.exp(np.asarray(outputs, "float64")))


def negative_binomials(outputs):
    log_mean, rho = np.split(np.asarray(outputs, "float64"), 2, axis=-1)
    return scipy.stats.nbinom(positive(rho), positive(rho) / (positive(rho) + np.exp(log_mean)))


COUNTS = {
    "Poisson": (likelihoods.Poisson(), poissons, 2),
    "NegativeBinomial": (likelihoods.NegativeBinomial(), negative_binomials, 4),
}
of_counts = pytest.mark.parametrize(("likelihood", "of_draws", "size"), COUNTS.values(), ids=COUNTS)
MEANS = np.array([1e-6, 1e-3, 0.1, 1.0, 3.7, 50.0, 1e3, 1e6])
CONCENTRATIONS = np.array([0.1, 1.0, 30.0, 1e4])


def summed_probabilities(draws, counts):
    """Returns P(Y <= 0), P(Y <= 1), ... of the equal mixture of draws, [counts, n, d], one by one from its terms."""
    return np.cumsum(draws.pmf(np.arange(counts).reshape(-1, 1, 1, 1)).mean(axis=1), axis=0)


def grid_of_counts(name):
    """Returns one draw of outputs for counts of many means, and of all concentrations."""
    if name == "Poisson":
        return np.log(MEANS).reshape(1, -1, 1)
    means, concentrations = map(np.ravel, np.meshgrid(MEANS, CONCENTRATIONS))
    return np.stack([np.log(means), rho_of(concentrations)], axis=-1)[np.newaxis]


@pytest.mark.parametrize("name", COUNTS)
def test_quantiles_of_counts_of_one_draw_are_those_of_the_likelihood(name):
    likelihood, of_draws, _ = COUNTS[name]
    given, probabilities = grid_of_counts(name), (1e-6, 0.001, 0.3, 0.5, 0.975, 0.999)
    found = double_quantiles(likelihood, given, probabilities)
    assert found.dtype == "float64"
    np.testing.assert_array_equal(found, of_draws(given).ppf(np.reshape(probabilities, (-1, 1, 1, 1)))[:, 0])


@of_counts
def test_quantiles_of_counts_are_the_least_that_the_summed_probabilities_allow(likelihood, of_draws, size):
    given = outputs(size=size)
    found = double_quantiles(likelihood, given, [*PROBABILITIES, 0.99])
    summed = summed_probabilities(of_draws(given), counts=10_000)
    assert summed[-1].min() > 0.99
    expected = [(summed < probability).sum(axis=0) for probability in (*PROBABILITIES, 0.99)]
    np.testing.assert_array_equal(found, expected)


@of_counts
@pytest.mark.parametrize(("small", "large"), [(1e-6, 1e6), (0.5, 1e6), (1e-6, 2.0)])
def test_quantiles_of_counts_of_draws_that_lie_far_apart_are_of_one_or_of_the_other(
    likelihood, of_draws, size, small, large
):
    given = np.log([[[small]], [[large]]])
    if size == 4:
        given = np.concatenate([given, np.full_like(given, rho_of(50.0))], axis=-1)
    probabilities = np.array([0.01, 0.2, 0.45, 0.6, 0.75, 0.999])
    found = double_quantiles(likelihood, given, probabilities).ravel()
    draws = of_draws(given)
    assert (draws.cdf(found).mean(axis=0) >= probabilities).all()
    assert (draws.cdf(found - 1).mean(axis=0) < probabilities).all()


@pytest.mark.parametrize("rate", [1e9, 1e15, 1e18, 1e30])
def test_bisection_ends_where_floats_have_gaps(rate):
    found = double_quantiles(likelihoods.Poisson(), np.log([[[rate]]]), (0.1, 0.5, 0.999))
    expected = rate + np.sqrt(rate) * scipy.special.ndtri([0.1, 0.5, 0.999])
    np.testing.assert_allclose(found.ravel(), expected, rtol=1e-8)


@of_counts
def test_a_mean_without_end_and_parameters_that_are_no_numbers_leave_the_other_inputs_alone(likelihood, of_draws, size):
    given = np.zeros((3, 5, size // 2))
    given[0, 1, 0], given[1, 2, 0], given[1, 3, -1], given[:, 4, 0] = 800.0, np.nan, np.nan, -800.0
    found = double_quantiles(likelihood, given, (0.75,))[0, :, 0]
    expected = of_draws(given[:1, :1]).ppf(0.75).item()
    np.testing.assert_array_equal(found, [expected, np.inf, np.nan, np.nan, 0.0])


# Samples


def mixture_samples(outputs, count):
    """Returns samples of an equal mixture of mixtures of two normals, [samples, n, d]."""
    weights, locs, scales = (values.reshape(-1, *values.shape[2:]) for values in components_of(outputs, 2))
    rng = np.random.default_rng(3)
    above = rng.uniform(size=(count, 1, *weights.shape[1:])) > np.cumsum(weights, axis=0)
    chosen = np.minimum(above.sum(axis=1), len(weights) - 1)
    locs, scales = (np.take_along_axis(values, chosen, axis=0) for values in (locs, scales))
    return rng.normal(locs, scales)


def count_samples(draws, shape, count):
    """Returns samples of an equal mixture of SciPy distributions of counts, [samples, n, d]."""
    rng = np.random.default_rng(3)
    each = draws.rvs(size=(count, *shape), random_state=rng)
    return np.take_along_axis(each, rng.integers(shape[0], size=(count, 1, *shape[1:])), axis=1)[:, 0]


def check_share(share, probability, samples):
    """A share of independent samples has a standard error of `sqrt(p (1 - p) / samples)`; five of them are allowed."""
    assert abs(share - probability) < 5 * np.sqrt(probability * (1 - probability) / samples)


def test_intervals_of_normal_mixtures_cover_their_share_of_samples():
    given, samples = outputs(size=12), 20_000
    lower, upper = double_quantiles(likelihoods.NormalMixture(2), given, (0.05, 0.95))
    y = mixture_samples(given, samples)
    for index in np.ndindex(lower.shape):
        bounds = (np.full(samples, bound[index]) for bound in (lower, upper))
        check_share(metrics.coverage(y[:, *index], *bounds), 0.9, samples)


@of_counts
def test_intervals_of_counts_cover_their_share_of_samples(likelihood, of_draws, size):
    given, samples = outputs(size=size) / 2 + 1, 20_000
    lower, upper = double_quantiles(likelihood, given, (0.05, 0.95))
    draws = of_draws(given)
    y = count_samples(draws, (7, 5, 2), samples)
    covered = (draws.cdf(upper) - draws.cdf(lower - 1)).mean(axis=0)
    assert (covered >= 0.9).all()  # More than 0.9, as the ends are counts.
    for index in np.ndindex(lower.shape):
        bounds = (np.full(samples, bound[index]) for bound in (lower, upper))
        check_share(metrics.coverage(y[:, *index], *bounds), covered[index], samples)


# Arguments


@pytest.mark.parametrize("probability", [0, 1, -0.1, np.nan])
def test_probabilities_lie_between_0_and_1(probability):
    with pytest.raises(ValueError, match=rf"between 0 and 1. Received: probabilities=\(0.5, {probability}\)"):
        Predictive(outputs(), likelihoods.Normal()).quantiles((0.5, probability))


@pytest.mark.parametrize("likelihood", [likelihoods.Normal(), likelihoods.NormalMixture(2), likelihoods.Poisson()])
def test_probabilities_may_be_a_tuple_a_list_or_an_array(likelihood):
    predictive = Predictive(outputs(size=6), likelihood)
    expected = predictive.quantiles(PROBABILITIES)
    for probabilities in (list(PROBABILITIES), np.array(PROBABILITIES)):
        np.testing.assert_array_equal(predictive.quantiles(probabilities), expected)


@pytest.mark.parametrize("likelihood", [likelihoods.Categorical(), likelihoods.Bernoulli()])
def test_other_likelihoods_get_one_clear_error(likelihood):
    message = f"`quantile` is not defined by this likelihood. Received: likelihood={type(likelihood).__name__}"
    with pytest.raises(ValueError, match=message):
        Predictive(outputs(), likelihood).quantiles((0.5,))
