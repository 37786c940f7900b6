"""The comparison of four networks on images that they have not learned, run briefly."""

import json
import sys

import keras
import numpy as np
import pytest

from scripts import out_of_distribution
from scripts.data import unfamiliar_images
from scripts.learning import classifiers
from scripts.learning.classifiers import CLASSIFIERS, Recipe
from tests.scripts.script_runs import with_quick_networks
from tests.support.on_backends import on_jax_alone

NETWORKS = ("Bayes by Backprop", "plain", "MC dropout", "ensemble of 5")
BRIEF = ("--dataset", "mnist_sample", "--epochs", 2, "--num-unfamiliar", 20, "--num-draws", 3, "--num-validation", 2400)


def compare(patch, directory, *arguments):
    """Runs the script in this process, with quick networks."""
    with_quick_networks(patch)
    patch.setattr(
        sys, "argv", ["out_of_distribution.py", *map(str, (*BRIEF, *arguments)), "--output-dir", str(directory)]
    )
    out_of_distribution.main()
    return json.loads((directory / "out_of_distribution.json").read_text())


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    directory = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        return directory, compare(patch, directory)


@on_jax_alone
def test_every_network_meets_every_kind_of_image(compared):
    directory, report = compared
    assert tuple(report["networks"]) == NETWORKS
    kinds = {"gaussian_noise", "uniform_noise", "rotated_90", "blurred", "inverted"}
    for result in report["networks"].values():
        assert set(result["detection"]) == kinds
        assert set(result["entropy"]) == {"test", *kinds}
        assert result["seconds_of_training"] > 0
        for scores in result["detection"].values():
            assert set(scores) == {"max probability", "entropy", "mutual information", "energy"}
            values = [value for figures in scores.values() for value in figures.values()]
            assert 0 <= min(values) <= max(values) <= 1 + 1e-9
    parameters = {network: result["parameters"] for network, result in report["networks"].items()}
    assert parameters["ensemble of 5"] == 5 * parameters["plain"] == 5 * parameters["MC dropout"]
    # One draw has nothing to disagree with.
    plain = report["networks"]["plain"]["detection"]["inverted"]
    assert plain["mutual information"]["auroc"] == pytest.approx(0.5, abs=0.2)
    pictures = {"entropy.png", "roc.png", "reliability.png", "accuracy_rejection.png"}
    assert pictures <= {path.name for path in directory.iterdir()}


@on_jax_alone
def test_trained_networks_are_not_trained_again(compared, monkeypatch):
    directory, first = compared
    written = {path: path.stat().st_mtime_ns for path in directory.glob("*.keras")}
    assert len(written) == 8
    again = compare(monkeypatch, directory, "--networks", "plain", "ensemble of 5")
    assert {path: path.stat().st_mtime_ns for path in directory.glob("*.keras")} == written
    assert list(again["networks"]) == ["plain", "ensemble of 5"]
    for name, result in again["networks"].items():
        assert result["test"] == pytest.approx(first["networks"][name]["test"])


@pytest.mark.parametrize(("estimator", "bayesian"), [("reparameterization", 400), ("flipout", 200)])
def test_all_networks_cost_as_much_as_the_plain_one(estimator, bayesian):
    recipe = Recipe(44, 128, 0.001, estimator, "relu", None, 0.3, 0.01, 0)
    steps = {name: classifier.steps(recipe, steps_per_epoch=10) for name, classifier in CLASSIFIERS.items()}
    # 440 / 1.1, and 440 / 2.2.
    assert steps == {"Bayes by Backprop": bayesian, "plain": 440, "MC dropout": 440, "ensemble of 5": 88}


def test_changed_images_are_what_their_names_say():
    images = np.random.default_rng(0).random((3, 9, 9, 1))
    turned = unfamiliar_images.rotated(images, 90)
    np.testing.assert_allclose(turned, np.rot90(images, axes=(1, 2)), atol=1e-12)
    np.testing.assert_allclose(unfamiliar_images.inverted(images), 1 - images)
    dot = np.zeros((1, 41, 41, 1))
    dot[0, 20, 20] = 1
    blurred = unfamiliar_images.blurred(dot, pixels=2.0)[0, :, :, 0]
    assert blurred.sum() == pytest.approx(1, abs=1e-6)
    at = np.arange(41) - 20
    assert (blurred.sum(axis=0) * at**2).sum() == pytest.approx(4, rel=0.02)  # the variance, in square pixels


def test_monte_carlo_dropout_drops_in_predictions_too():
    model = keras.Sequential([keras.Input((1000,)), classifiers.MonteCarloDropout(0.5)])
    outputs = model.predict(np.ones((1, 1000)), verbose=0)
    assert set(np.unique(outputs)) == {0.0, 2.0}
    assert abs((outputs == 0).mean() - 0.5) < 5 * 0.5 / np.sqrt(1000)
