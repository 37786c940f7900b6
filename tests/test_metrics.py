"""Figures of merit of predictions."""

import numpy as np
import pytest

from tfp_bnn import metrics


def calibration_error(probabilities, labels, num_bins):
    """Returns the expected calibration error from its definition, one bin after another."""
    confidences = probabilities.max(axis=-1)
    correct = probabilities.argmax(axis=-1) == labels
    bins = np.minimum(np.floor(confidences * num_bins), num_bins - 1)
    error = 0.0
    for index in range(num_bins):
        inside = bins == index
        if inside.any():
            error += inside.mean() * abs(correct[inside].mean() - confidences[inside].mean())
    return error


@pytest.mark.parametrize("num_bins", [1, 10, 15])
@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("spread", [0.3, 3.0])  # timid and bold predictions
def test_the_calibration_error_equals_its_definition(num_bins, num_classes, spread):
    rng = np.random.default_rng(0)
    logits = spread * rng.normal(size=(500, num_classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    labels = rng.integers(num_classes, size=500)
    error = metrics.expected_calibration_error(probabilities, labels, num_bins)
    assert isinstance(error, float)
    assert error == pytest.approx(calibration_error(probabilities, labels, num_bins), abs=2e-6)


@pytest.mark.parametrize(("right", "expected"), [(10, 0.2), (8, 0.0), (4, 0.4), (0, 0.8)])
def test_equal_predictions_are_of_one_bin_whose_error_is_confidence_less_accuracy(right, expected):
    labels = np.repeat([1, 0], [right, 10 - right])
    error = metrics.expected_calibration_error(np.tile([0.2, 0.8], (10, 1)), labels)
    assert error == pytest.approx(expected, abs=1e-6)


def test_errors_of_different_bins_do_not_cancel():
    probabilities = np.repeat([[0.3, 0.7], [0.1, 0.9]], 10, axis=0)
    labels = np.repeat([1, 1, 0], [10, 5, 5])  # 100% of those with 70%, 50% of those with 90%
    error = metrics.expected_calibration_error(probabilities, labels)
    assert error == pytest.approx((0.3 + 0.4) / 2, abs=1e-6)


@pytest.mark.parametrize(("labels", "expected"), [([0, 1, 2], 0.0), ([1, 2, 0], 1.0), ([0, 0, 0], 2 / 3)])
def test_probabilities_of_exactly_0_and_1_are_taken(labels, expected):
    error = metrics.expected_calibration_error(np.eye(3), np.array(labels))
    assert error == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("probabilities", "labels", "received"),
    [
        (np.ones((3, 2)), np.ones(2), r"\(3, 2\) and \(2,\)"),
        (np.ones((3, 2)), np.ones((3, 1)), r"\(3, 2\) and \(3, 1\)"),
        (np.ones((0, 2)), np.ones(0), r"\(0, 2\) and \(0,\)"),
        (np.ones(3), np.ones(3), r"\(3,\) and \(3,\)"),
        (np.ones((5, 3, 2)), np.ones(5), r"\(5, 3, 2\) and \(5,\)"),
    ],
)
def test_shapes_that_do_not_match_get_one_clear_error(probabilities, labels, received):
    with pytest.raises(ValueError, match=f"Received: {received}"):
        metrics.expected_calibration_error(probabilities, labels)
