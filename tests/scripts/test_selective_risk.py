"""The script that asks whether cut-offs keep their promise."""

import argparse

import numpy as np
import pytest

import tfp_bnn as bnn
from scripts import selective_risk
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
