"""What train_lenet5.py reports of a network whose predictions are known."""

import argparse

import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import train_lenet5
from scripts.common import reporting
from tests.scripts import oracles
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

SIZE = 6000


def too_sure(seed, factor):
    """Returns logits that are so many times too large, one draw, and labels."""
    predictive, labels = oracles.truthful(SIZE, seed)
    return factor * predictive.outputs, labels


@pytest.fixture
def report(monkeypatch, tmp_path):
    (of_validation, y_validation), (of_test, y_test) = too_sure(0, factor=2.0), too_sure(1, factor=4.0)
    labels = {oracles.VALIDATION: y_validation, oracles.TEST: y_test}
    dataset = oracles.tagged_dataset(1, SIZE, SIZE, labels)
    drawn = {oracles.VALIDATION: of_validation, oracles.TEST: of_test}

    def predict(model, images, num_draws, seed):
        known = len(images) == SIZE
        outputs = drawn[oracles.tag_of(images)] if known else np.zeros((1, len(images), 2))
        return bnn.Predictive(outputs, bnn.likelihoods.Categorical())

    monkeypatch.setattr(bnn, "predict", predict)
    monkeypatch.setattr(reporting, "save_figure", lambda *args: None)
    args = argparse.Namespace(num_validation=SIZE, seed=0, num_draws=1, cutoff=0.8, output_dir=tmp_path)
    return train_lenet5.evaluate(args, None, dataset), bnn.Predictive(of_test, bnn.likelihoods.Categorical()), y_test


def test_the_temperature_is_that_of_validation_images(report):
    found, _, _ = report
    assert found["temperature"] == pytest.approx(2.0, rel=0.1)  # of the test images it is 4


def test_figures_are_of_test_images_and_noise_with_the_temperature_and_without(report):
    found, test, labels = report
    cooled = test.at_temperature(found["temperature"])
    for figures, predictive in ((found, test), (found["at_temperature"], cooled)):
        assert "validation" not in figures
        assert figures["heldout"]["nll"] == pytest.approx(-predictive.log_prob(labels).mean())
        answered = predictive.class_probabilities().max(axis=-1) >= 0.8
        assert figures["heldout"]["fraction_refused"] == pytest.approx(1 - answered.mean())
        assert figures["heldout"]["accuracy"] == pytest.approx((labels == 0).mean())
        assert figures["heldout"]["accuracy_of_classified"] == pytest.approx((labels == 0)[answered].mean())
        for noise in ("gaussian_noise", "uniform_noise"):
            assert figures[noise]["mean_entropy"] == pytest.approx(np.log(2), rel=1e-5)
            assert figures[noise]["fraction_refused"] == 1
    assert found["at_temperature"]["heldout"]["nll"] < found["heldout"]["nll"]
