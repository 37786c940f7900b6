"""Figures that all scripts share, on predictions where they are known."""

import numpy as np
import pytest

from scripts.common import examples, reporting
from tests.scripts import oracles
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

# Two draws: of the first two inputs they agree, of the last they contradict each other.
DRAWS = np.array([[[0.9, 0.1], [0.4, 0.6], [1 - 1e-9, 1e-9]], [[0.9, 0.1], [0.4, 0.6], [1e-9, 1 - 1e-9]]])
LABELS = np.array([0, 0, 1])


def entropy(p):
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


def test_a_prediction_is_as_unsure_as_its_draws_say():
    found = reporting.uncertainty_metrics(oracles.of_classes(*DRAWS), cutoff=0.6)
    assert found == pytest.approx(
        {
            "mean_entropy": (entropy(0.9) + entropy(0.6) + np.log(2)) / 3,
            "mean_mutual_information": np.log(2) / 3,
            "fraction_refused": 1 / 3,  # 0.9 and 0.6 are answered, 0.5 is not
        },
        abs=1e-6,
    )


@pytest.mark.parametrize(("cutoff", "refused"), [(0.0, 0), (0.55, 0.25), (0.75, 0.5), (0.95, 0.75), (1.0, 1)])
def test_the_more_is_asked_for_the_more_is_refused(cutoff, refused):
    predictive = oracles.of_confidence([0.5, 0.7, 0.9, 0.99])
    assert reporting.uncertainty_metrics(predictive, cutoff)["fraction_refused"] == refused


def test_error_nats_and_calibration_are_those_of_the_definitions():
    found = reporting.quality(oracles.of_classes(*DRAWS[:, :2]), LABELS[:2])
    # Right at 0.9, wrong at 0.6.
    expected = {"error_percent": 50, "nll": -(np.log(0.9) + np.log(0.4)) / 2, "ece": (0.1 + 0.6) / 2}
    assert found == pytest.approx(expected, rel=1e-5)
    as_shares = examples.quality(oracles.of_classes(*DRAWS[:, :2]), LABELS[:2])
    assert as_shares == pytest.approx({"accuracy": 0.5, "nll": expected["nll"], "ece": 0.35}, rel=1e-5)


def test_accuracy_is_also_of_what_is_not_refused():
    predictive = oracles.of_confidence([0.6, 0.7, 0.9, 0.99])
    found = reporting.accuracy_metrics(predictive, np.array([1, 1, 0, 0]), cutoff=0.65)
    assert found["accuracy"] == 0.5
    assert found["accuracy_of_classified"] == pytest.approx(2 / 3)
    assert found["nll"] == -found["log_likelihood"] == pytest.approx(-np.log([0.4, 0.3, 0.9, 0.99]).mean(), rel=1e-5)
    assert reporting.accuracy_metrics(predictive, np.zeros(4, int), cutoff=1.0)["accuracy_of_classified"] is None


def test_noise_is_what_its_name_says():
    noise = reporting.noise_images(50, (28, 28, 1), seed=3)
    assert list(noise) == ["gaussian_noise", "uniform_noise"]
    assert noise["gaussian_noise"].min() < -2
    assert 0 <= noise["uniform_noise"].min() < noise["uniform_noise"].max() < 1


def test_single_draws_are_those_of_the_prediction():
    predictive = oracles.of_classes(*DRAWS)
    for draw, expected in zip(reporting.single_draws(predictive), DRAWS, strict=True):
        np.testing.assert_allclose(draw.mean(), expected, rtol=1e-5)


def test_one_image_in_six_is_held_out_of_the_training():
    dataset = oracles.tagged_dataset(train=25, validation=5, test=3)
    (x, _), (x_held_out, _) = reporting.split_validation(dataset)
    assert (len(x), len(x_held_out)) == (25, 5)
    assert (oracles.tag_of(x), oracles.tag_of(x_held_out)) == (oracles.TRAINING, oracles.VALIDATION)
