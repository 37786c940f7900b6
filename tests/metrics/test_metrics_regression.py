"""Intervals and distributions of real targets: beside loops, closed forms and known optima."""

import numpy as np
import pytest
from scipy import stats

from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import metrics

pytestmark = on_tensorflow_alone  # functions of arrays


def intervals(*shape):
    rng = np.random.default_rng(0)
    lower = rng.normal(size=shape)
    return 1.5 * rng.normal(size=shape), lower, lower + rng.uniform(high=3, size=shape)


def crps_of_pairs(draws, y):
    """Returns the score from its definition, over all pairs of draws."""
    to_target = np.abs(draws - y).mean(axis=0)
    to_each_other = np.abs(draws[:, np.newaxis] - draws).mean(axis=(0, 1))
    return (to_target - to_each_other / 2).mean()


def crps_of_normal(mean, stddev, y):
    """Returns the closed form of Gneiting & Raftery 2007, section 4.2."""
    z = (y - mean) / stddev
    return stddev * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))


# Intervals


@pytest.mark.parametrize("shape", [(40,), (40, 1), (20, 3)])
def test_coverage_and_score_are_those_of_a_loop(shape):
    y, lower, upper = intervals(*shape)
    inside, scores = [], []
    for value, low, high in zip(y.flat, lower.flat, upper.flat, strict=True):
        inside.append(low <= value <= high)
        below, above = (low - value) * (value < low), (value - high) * (value > high)
        scores.append(high - low + 2 / 0.2 * (below + above))
    assert 0 < np.mean(inside) < 1
    assert metrics.coverage(y, lower, upper) == pytest.approx(np.mean(inside), rel=1e-12)
    assert metrics.interval_score(y, lower, upper, level=0.8) == pytest.approx(np.mean(scores), rel=1e-12)


def test_bounds_belong_to_their_interval():
    y = np.array([1.0, 2.0])
    assert metrics.coverage(y, np.array([1.0, 0.0]), np.array([3.0, 2.0])) == 1
    assert metrics.coverage(y, y, y) == 1
    assert metrics.interval_score(y, y, y, level=0.9) == 0


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_the_central_interval_covers_its_level_and_has_the_least_score(level):
    # Draws spaced by quantiles: no chance is left in the means.
    y = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)

    def score(low, high):
        return metrics.interval_score(y, np.full_like(y, low), np.full_like(y, high), level)

    low, high = stats.norm.interval(level)
    assert metrics.coverage(y, np.full_like(y, low), np.full_like(y, high)) == pytest.approx(level, abs=1e-4)
    # Gneiting & Raftery's score at the optimum is 2/a times the density there, twice.
    assert score(low, high) == pytest.approx(4 / (1 - level) * stats.norm.pdf(high), rel=1e-3)
    for shift in (-0.2, 0.2):
        others = score(low + shift, high), score(low, high + shift), score(low + shift, high + shift)
        assert score(low, high) < min(others)


# Continuous ranked probability score


@pytest.mark.parametrize("shape", [(30,), (30, 1), (10, 3)])
@pytest.mark.parametrize("num_draws", [1, 2, 50])
def test_the_score_is_that_of_all_pairs_of_draws(shape, num_draws):
    rng = np.random.default_rng(0)
    draws, y = rng.normal(size=(num_draws, *shape)), 2 * rng.normal(size=shape)
    score = metrics.crps(draws, y)
    assert isinstance(score, float)
    assert score == pytest.approx(crps_of_pairs(draws, y), rel=1e-12)


def test_the_score_of_many_draws_of_a_normal_is_its_closed_form():
    num_draws = 20_000
    mean, stddev, y = np.array([0.0, 3.0, -1.0]), np.array([1.0, 0.1, 5.0]), np.array([0.5, 3.3, -9.0])
    standard = stats.norm.ppf((np.arange(num_draws) + 0.5) / num_draws)
    for index in range(3):
        draws = (mean[index] + stddev[index] * standard)[:, np.newaxis]
        closed = crps_of_normal(mean[index], stddev[index], y[index])
        assert metrics.crps(draws, y[index : index + 1]) == pytest.approx(closed, rel=1e-3)
    scores = crps_of_normal(mean, stddev, y)
    assert metrics.crps(mean + stddev * standard[:, np.newaxis], y) == pytest.approx(scores.mean(), rel=1e-3)


