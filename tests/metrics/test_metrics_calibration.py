"""Calibration: errors and tables beside those of TFP and scikit-learn, and by hand."""

import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy import stats
from sklearn.calibration import calibration_curve

from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import metrics

pytestmark = on_tensorflow_alone  # functions of arrays

ERRORS = (metrics.expected_calibration_error, metrics.adaptive_calibration_error)


def predictions(num_examples, num_classes=3, spread=1.0):
    rng = np.random.default_rng(0)
    logits = spread * rng.normal(size=(num_examples, num_classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return probabilities, rng.integers(num_classes, size=num_examples)


def of_two_classes(confidence):
    """Returns the probabilities whose second is the confidence."""
    return np.stack([1 - np.asarray(confidence), confidence], axis=-1)


# The expected calibration error


@pytest.mark.parametrize("num_bins", [1, 10, 15])
@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("spread", [0.3, 3.0])  # timid and bold predictions
def test_the_calibration_error_is_that_of_tfp(num_bins, num_classes, spread):
    probabilities, labels = predictions(500, num_classes, spread)
    error = metrics.expected_calibration_error(probabilities, labels, num_bins)
    assert isinstance(error, float)
    logits = np.log(probabilities).astype("float32")
    of_tfp = tfp.stats.expected_calibration_error(num_bins, logits=logits, labels_true=labels)
    assert error == pytest.approx(float(of_tfp), abs=2e-6)


def test_an_error_by_hand():
    # Of bins of a fifth: 0.52 and 0.58 are right once, 0.7 is wrong, 0.9, 0.95 and 1 are right twice.
    confidence, labels = [0.52, 0.58, 0.7, 0.9, 0.95, 1.0], np.array([1, 0, 0, 1, 1, 0])
    gaps = [abs(1 - 1.1), abs(0 - 0.7), abs(2 - 2.85)]
    error = metrics.expected_calibration_error(of_two_classes(confidence), labels, num_bins=5)
    assert error == pytest.approx(sum(gaps) / 6)
    # Of three bins of two each.
    gaps = [abs(1 - 1.1), abs(1 - 1.6), abs(1 - 1.95)]
    error = metrics.adaptive_calibration_error(of_two_classes(confidence), labels, num_bins=3)
    assert error == pytest.approx(sum(gaps) / 6)


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


# The adaptive calibration error


@pytest.mark.parametrize("num_bins", [1, 5, 15])
def test_the_adaptive_error_is_that_of_bins_of_as_many_examples_each(num_bins):
    probabilities, labels = predictions(45 * 15)
    confidence, correct = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels
    bins = np.argsort(confidence).reshape(num_bins, -1)
    expected = np.mean([abs(correct[inside].mean() - confidence[inside].mean()) for inside in bins])
    error = metrics.adaptive_calibration_error(probabilities, labels, num_bins)
    assert isinstance(error, float)
    assert error == pytest.approx(expected, rel=1e-12)


def test_bins_that_do_not_divide_the_examples_differ_by_one_at_most():
    # The third example may be of either bin.
    confidence = np.array([0.6, 0.7, 0.9, 0.92, 0.94])
    error = metrics.adaptive_calibration_error(of_two_classes(confidence), np.array([0, 0, 1, 1, 1]), num_bins=2)
    bins = [(0.6 + 0.7 + (0.9 - 1)) + (0.08 + 0.06), (0.6 + 0.7) + (0.1 + 0.08 + 0.06)]
    assert any(error == pytest.approx(total / 5, rel=1e-12) for total in bins)


def test_as_many_bins_as_examples_have_one_each():
    probabilities, labels = predictions(20)
    confidence, correct = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels
    for num_bins in (20, 200):
        error = metrics.adaptive_calibration_error(probabilities, labels, num_bins)
        assert error == pytest.approx(np.abs(correct - confidence).mean(), rel=1e-12)


def test_examples_of_equal_confidence_share_a_bin_in_any_order():
    confidence, labels = np.repeat([0.6, 0.9], [70, 30]), np.tile([0, 1], 50)
    expected = 0.7 * 0.1 + 0.3 * 0.4
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(100)
        error = metrics.adaptive_calibration_error(of_two_classes(confidence[order]), labels[order])
        assert error == pytest.approx(expected, rel=1e-12)


def test_a_sure_network_is_seen_through_by_bins_of_equal_mass_alone():
    # Half of the examples are too sure and half not sure enough; all lie in one bin of equal width.
    confidence, labels = np.repeat([0.95, 0.99], 50), np.r_[np.ones(50, int), np.tile([1, 1, 1, 1, 0], 10)]
    probabilities = of_two_classes(confidence)
    assert metrics.adaptive_calibration_error(probabilities, labels, 2) == pytest.approx((0.05 + 0.19) / 2)
    assert metrics.expected_calibration_error(probabilities, labels, 2) == pytest.approx(0.97 - 0.9)


# Reliability


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_table_is_that_of_scikit_learn(num_bins):
    probabilities, labels = predictions(500)
    confidence, correct = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels
    table = metrics.reliability(probabilities, labels, num_bins)
    accuracy, mean_confidence = calibration_curve(correct, confidence, n_bins=num_bins)
    np.testing.assert_allclose(table["accuracy"], accuracy, rtol=1e-12)
    np.testing.assert_allclose(table["confidence"], mean_confidence, rtol=1e-12)


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_the_table_is_that_of_the_expected_calibration_error(num_bins):
    probabilities, labels = predictions(500)
    table = metrics.reliability(probabilities, labels, num_bins)
    assert table["count"].sum() == 500
    gaps = (table["accuracy"] - table["confidence"]).abs() * table["count"] / 500
    assert gaps.sum() == pytest.approx(metrics.expected_calibration_error(probabilities, labels, num_bins), rel=1e-12)


def test_each_bin_has_the_examples_between_its_edges():
    probabilities, labels = predictions(500)
    confidence, correct = probabilities.max(axis=-1), probabilities.argmax(axis=-1) == labels
    table = metrics.reliability(probabilities, labels, num_bins=10)
    assert table["lower"].tolist() == [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]  # three classes: at least 1/3 is sure
    for row in table.itertuples():
        inside = (confidence >= row.lower) & (confidence < row.upper)
        assert row.count == inside.sum()
        assert row.upper == pytest.approx(row.lower + 0.1)
        assert row.confidence == pytest.approx(confidence[inside].mean(), rel=1e-12)
        assert row.accuracy == pytest.approx(correct[inside].mean(), rel=1e-12)


def test_certainty_is_of_the_last_bin_and_empty_bins_have_no_row():
    table = metrics.reliability(of_two_classes([0.5, 1.0]), np.array([0, 1]), num_bins=4)
    assert table["lower"].tolist() == [0.5, 0.75]
    assert table["upper"].tolist() == [0.75, 1.0]


@pytest.mark.parametrize("level", [0.5, 0.95])
@pytest.mark.parametrize("right", [0, 3, 10])
def test_the_bounds_are_quantiles_of_beta_distributions(right, level):
    labels = np.repeat([1, 0], [right, 10 - right])
    (row,) = metrics.reliability(of_two_classes(np.full(10, 0.8)), labels, level=level).itertuples()
    alpha = 1 - level
    lower = stats.beta.ppf(alpha / 2, right, 11 - right) if right else 0.0
    upper = stats.beta.ppf(1 - alpha / 2, right + 1, 10 - right) if right < 10 else 1.0
    assert row.accuracy == right / 10
    assert (row.accuracy_lower, row.accuracy_upper) == pytest.approx((lower, upper), rel=1e-6)


# Errors


@pytest.mark.parametrize(
    ("probabilities", "labels", "received"),
    [
        (np.ones((3, 2)), np.ones(2), r"\(3, 2\) and \(2,\)"),
        (np.ones((3, 2)), np.ones((3, 1)), r"\(3, 2\) and \(3, 1\)"),
        (np.ones((0, 2)), np.ones(0), r"\(0, 2\) and \(0,\)"),
        (np.ones(3), np.ones(3), r"\(3,\) and \(3,\)"),
        (np.ones((5, 3, 2)), np.ones(5), r"\(5, 3, 2\) and \(5,\)"),
        (np.array([[0.5, 0.5], [-1.5, 2.5]]), np.ones(2), "-1.5"),
        (np.array([[np.nan, 0.5]]), np.ones(1), "nan"),
        (np.full((3, 2), 0.5), np.array([0, 1, 2]), "2"),
        (np.full((3, 2), 0.5), np.array([0, -1, 1]), "-1"),
        (np.full((3, 2), 0.5), np.array([0, 0.5, 1]), "0.5"),
        (np.array([[0.9], [0.1]]), np.array([1, 0]), r"\(2, 1\)"),  # what a Bernoulli likelihood's mean would be
    ],
)
@pytest.mark.parametrize("function", [*ERRORS, metrics.reliability])
def test_predictions_that_do_not_fit_get_one_clear_error(function, probabilities, labels, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        function(probabilities, labels)


@pytest.mark.parametrize("function", [*ERRORS, metrics.reliability])
@pytest.mark.parametrize("num_bins", [0, -1, 2.5])
def test_a_number_of_bins_that_is_not_one_gets_one_clear_error(function, num_bins):
    with pytest.raises(ValueError, match=f"Received: num_bins={num_bins}"):
        function(*predictions(5), num_bins=num_bins)


@pytest.mark.parametrize("level", [0, 1, 95, np.nan])
def test_a_level_that_is_no_probability_gets_one_clear_error(level):
    with pytest.raises(ValueError, match=f"Received: level={level}"):
        metrics.reliability(*predictions(5), level=level)
