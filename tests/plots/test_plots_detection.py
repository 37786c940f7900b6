"""Known against unknown inputs: histograms of entropy and receiver operating characteristics."""

import math

import numpy as np
import pytest

from tests.support.figures import no_warning_and_no_trace, of_a_target, of_classes, rendered, rng, texts, titles
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import Predictive, likelihoods, plots

pytestmark = on_tensorflow_alone

_no_warning_and_no_trace = pytest.fixture(autouse=True)(no_warning_and_no_trace)


# entropy_histograms


def shares_of(steps):
    x, shares = steps.get_data()
    np.testing.assert_array_equal(shares[-1], shares[-2])  # The last step's end.
    return x, shares[:-1]


def test_histograms_are_the_shares_of_inputs_by_entropy():
    known = of_classes(inputs=300, scale=8.0)
    unknown = {"noise": of_classes(inputs=1500, scale=0.5), "other": of_classes(inputs=40)}
    figure = rendered(plots.entropy_histograms(known, unknown))
    (axes,) = figure.axes
    for steps, predictive in zip(axes.lines, unknown.values(), strict=True):
        edges, shares = shares_of(steps)
        assert (edges[0], edges[-1]) == (0, pytest.approx(math.log(5)))
        np.testing.assert_allclose(shares, np.histogram(predictive.entropy(), edges)[0] / len(predictive))
    (filled,) = axes.collections
    shares = np.histogram(known.entropy(), edges)[0] / 300
    np.testing.assert_allclose(np.unique(filled.get_paths()[0].vertices[:, 1]), np.unique([*shares, 0]), atol=1e-12)
    assert texts(figure.legends[0]) == ["known (300)", "noise (1,500)", "other (40)"]


@pytest.mark.parametrize("classes", [2, 3, 7, 10, 100])  # Of some, rounding makes the entropy more than the logarithm.
def test_the_surest_and_the_least_sure_inputs_are_in_the_first_and_in_the_last_bin(classes):
    logits = np.zeros((50, 3, classes), "float32")
    logits[:, :2, 0] = 1000.0
    predictive = Predictive(logits, likelihoods.Categorical())
    (axes,) = rendered(plots.entropy_histograms(predictive, {"the same": predictive})).axes
    _, shares = shares_of(axes.lines[0])
    assert shares[0] == pytest.approx(2 / 3)
    assert shares[-1] == pytest.approx(1 / 3)
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == f"Entropy (nats, at most log {classes})"


@pytest.mark.parametrize(
    ("known", "unknown", "message"),
    [
        (of_a_target(), {"a": of_classes()}, "`known` must be a Predictive of classes.* Received: Predictive"),
        (of_classes(), {}, "`unknown` must have at least one predictive distribution. Received: none"),
        (of_classes(), {"a": of_classes(inputs=0)}, r"`unknown\['a'\]` must be of at least one input. Received"),
        (of_classes(), {"a": np.zeros(3)}, r"`unknown\['a'\]` must be a Predictive.*Received: array"),
    ],
)
def test_histograms_refuse_what_has_no_entropy(known, unknown, message):
    with pytest.raises(ValueError, match=message):
        plots.entropy_histograms(known, unknown)


# roc


def scores():
    """Returns pairs of known and unknown scores, some of them equal."""
    return {shift: (rng.normal(size=60).round(1), rng.normal(shift, size=40).round(1)) for shift in (0.5, 2.0)}


def test_curves_are_the_shares_flagged_at_every_threshold():
    pairs = scores()
    figure = rendered(plots.roc(pairs))
    assert titles(figure) == ["Receiver operating characteristic"]
    *curves, _ = figure.axes[0].lines
    for curve, (known, unknown) in zip(curves, pairs.values(), strict=True):
        flagged, found = curve.get_data()
        assert (flagged[0], found[0]) == (0, 0)
        for threshold in np.concatenate([known, unknown]):
            share = (known >= threshold).mean(), (unknown >= threshold).mean()
            # Points on a straight line between others need not be drawn.
            on_a_line = np.interp(share[0] + share[1], flagged + found, flagged)
            assert on_a_line == pytest.approx(share[0], abs=1e-12)


def test_the_legend_has_the_area_under_the_curve():
    pairs = scores()
    figure = rendered(plots.roc(pairs))
    *curves, diagonal = figure.axes[0].lines
    np.testing.assert_array_equal(diagonal.get_xydata(), [[0, 0], [1, 1]])
    *entries, guessing = texts(figure.legends[0])
    assert guessing == "Guessing (AUROC 0.500)"
    for entry, curve, (name, (known, unknown)) in zip(entries, curves, pairs.items(), strict=True):
        pairwise = (unknown[:, np.newaxis] > known) + 0.5 * (unknown[:, np.newaxis] == known)
        assert entry == f"{name} (AUROC {pairwise.mean():.3f})"
        flagged, found = curve.get_data()
        area = (np.diff(flagged) * (found[1:] + found[:-1]) / 2).sum()
        assert area == pytest.approx(pairwise.mean(), abs=1e-12)


@pytest.mark.parametrize("name", ["a", "a rather long name of a network and of its uncertainty"])
@pytest.mark.parametrize("count", [1, 5])
def test_the_legend_stays_in_the_figure_and_below_the_panel(name, count):
    figure = rendered(plots.roc({name + str(number): scores()[0.5] for number in range(count)}))
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= legend.x0 < legend.x1 <= figure.bbox.x1
    assert figure.bbox.y0 <= legend.y0
    assert legend.y1 <= figure.axes[0].get_tightbbox().y0


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ({}, "`scores` must have at least one pair of known and unknown scores. Received: none"),
        ({"a": (np.zeros(3),)}, r"`scores\['a'\]` must be a pair, known and unknown. Received: 1"),
        ({"a": (np.zeros(3), np.zeros((3, 1)))}, r"Received: .*\(3, 1\)"),
        ({"a": (np.zeros(3), np.zeros(0))}, r"Received: .*\(0,\)"),
        ({"a": (np.zeros(3), np.array([np.nan]))}, "Received: nan"),
    ],
)
def test_roc_refuses_what_are_no_scores(pairs, message):
    with pytest.raises(ValueError, match=message):
        plots.roc(pairs)
