"""Proper scores of predicted classes, beside scikit-learn's, TFP's and loops over the examples."""

import math

import numpy as np
import pytest
import tensorflow_probability as tfp
from sklearn.metrics import log_loss

from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import metrics

pytestmark = on_tensorflow_alone  # functions of arrays

SCORES = (metrics.negative_log_likelihood, metrics.brier_score)
both_scores = pytest.mark.parametrize("score", SCORES)


def predictions(num_classes=4, num_examples=300):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(num_examples, num_classes))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    return probabilities, rng.integers(num_classes, size=num_examples)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_negative_log_likelihood_is_that_of_scikit_learn(num_classes):
    probabilities, labels = predictions(num_classes)
    nats = metrics.negative_log_likelihood(probabilities, labels)
    assert isinstance(nats, float)
    assert nats == pytest.approx(log_loss(labels, probabilities), rel=1e-12)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_brier_score_is_that_of_tfp_and_of_a_loop(num_classes):
    probabilities, labels = predictions(num_classes)
    score = metrics.brier_score(probabilities, labels)
    assert isinstance(score, float)
    # TFP leaves out the square of the label's 1.
    theirs = tfp.stats.brier_score(labels, np.log(probabilities)).numpy().mean() + 1
    assert score == pytest.approx(theirs, rel=1e-12)
    total = 0.0
    for row, label in zip(probabilities, labels, strict=True):
        total += sum((p - (c == label)) ** 2 for c, p in enumerate(row))
    assert score == pytest.approx(total / len(labels), rel=1e-12)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0.0, 1.0, 2.0]])
def test_certainty_has_the_best_scores_and_false_certainty_the_worst(labels):
    right, wrong = np.array(labels), np.roll(labels, 1)
    assert metrics.negative_log_likelihood(np.eye(3), right) == metrics.brier_score(np.eye(3), right) == 0
    assert metrics.negative_log_likelihood(np.eye(3), wrong) == math.inf
    assert metrics.brier_score(np.eye(3), wrong) == 2


@pytest.mark.parametrize("num_classes", [2, 10])
def test_no_knowledge_has_the_scores_of_equal_probabilities(num_classes):
    probabilities, labels = np.full((5, num_classes), 1 / num_classes), np.arange(5) % num_classes
    assert metrics.negative_log_likelihood(probabilities, labels) == pytest.approx(math.log(num_classes))
    assert metrics.brier_score(probabilities, labels) == pytest.approx(1 - 1 / num_classes)


@both_scores
def test_the_true_probabilities_have_the_least_expected_score(score):
    truth = np.array([0.6, 0.3, 0.1])
    labels = np.repeat([0, 1, 2], [6, 3, 1])  # as often as they are probable

    def expected(probabilities):
        return score(np.tile(probabilities, (10, 1)), labels)

    for other in np.random.default_rng(0).dirichlet(20 * truth, size=50):
        assert expected(truth) < expected(other)


@both_scores
def test_single_precision_is_summed_in_double(score):
    probabilities, labels = predictions(num_examples=10_000)
    single = probabilities.astype("float32")
    assert score(single, labels) == pytest.approx(score(single.astype("float64"), labels), rel=1e-12)


@both_scores
@pytest.mark.parametrize(
    ("probabilities", "labels", "received"),
    [
        (np.ones((3, 2)), np.ones(2), r"\(3, 2\) and \(2,\)"),
        (np.ones((3, 2)), np.ones((3, 1)), r"\(3, 2\) and \(3, 1\)"),
        (np.ones((0, 2)), np.ones(0), r"\(0, 2\) and \(0,\)"),
        (np.ones(3), np.ones(3), r"\(3,\) and \(3,\)"),
        (np.full((2, 2), 0.5), [0, -1], "-1"),
        (np.full((2, 2), 0.5), [2, 0], "2"),
        (np.full((2, 2), 0.5), [0.5, 0], "0.5"),
        (np.full((2, 2), 0.5), [math.nan, 0], "nan"),
        (np.array([[0.5, 0.5], [-1.5, 0.5]]), [0, 1], "-1.5"),
        (np.array([[0.5, 1.5], [0.5, 0.5]]), [0, 1], "1.5"),
        (np.array([[0.5, math.nan], [0.5, 0.5]]), [0, 1], "nan"),
    ],
)
def test_arguments_that_do_not_fit_get_one_clear_error(score, probabilities, labels, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        score(probabilities, labels)