def test_the_score_of_one_draw_is_the_absolute_error():
    assert metrics.crps(np.array([[1.0, -2.0]]), np.array([4.0, -2.0])) == 1.5


def test_the_true_distribution_has_the_least_expected_score():
    quantiles = stats.norm.ppf((np.arange(500) + 0.5) / 500)

    def expected(mean, stddev):
        return metrics.crps(np.tile(mean + stddev * quantiles[:, np.newaxis], (1, 500)), quantiles)

    best = expected(0, 1)
    assert best == pytest.approx(1 / np.sqrt(np.pi), rel=0.01)  # E|y - y'| / 2
    assert best < min(expected(0.2, 1), expected(-0.2, 1), expected(0, 0.8), expected(0, 1.2))


def test_far_from_zero_the_score_is_the_same():
    rng = np.random.default_rng(0)
    draws, y = rng.normal(size=(50, 8)), rng.normal(size=8)
    # A number of 1e6 is known to 1e-10.
    assert metrics.crps(draws + 1e6, y + 1e6) == pytest.approx(metrics.crps(draws, y), rel=1e-8)


def test_single_precision_is_summed_in_double_and_the_draws_stay_as_they_are():
    draws = np.random.default_rng(0).normal(size=(50, 8)).astype("float32")
    before, y = draws.copy(), np.zeros(8, "float32")
    assert metrics.crps(draws, y) == pytest.approx(metrics.crps(draws.astype("float64"), y), rel=1e-12)
    np.testing.assert_array_equal(draws, before)


# Errors


@pytest.mark.parametrize(
    ("changes", "received"),
    [
        ({"lower": np.zeros((4, 1))}, r"\(4,\), \(4, 1\) and \(4,\)"),
        ({"y": np.zeros(3)}, r"\(3,\), \(4,\) and \(4,\)"),
        ({name: np.zeros(0) for name in ("y", "lower", "upper")}, r"\(0,\), \(0,\) and \(0,\)"),
        ({"y": np.array([0, 0, np.nan, 0])}, "nan"),
        ({"lower": np.array([0, 0, 0, np.nan])}, "nan and 1.0"),
        ({"upper": np.array([1, -2.0, 1, 1])}, "0.0 and -2.0"),
    ],
)
def test_what_are_no_intervals_gets_one_clear_error(changes, received):
    arguments = {"y": np.zeros(4), "lower": np.zeros(4), "upper": np.ones(4), **changes}
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        metrics.coverage(**arguments)
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        metrics.interval_score(**arguments, level=0.9)


@pytest.mark.parametrize("level", [0, 1, 95, np.nan])
def test_a_level_that_is_no_probability_gets_one_clear_error(level):
    with pytest.raises(ValueError, match=f"Received: level={level}$"):
        metrics.interval_score(np.zeros(4), np.zeros(4), np.ones(4), level)


@pytest.mark.parametrize(
    ("draws", "y", "received"),
    [
        (np.zeros((5, 4, 1)), np.zeros(4), r"\(5, 4, 1\) and \(4,\)"),
        (np.zeros((5, 4)), np.zeros((4, 1)), r"\(5, 4\) and \(4, 1\)"),
        (np.zeros(5), np.float64(0), r"\(5,\) and \(\)"),
        (np.zeros((0, 4)), np.zeros(4), r"\(0, 4\) and \(4,\)"),
        (np.zeros((5, 0)), np.zeros(0), r"\(5, 0\) and \(0,\)"),
        (np.full((5, 4), np.inf), np.zeros(4), "inf"),
        (np.zeros((5, 4)), np.array([0, 0, 0, np.nan]), "nan"),
    ],
)
def test_draws_that_do_not_fit_get_one_clear_error(draws, y, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        metrics.crps(draws, y)
