"""Learning from few images: which images are learned from and measured on, and how the networks differ."""

import argparse

import keras
import numpy as np
import pandas as pd
import pytest

import tfp_bnn as bnn
from scripts import small_data
from scripts.common import reporting
from tests.scripts import oracles
from tests.scripts.script_runs import with_quick_networks
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

ARGS = argparse.Namespace(
    images="test",
    steps=30,
    batch_size=8,
    learning_rate=0.01,
    prior_scale=0.3,
    initial_stddev=0.02,
    beta=0.5,
    num_draws=3,
)


def test_of_each_class_there_are_as_many_or_one_more():
    labels = np.random.default_rng(0).integers(10, size=3000)
    chosen = small_data.balanced(labels, 105, seed=1)
    assert len(set(chosen.tolist())) == 105
    counts = np.bincount(labels[chosen])
    assert (counts.min(), counts.max()) == (10, 11)
    assert set(chosen.tolist()) != set(small_data.balanced(labels, 105, seed=2).tolist())


@pytest.mark.parametrize("network", small_data.NETWORKS)
@pytest.mark.parametrize(("images", "error"), [("test", 25.0), ("validation", 50.0)])
def test_it_learns_from_training_images_and_is_measured_on_those_asked_for(network, images, error, monkeypatch):
    labels = {
        oracles.TRAINING: np.arange(50, dtype="int32") % 10,
        oracles.VALIDATION: np.arange(10, dtype="int32") % 2,  # of which 0 is right
        oracles.TEST: np.array([0, 0, 0, 1], "int32"),
    }
    dataset, learned = oracles.tagged_dataset(50, 10, 4, labels), []

    def predict(model, x, *args, **kwargs):
        return oracles.of_confidence(np.full(len(x), 0.9))

    monkeypatch.setattr(small_data, "make_model", lambda *args: None)
    monkeypatch.setattr(small_data, "fit", lambda model, args, x, y: learned.append((x, y)))
    monkeypatch.setattr(bnn, "predict", predict)
    monkeypatch.setattr(reporting, "predict_plain", predict)
    row = small_data.train(network, 20, 7, argparse.Namespace(**{**vars(ARGS), "images": images}), dataset)
    ((x, y),) = learned
    assert oracles.tag_of(x) == oracles.TRAINING
    assert np.bincount(y).tolist() == [2] * 10
    assert row["error_percent"] == error
    assert (row["network"], row["size"], row["seed"]) == (network, 20, 7)


def test_the_networks_differ_in_what_they_are_called_after(monkeypatch):
    with_quick_networks(monkeypatch)
    dataset = oracles.tagged_dataset(1, 1, 1)
    bayesian, plain, dropout = (small_data.make_model(network, ARGS, dataset) for network in small_data.NETWORKS)
    first, _ = bnn.layers.variational_layers(bayesian)
    assert not bnn.layers.variational_layers(plain) + bnn.layers.variational_layers(dropout)
    assert [layer.rate for layer in dropout.layers if isinstance(layer, keras.layers.Dropout)] == [0.5]
    assert len(dropout.layers) == len(plain.layers) + 1
    for model in (bayesian, plain, dropout):
        rate = model.optimizer._learning_rate
        assert [float(rate(step)) for step in (0, 15, 30)] == pytest.approx([0.01, 0.005, 0], abs=1e-8)
    assert first.prior.scale == 0.3
    assert float(first.random_weights["kernel"][0].read().stddev[0, 0]) == pytest.approx(0.02)


def test_each_training_has_as_many_steps_and_a_kl_term_of_its_images(monkeypatch):
    with_quick_networks(monkeypatch)
    model = small_data.make_model("Bayes by Backprop", ARGS, oracles.tagged_dataset(1, 1, 1))
    fits = []
    monkeypatch.setattr(model, "fit", lambda x, y, **kwargs: fits.append(kwargs))
    small_data.fit(model, ARGS, np.zeros((20, 28, 28, 1)), np.zeros(20))
    (arguments,) = fits
    assert (arguments["epochs"], arguments["batch_size"]) == (10, 8)  # of 3 steps each
    (weight,) = arguments["callbacks"]
    assert (weight.num_examples, weight.beta) == (20, 0.5)


def test_curves_are_means_over_seeds_by_number_of_images():
    rows = [
        {"network": "plain", "size": size, "error_percent": size / 10 + seed, "nll": 0.01 * size, "ece": 0.001 * size}
        for size in (100, 300)
        for seed in (0, 4)
    ]
    errors, nats, calibration = small_data.draw(pd.DataFrame(rows)).axes
    np.testing.assert_allclose(errors.lines[0].get_xydata(), [[100, 12], [300, 32]])
    np.testing.assert_allclose(nats.lines[0].get_ydata(), [1, 3])
    np.testing.assert_allclose(calibration.lines[0].get_ydata(), [0.1, 0.3])
