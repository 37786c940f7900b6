"""Reliability diagrams: points, bounds and counts are those of the table."""

import numpy as np
import pytest
import scipy.stats
from matplotlib.colors import to_hex

from tests.support.figures import no_warning_and_no_trace, of_a_target, of_classes, rendered, rng, texts
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import Predictive, likelihoods, metrics, plots

pytestmark = on_tensorflow_alone

_no_warning_and_no_trace = pytest.fixture(autouse=True)(no_warning_and_no_trace)

LABELS = rng.integers(0, 5, 200)


def networks():
    return {name: of_classes(inputs=200, scale=scale) for name, scale in (("sure", 5.0), ("less sure", 2.0))}


def test_points_are_confidence_and_accuracy_of_the_bins_and_bars_their_bounds():
    named = networks()
    accuracy, _ = rendered(plots.reliability(named, LABELS, num_bins=10, level=0.8)).axes
    for drawn, predictive in zip(accuracy.containers, named.values(), strict=True):
        table = metrics.reliability(predictive.mean(), LABELS, num_bins=10, level=0.8)
        points, _, (bars,) = drawn.lines
        np.testing.assert_allclose(points.get_xydata(), table[["confidence", "accuracy"]])
        bounds = np.array(bars.get_segments())[:, :, 1]
        np.testing.assert_allclose(bounds, table[["accuracy_lower", "accuracy_upper"]], atol=1e-12)


def test_one_bin_by_hand():
    predictive = Predictive(np.log([[[0.8, 0.2]] * 10]), likelihoods.Categorical())
    figure = rendered(plots.reliability({"network": predictive}, [0] * 6 + [1] * 4, num_bins=5))
    points, _, (bars,) = figure.axes[0].containers[0].lines
    np.testing.assert_allclose(points.get_xydata(), [[0.8, 0.6]], rtol=1e-6)
    bounds = scipy.stats.beta.ppf([0.025, 0.975], [6, 7], [5, 4])
    np.testing.assert_allclose(np.array(bars.get_segments())[0, :, 1], bounds)
    assert texts(figure.legends[0]) == ["Accuracy = confidence", "network (ECE 0.200)"]


def test_below_is_the_number_of_inputs_in_each_bin():
    named = networks()
    accuracy, inputs = rendered(plots.reliability(named, LABELS, num_bins=10)).axes
    for steps, predictive in zip(inputs.patches, named.values(), strict=True):
        counts, edges, _ = steps.get_data()
        np.testing.assert_array_equal(counts, np.histogram(predictive.mean().max(axis=-1), edges)[0])
        np.testing.assert_allclose(edges, np.linspace(0, 1, 11))
    assert inputs.get_yscale() == "log"
    assert inputs.get_xlim() == accuracy.get_xlim()


def test_a_network_has_one_colour_in_both_panels():
    accuracy, inputs = rendered(plots.reliability(networks(), LABELS)).axes
    colors = [to_hex(drawn.lines[0].get_color()) for drawn in accuracy.containers]
    assert colors == [to_hex(steps.get_edgecolor()) for steps in inputs.patches]
    assert len(set(colors)) == 2


def test_the_diagonal_goes_through_the_panel_from_least_to_greatest_confidence():
    accuracy, _ = plots.reliability(networks(), LABELS).axes
    np.testing.assert_array_equal(accuracy.lines[0].get_xydata(), [[0, 0], [1, 1]])
    left, right = accuracy.get_xlim()
    assert 0.15 < left < 0.2
    assert 1 < right < 1.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"named": {}}, "`named` must have at least one predictive distribution. Received: none"),
        (
            {"named": {"a": of_a_target()}},
            r"`named\['a'\]` must be a Predictive of classes.* Received: Predictive",
        ),
        ({"named": {"a": of_classes(inputs=0)}}, r"`named\['a'\]` must be of at least one input. Received"),
        ({"labels": [0, 1]}, r"`labels` must be \[200\] or \[200, 1\]. Received: shape \(2,\)"),
        ({"labels": [5] * 200}, "Labels must be integers from 0 to 4. Received: 5"),
        ({"num_bins": 0}, "`num_bins` must be a positive integer. Received: num_bins=0"),
        ({"level": 1.0}, "`level` must be between 0 and 1. Received: level=1.0"),
    ],
)
def test_reliability_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.reliability(**{"named": networks(), "labels": LABELS, **arguments})
