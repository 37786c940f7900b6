"""What pruning costs: figures of the network that they are said to be of."""

import argparse

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import prune
from scripts.common import reporting
from tests.scripts import oracles
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

# How sure each network is said to be of class 0, by images and network.
CONFIDENCE = {
    ("validation", prune.BAYESIAN): 0.6,
    ("validation", prune.MONTE_CARLO): 0.65,
    ("validation", prune.PLAIN): 0.7,
    ("test", prune.BAYESIAN): 0.8,
    ("test", prune.MONTE_CARLO): 0.85,
    ("test", prune.PLAIN): 0.9,
}


def test_each_row_is_of_the_network_and_the_images_that_it_names(monkeypatch):
    model = keras.Sequential([keras.Input((6,)), bnn.layers.DenseFlipout(3)])
    plain = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    images = {"validation": (np.zeros((2, 6)), np.array([0, 0])), "test": (np.ones((4, 6)), np.array([0, 0, 0, 1]))}
    zeros = []

    def answer(network, x, weights):
        zeros.append((network, int(sum((array == 0).sum() for array in weights if array.ndim == 2))))
        return oracles.of_confidence(np.full(len(x), CONFIDENCE["test" if x.any() else "validation", network]))

    def predict(network, x, num_draws, seed):
        assert (num_draws, seed) == (3, 5)
        return answer(prune.MONTE_CARLO, x, [network.layers[0].random_weights["kernel"][0].read().mean.numpy()])

    def predict_plain(network, x):
        is_pruned_plain = np.isin(network.get_weights()[0], [0, *plain.get_weights()[0].ravel()]).all()
        return answer(prune.PLAIN if is_pruned_plain else prune.BAYESIAN, x, network.get_weights())

    monkeypatch.setattr(bnn, "predict", predict)
    monkeypatch.setattr(reporting, "predict_plain", predict_plain)
    args = argparse.Namespace(sparsities=(0.0, 0.5), by_layer=False, num_draws=3, seed=5)
    rows = prune.measure(args, model, plain, images)
    assert sorted(zeros) == sorted((network, gone) for _, network in CONFIDENCE for gone in (0, 9))
    found = {(row["sparsity"], row["images"], row["network"]): row for row in rows}
    assert len(found) == len(rows) == 12
    for (sparsity, of_images, network), row in found.items():
        confidence = CONFIDENCE[of_images, network]
        nats = [np.log(confidence)] * (3 if of_images == "test" else 1)
        nats += [np.log(1 - confidence)] * (of_images == "test")
        assert row["nll"] == pytest.approx(-np.mean(nats), rel=1e-5)
        assert row["error_percent"] == (25 if of_images == "test" else 0)
        # The plain one's biases count.
        assert row["weights_kept"] == (21 if network == prune.PLAIN else 18) - 18 * sparsity


def test_the_curves_are_of_test_images():
    rows = [
        {"sparsity": sparsity, "images": images, "network": prune.BAYESIAN, "error_percent": error}
        for images, errors in (("test", (1.0, 2.0)), ("validation", (50.0, 60.0)))
        for sparsity, error in zip((0.0, 0.9), errors, strict=True)
    ]
    (axes,) = prune.draw(rows).axes
    assert axes.lines[0].get_ydata().tolist() == [1.0, 2.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "90"]
