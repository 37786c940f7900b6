"""The script that asks whether cut-offs keep their promise."""

import argparse
import json

import numpy as np
import pandas as pd
import pytest

import tfp_bnn as bnn
from scripts import selective_risk
from scripts.common import reporting
from tests.scripts import oracles
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone


def test_a_half_without_a_cutoff_answers_nothing():
    predictive = bnn.Predictive(np.zeros((3, 100, 2)), bnn.likelihoods.Categorical())
    labels = np.tile([0, 1], 50)  # half of them wrong
    found = selective_risk.resplit(predictive, labels, argparse.Namespace(risk=0.01, confidence=0.95), 0)
    assert np.isnan(found["cutoff"])
    assert found["coverage"] == found["risk"] == 0


def test_one_half_chooses_and_the_other_judges():
    size, seed = 4000, 3
    rng = np.random.default_rng(0)
    margins = rng.exponential(4, size)
    labels = (rng.random(size) > 1 / (1 + np.exp(-margins))).astype(int)
    predictive = bnn.Predictive(np.stack([margins, np.zeros(size)], axis=-1)[np.newaxis], bnn.likelihoods.Categorical())
    args = argparse.Namespace(risk=0.1, confidence=0.9)
    found = selective_risk.resplit(predictive, labels, args, seed)
    assert found["risk"] < 0.1
    order = np.random.default_rng(seed).permutation(size)
    judges = order[size // 2 :]
    kept = judges[1 / (1 + np.exp(-margins[judges])) >= found["cutoff"]]
    assert found["coverage"] == pytest.approx(len(kept) / len(judges), abs=2 / size)
    assert found["risk"] == pytest.approx(labels[kept].mean(), abs=2 / size)
    labels[judges] = 1
    other = selective_risk.resplit(predictive, labels, args, seed)
    assert other["cutoff"] == found["cutoff"]
    assert other["risk"] == 1.0


def report_of(predictive, labels, directory, monkeypatch, *arguments):
    """Returns what the command reports of a network that predicts this of the test images."""
    dataset = oracles.tagged_dataset(1, 1, len(labels), {oracles.TEST: labels})
    for name in ("load_model", "check_bayesian", "check_input_shape"):
        monkeypatch.setattr(reporting, name, lambda *args: None)
    monkeypatch.setattr(reporting, "load_dataset", lambda *args: dataset)
    monkeypatch.setattr(bnn, "predict", lambda model, images, num_draws, seed: predictive)
    words = ["selective_risk.py", "model.keras", *map(str, arguments), "--output-dir", str(directory)]
    monkeypatch.setattr("sys.argv", words)
    selective_risk.main()
    assert (directory / "selective_risk.png").exists()
    return json.loads((directory / "selective_risk.json").read_text())


def test_the_report_counts_the_halves_that_kept_their_promise(tmp_path, monkeypatch):
    # Where it is sure it is always right, where it is not, half of it is wrong.
    confidence = np.repeat([0.999, 0.6], 1000)
    labels = np.r_[np.zeros(1000, "int32"), np.tile([0, 1], 500).astype("int32")]
    report = report_of(
        oracles.of_confidence(confidence), labels, tmp_path, monkeypatch, "--risk", 0.05, "--resplits", 4
    )
    assert report["error_without_refusal"] == 0.25
    assert report["kept"] == len(report["rows"]["risk"]) == 4
    assert report["greatest_risk"] == report["mean"]["risk"] == report["resplits_without_cutoff"] == 0
    assert report["mean"]["coverage"] == pytest.approx(0.5, abs=0.05)
    assert 0.6 < report["mean"]["cutoff"] < 0.999


def test_the_report_counts_the_halves_that_broke_it(tmp_path, monkeypatch):
    cutoffs = iter([0.9, 0.5, None])

    def calibrate(predictive, labels, risk, confidence):
        if (cutoff := next(cutoffs)) is None:
            raise ValueError("no cut-off")
        return cutoff

    monkeypatch.setattr(bnn, "calibrate_cutoff", calibrate)
    confidence, labels = np.repeat([0.99, 0.6], 50), np.repeat(np.array([0, 1], "int32"), 50)
    report = report_of(oracles.of_confidence(confidence), labels, tmp_path, monkeypatch, "--resplits", 3)
    # Answers of 0.6 are all wrong, about half of a half; without a cut-off nothing is answered.
    assert report["kept"] == 2
    assert report["rows"]["coverage"][1:] == [1, 0]
    assert report["rows"]["risk"][0] == report["rows"]["risk"][2] == 0
    assert report["greatest_risk"] == report["rows"]["risk"][1] == pytest.approx(0.5, abs=0.2)
    assert report["rows"]["cutoff"] == [0.9, 0.5, None]
    assert report["resplits_without_cutoff"] == 1


def test_each_resplit_is_a_point_of_its_answers_and_its_risk():
    rows = pd.DataFrame({"cutoff": [0.9, 0.8], "coverage": [0.5, 0.75], "risk": [0.01, 0.02]})
    (axes,) = selective_risk.draw(rows, risk=0.015).axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), [[0.5, 0.01], [0.75, 0.02]])
    assert set(axes.lines[0].get_ydata()) == {0.015}
