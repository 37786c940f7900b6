"""Refusing to answer: curve and area beside loops over thresholds."""

import numpy as np
import pytest

from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import metrics

pytestmark = on_tensorflow_alone  # functions of arrays

FUNCTIONS = (metrics.accuracy_rejection_curve, metrics.accuracy_rejection_area)


def predictions(decimals, num_inputs=60):
    """Returns confidences and whether they were right, as often as they say; few decimals make many equal."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(size=num_inputs).round(decimals)
    return confidence, rng.uniform(size=num_inputs) < confidence


both_kinds = pytest.mark.parametrize("decimals", [1, 15], ids=["many equal", "all different"])


@both_kinds
def test_the_curve_is_that_of_a_threshold_that_rises(decimals):
    confidence, correct = predictions(decimals)
    curve = metrics.accuracy_rejection_curve(confidence, correct)
    thresholds = sorted(set(confidence))
    assert list(curve.columns) == ["rejected", "accuracy"]
    np.testing.assert_allclose(curve["rejected"], [(confidence < t).mean() for t in thresholds], rtol=1e-12)
    np.testing.assert_allclose(curve["accuracy"], [correct[confidence >= t].mean() for t in thresholds], rtol=1e-12)


@both_kinds
def test_the_curve_starts_with_all_inputs_and_ends_with_the_most_confident(decimals):
    confidence, correct = predictions(decimals)
    curve = metrics.accuracy_rejection_curve(confidence, correct)
    assert tuple(curve.iloc[0]) == (0, correct.mean())
    top = confidence == confidence.max()
    assert tuple(curve.iloc[-1]) == pytest.approx((1 - top.mean(), correct[top].mean()), rel=1e-12)


@both_kinds
def test_the_order_of_the_inputs_does_not_matter(decimals):
    confidence, correct = predictions(decimals)
    order = np.random.default_rng(1).permutation(len(confidence))
    for function in FUNCTIONS:
        np.testing.assert_array_equal(function(confidence[order], correct[order]), function(confidence, correct))


def test_the_area_of_different_confidences_is_the_mean_over_all_numbers_refused():
    confidence, correct = predictions(15)
    ranked = correct[np.argsort(confidence)]
    area = metrics.accuracy_rejection_area(confidence, correct)
    assert isinstance(area, float)
    assert area == pytest.approx(np.mean([ranked[refused:].mean() for refused in range(len(ranked))]), rel=1e-12)


def test_the_area_of_equal_confidences_is_that_of_steps():
    confidence, correct = predictions(1)
    area = 0.0
    for threshold in set(confidence):
        area += (confidence == threshold).mean() * correct[confidence >= threshold].mean()
    assert metrics.accuracy_rejection_area(confidence, correct) == pytest.approx(area, rel=1e-12)


def test_confidence_that_says_nothing_has_the_accuracy_as_its_area():
    correct = np.array([True, False, True, True])
    assert metrics.accuracy_rejection_area(np.full(4, 0.7), correct) == 0.75
    assert len(metrics.accuracy_rejection_curve(np.full(4, 0.7), correct)) == 1


def test_the_best_order_has_the_greatest_area_and_the_worst_the_least():
    correct = np.array([0, 0, 1, 1, 1])
    rng = np.random.default_rng(0)
    areas = [metrics.accuracy_rejection_area(rng.permutation(5), correct) for _ in range(50)]
    best, worst = (metrics.accuracy_rejection_area(c, correct) for c in (np.arange(5), -np.arange(5)))
    assert best == max(areas) > min(areas) == pytest.approx(worst)
    assert best == pytest.approx((3 / 5 + 3 / 4 + 1 + 1 + 1) / 5)


def test_confidence_may_be_a_negative_uncertainty_and_infinite():
    curve = metrics.accuracy_rejection_curve(np.array([-np.inf, -3.0, 0.0]), np.array([0, 0, 1]))
    np.testing.assert_allclose(curve["accuracy"], [1 / 3, 1 / 2, 1])


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("confidence", "correct", "received"),
    [
        (np.ones(3), np.ones(2), r"\(3,\) and \(2,\)"),
        (np.ones((3, 1)), np.ones((3, 1)), r"\(3, 1\) and \(3, 1\)"),
        (np.ones(0), np.ones(0), r"\(0,\) and \(0,\)"),
        (np.array([1, np.nan]), np.ones(2), "nan"),
        (np.ones(2), np.array([1, 2]), "2"),
        (np.ones(2), np.array([0.5, 1]), "0.5"),
    ],
)
def test_arguments_that_do_not_fit_get_one_clear_error(function, confidence, correct, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        function(confidence, correct)
