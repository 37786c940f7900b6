"""Predicted against observed targets: means, intervals, and the share of targets inside."""

import numpy as np
import pytest
import scipy.stats
from matplotlib.colors import to_hex

from tests.support.figures import no_warning_and_no_trace, of_a_target, of_classes, rendered, rng, texts, titles
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import Predictive, likelihoods, plots

pytestmark = on_tensorflow_alone

_no_warning_and_no_trace = pytest.fixture(autouse=True)(no_warning_and_no_trace)


def drawn(figure):
    """Returns points [n, 2] and intervals [n, 2], and whether each target is drawn as one inside."""
    intervals, points = [], []
    (axes,) = figure.axes
    for collection in axes.collections:
        if hasattr(collection, "get_segments"):
            intervals.append(np.reshape(collection.get_segments(), (-1, 2, 2)))
        else:
            points.append(collection.get_offsets())
    inside = np.repeat([True, False], [len(points[0]), len(points[1])])
    return np.concatenate(points), np.concatenate(intervals), inside


def test_points_are_predictive_means_over_observed_targets():
    y, predictive = rng.normal(size=(30, 1)), of_a_target()
    points, _, _ = drawn(rendered(plots.observed(predictive, y)))
    expected = np.stack([y[:, 0], predictive.mean()[:, 0]], axis=1)
    np.testing.assert_allclose(points[np.argsort(points[:, 0])], expected[np.argsort(y[:, 0])], rtol=1e-6)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_have_equal_tails_of_the_mixture(level):
    y, predictive = rng.normal(size=30), of_a_target(scale=0.5)
    _, intervals, _ = drawn(rendered(plots.observed(predictive, y, level)))
    order, at = np.argsort(y), np.argsort(intervals[:, 0, 0])
    np.testing.assert_array_equal(intervals[at][:, :, 0], np.stack([y[order]] * 2, axis=1))
    loc = predictive.outputs[:, order, 0]
    for end, tail in enumerate([(1 - level) / 2, (1 + level) / 2]):
        below = scipy.stats.norm.cdf(intervals[at][:, end, 1], loc, 0.5).mean(axis=0)
        np.testing.assert_allclose(below, tail, rtol=1e-5)


def test_the_title_has_the_share_inside_and_those_outside_are_red():
    y = np.array([-3.0, -1.9, 0.0, 1.9, 2.1])
    figure = rendered(plots.observed(Predictive(np.zeros((3, 5, 1)), likelihoods.Normal(scale=1.0)), y))
    assert titles(figure) == ["60 % of 5 targets in their 95 % interval"]
    points, intervals, inside = drawn(figure)
    np.testing.assert_array_equal(points[inside, 0], [-1.9, 0.0, 1.9])
    np.testing.assert_array_equal(points[~inside, 0], [-3.0, 2.1])
    np.testing.assert_allclose(intervals[:, :, 1], [[-1.959964, 1.959964]] * 5, rtol=1e-6)
    entries = ["Predictive mean and interval", "Target outside the interval", "Predicted = observed"]
    assert texts(figure.legends[0]) == entries
    of_points = [c for c in figure.axes[0].collections if not hasattr(c, "get_segments")]
    colors = [to_hex(collection.get_facecolor()[0]) for collection in of_points]
    assert len(set(colors)) == 2


def test_the_diagonal_is_where_predicted_is_observed():
    (axes,) = plots.observed(of_a_target(), rng.normal(size=30)).axes
    assert (axes.lines[0].get_xy1(), axes.lines[0].get_slope()) == ((0, 0), 1)


@pytest.mark.parametrize("likelihood", [likelihoods.Normal(), likelihoods.Laplace(), likelihoods.StudentT()])
def test_networks_that_predict_their_scale_can_be_drawn(likelihood):
    figure = rendered(plots.observed(Predictive(rng.normal(size=(5, 30, 2)), likelihood), np.zeros(30)))
    assert len(drawn(figure)[0]) == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": np.zeros((30, 2))}, r"`y` must be \[30\] or \[30, 1\]. Received: shape \(30, 2\)"),
        ({"y": np.full(30, np.nan)}, "Received: nan"),
        ({"level": 0}, "`level` must be between 0 and 1. Received: level=0"),
        ({"predictive": of_classes(inputs=30)}, "one real target. Received: Predictive.*Categorical"),
        ({"predictive": Predictive(np.zeros((5, 30, 1)), likelihoods.Bernoulli())}, "Received: likelihood=Bernoulli"),
    ],
)
def test_observed_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.observed(**{"predictive": of_a_target(), "y": np.zeros(30), **arguments})
