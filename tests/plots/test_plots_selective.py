"""Accuracy over refusals: beside a loop over thresholds."""

import numpy as np
import pytest

from tests.support.figures import no_warning_and_no_trace, of_a_target, of_classes, rendered, rng, texts
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import Predictive, likelihoods, plots

pytestmark = on_tensorflow_alone

_no_warning_and_no_trace = pytest.fixture(autouse=True)(no_warning_and_no_trace)

LABELS = rng.integers(0, 5, 60)


def networks():
    return {name: of_classes(inputs=60, scale=scale) for name, scale in (("sure", 5.0), ("less sure", 2.0))}


def of_confidence(confidence):
    """Returns a predictive distribution of two classes, the first one with these probabilities."""
    logit = np.log(confidence) - np.log1p(-np.array(confidence))
    return Predictive(np.stack([logit, np.zeros_like(logit)], axis=-1)[np.newaxis], likelihoods.Categorical())


def test_the_curve_is_the_accuracy_of_what_is_left_at_each_threshold():
    named = networks()
    (axes,) = rendered(plots.accuracy_rejection(named, LABELS)).axes
    for curve, predictive in zip(axes.lines, named.values(), strict=True):
        probabilities = predictive.mean()
        confidence, correct = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == LABELS
        rejected, accuracy = curve.get_data()
        for threshold, share, value in zip(sorted(set(confidence)), rejected, accuracy, strict=False):
            assert share == pytest.approx((confidence < threshold).mean())
            assert value == pytest.approx(correct[confidence >= threshold].mean())
        assert len(rejected) == len(set(confidence)) + 1


def test_the_legend_has_the_area_under_the_steps():
    figure = rendered(plots.accuracy_rejection(networks(), LABELS))
    for name, curve, entry in zip(networks(), figure.axes[0].lines, texts(figure.legends[0]), strict=True):
        assert curve.get_drawstyle() == "steps-post"
        rejected, accuracy = curve.get_data()
        assert (rejected[0], rejected[-1]) == (0, 1)
        assert entry == f"{name} (area {(np.diff(rejected) * accuracy[:-1]).sum():.3f})"


def test_inputs_of_equal_confidence_are_refused_together():
    (axes,) = rendered(plots.accuracy_rejection({"a": of_confidence([0.9, 0.6, 0.9, 0.6])}, [0, 1, 0, 0])).axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 0.75], [0.5, 1], [1, 1]])


def test_a_few_sure_errors_do_not_press_the_rest_together():
    confidence = np.linspace(0.51, 0.99, 200)
    (axes,) = rendered(plots.accuracy_rejection({"a": of_confidence(confidence)}, [0] * 199 + [1])).axes
    np.testing.assert_allclose(axes.lines[0].get_xydata()[-2:], [[199 / 200, 0], [1, 0]])
    assert 0.85 < axes.get_ylim()[0] < 1 - 1 / 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"named": {}}, "`named` must have at least one predictive distribution. Received: none"),
        (
            {"named": {"a": of_a_target()}},
            r"`named\['a'\]` must be a Predictive of classes.* Received: Predictive",
        ),
        ({"labels": [0, 1]}, r"`labels` must be \[60\] or \[60, 1\]. Received: shape \(2,\)"),
        ({"labels": [-1] * 60}, "Labels must be integers from 0 to 4. Received: -1"),
    ],
)
def test_accuracy_rejection_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.accuracy_rejection(**{"named": networks(), "labels": LABELS, **arguments})
