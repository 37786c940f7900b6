"""The comparison of four networks on images that they have not learned, run briefly."""

import json
import sys

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import out_of_distribution
from scripts.data import unfamiliar_images
from scripts.learning import classifiers
from scripts.learning.classifiers import CLASSIFIERS, Recipe
from tests.scripts import oracles
from tests.scripts.script_runs import with_quick_networks
from tests.support.on_backends import on_jax_alone, on_tensorflow_alone

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


# Figures on predictions where they are known


@on_tensorflow_alone
def test_the_energy_is_low_where_a_logit_is_high():
    logits = np.array([[[0.0, 0.0], [9.0, 0.0], [0.0, 20.0]], [[0.0, 0.0], [11.0, 0.0], [0.0, 30.0]]])
    energy = out_of_distribution.energy(bnn.Predictive(logits, bnn.likelihoods.Categorical()))
    np.testing.assert_allclose(energy, [-np.log(2), -10, -25], rtol=1e-4)


@on_tensorflow_alone
def test_what_the_network_does_not_know_has_the_higher_scores():
    surely = [np.array([[0.99, 0.01], [0.98, 0.02]]), np.array([[0.985, 0.015], [0.95, 0.05]])]
    in_doubt = [np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]), np.array([[0.1, 0.9], [0.3, 0.7], [0.1, 0.9]])]
    known, unknown = oracles.of_classes(*surely), oracles.of_classes(*in_doubt)
    # So that the energy tells them, too: logits are large where the network is sure.
    known.outputs[...] += np.array([[6.0], [5.0]])
    for figures in out_of_distribution.detection(known, unknown).values():
        assert figures == {"auroc": 1.0, "aupr": 1.0, "fpr_at_95_tpr": 0.0}
    for figures in out_of_distribution.detection(unknown, known).values():
        # Of the two that are to be found each comes after all three others.
        assert figures == pytest.approx({"auroc": 0.0, "aupr": (1 / 4 + 2 / 5) / 2, "fpr_at_95_tpr": 1.0})


@on_tensorflow_alone
def test_half_of_the_known_are_flagged_for_nearly_all_of_the_unknown():
    known, unknown = oracles.of_confidence([0.99, 0.9, 0.7, 0.6]), oracles.of_confidence([0.8] + [0.51] * 9)
    figures = out_of_distribution.detection(known, unknown)
    for score in ("max probability", "entropy"):
        # The pair of each, and 0.7 and 0.6 are flagged before 0.8 is.
        assert figures[score]["auroc"] == pytest.approx((9 * 4 + 2) / 40)
        assert figures[score]["fpr_at_95_tpr"] == 0.5
        assert figures[score]["aupr"] == pytest.approx((9 * 1 + 10 / 12) / 10)


@on_tensorflow_alone
def test_a_network_is_measured_on_test_images_and_its_doubt_on_all():
    labels = np.array([0, 0, 1])
    predictives = {"test": oracles.of_confidence([0.9, 0.8, 0.6]), "noise": oracles.of_confidence([0.5, 0.5])}
    found = out_of_distribution.evaluate(predictives, labels)
    assert found["test"]["error_percent"] == pytest.approx(100 / 3)
    assert found["test"]["brier"] == pytest.approx(2 * (0.01 + 0.04 + 0.36) / 3, rel=1e-5)
    assert found["test"]["accuracy_rejection_area"] == pytest.approx((2 / 3 + 1 + 1) / 3)
    assert list(found["detection"]) == ["noise"]
    assert found["detection"]["noise"]["entropy"]["auroc"] == 1
    assert found["entropy"]["noise"] == pytest.approx(np.log(2))
    assert found["entropy"]["test"] < 0.6
    found["detection"]["noise"]["energy"]["auroc"] = 0.25
    assert out_of_distribution.auroc_table({"network": found}).to_dict() == {"noise": {"network": 1.0}}


@on_tensorflow_alone
def test_unfamiliar_images_are_of_the_other_data_set(monkeypatch):
    clothes, digits = (oracles.tagged_dataset(train=1, validation=1, test=5) for _ in range(2))
    clothes.x_test[...] = 0.125
    monkeypatch.setattr(bnn.datasets, "load", lambda name, data_dir: {"fashion_mnist": clothes, "mnist": digits}[name])
    object.__setattr__(digits, "name", "mnist")
    images = unfamiliar_images.unfamiliar_images(digits, None, count=3, seed=0)
    assert list(images) == ["fashion_mnist", "gaussian_noise", "uniform_noise", "rotated_90", "blurred", "inverted"]
    assert {len(each) for each in images.values()} == {3}
    np.testing.assert_array_equal(images["fashion_mnist"], clothes.x_test[:3])
    np.testing.assert_array_equal(images["inverted"], 1 - digits.x_test[:3])


@on_tensorflow_alone
def test_every_member_and_every_dropout_mask_has_its_say():
    class Answers:
        def __init__(self, *logits):
            self.logits = iter(logits)

        def predict(self, images, **kwargs):
            return np.full((len(images), 2), next(self.logits))

    members = [Answers(float(member)) for member in range(5)]
    together = classifiers.predict("ensemble of 5", members, oracles.images(3), num_draws=7, seed=0)
    assert together.outputs[:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    masks = classifiers.predict("MC dropout", [Answers(*range(7))], oracles.images(3), num_draws=7, seed=0)
    assert masks.outputs[:, 0, 0].tolist() == list(range(7))
    assert len(classifiers.predict("plain", [Answers(1.0)], oracles.images(3), num_draws=7, seed=0).outputs) == 1
