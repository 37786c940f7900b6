"""Summaries: the values of `Predictive`, from sums."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW
from tfp_bnn.prediction.averages import average_over_draws

STATISTICS = ("mean", "epistemic_stddev", "aleatoric_stddev", "expected_entropy", "entropy", "mutual_information")
LIKELIHOODS = {
    "Categorical": (bnn.likelihoods.Categorical(), np.array([0, 2, 1, 1, 0])),
    "Normal": (bnn.likelihoods.Normal(scale=0.5), np.linspace(-1, 1, 15).reshape(5, 3)),
    "NormalMixture": (bnn.likelihoods.NormalMixture(1), np.linspace(-1, 1, 5)),
    "Poisson": (bnn.likelihoods.Poisson(), np.arange(15).reshape(5, 3)),
}


def make_model():
    return keras.Sequential([keras.Input((4,)), bnn.layers.DenseFlipout(8, "relu"), bnn.layers.DenseFlipout(3)])


@pytest.mark.parametrize("name", LIKELIHOODS if TENSORFLOW else ["Categorical", "Normal"])
def test_a_summary_has_the_values_of_the_prediction_with_the_same_seed(name):
    likelihood, y = LIKELIHOODS[name]
    model = make_model()
    x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
    arguments = {"num_draws": 70, "batch_size": 2, "likelihood": likelihood, "seed": 3, "verbose": False}
    predictive, summary = bnn.predict(model, x, **arguments), bnn.summarize(model, x, y, **arguments)
    assert summary.num_draws == 70
    assert len(summary) == 5
    np.testing.assert_allclose(summary.log_prob(), predictive.log_prob(y), rtol=1e-5)
    known = {"Categorical": 6, "Normal": 4}.get(name, 3)
    for statistic in STATISTICS[:known]:
        expected = getattr(predictive, statistic)()
        np.testing.assert_allclose(getattr(summary, statistic)(), expected, rtol=1e-4, atol=1e-6, err_msg=statistic)


def test_yes_or_no_has_the_entropies_of_the_prediction():
    outputs = np.random.default_rng(0).normal(scale=3, size=(70, 5, 1)).astype("float32")
    likelihood = bnn.likelihoods.Bernoulli()
    predictive = bnn.Predictive(outputs, likelihood)
    summary = bnn.PredictiveSummary(average_over_draws(np.split(outputs, 7), likelihood), 70, likelihood)
    for statistic in STATISTICS:
        np.testing.assert_allclose(getattr(summary, statistic)(), getattr(predictive, statistic)(), rtol=1e-4)


def test_a_small_variance_beside_a_large_mean_is_not_rounded_away():
    draws = 1e4 + np.random.default_rng(0).normal(size=(200, 3, 1)).astype("float32")
    averages = average_over_draws(np.split(draws, 4), bnn.likelihoods.Normal(scale=1.0))
    np.testing.assert_allclose(averages["epistemic"], draws.astype("float64").var(axis=0), rtol=1e-9)


def test_what_a_summary_cannot_say_is_an_error():
    model, x = make_model(), np.zeros((2, 4))
    normal = bnn.summarize(model, x, num_draws=2, likelihood=bnn.likelihoods.Normal(scale=1.0))
    with pytest.raises(ValueError, match=r"Received: y=None"):
        normal.log_prob()
    with pytest.raises(ValueError, match=r"Received: likelihood=Normal"):
        normal.entropy()
    poisson = bnn.summarize(model, x, num_draws=2, likelihood=bnn.likelihoods.Poisson())
    with pytest.raises(ValueError, match=r"Received: likelihood=Poisson"):
        poisson.expected_entropy()


@pytest.mark.parametrize("y", [np.zeros(3, int), np.int64(0), np.array([0, 3])])
def test_targets_that_do_not_fit_are_an_error(y):
    with pytest.raises(ValueError, match=r"Received: "):
        bnn.summarize(make_model(), np.zeros((2, 4)), y, num_draws=2, likelihood=bnn.likelihoods.Categorical())


@pytest.mark.parametrize("argument", ["num_draws", "batch_size"])
def test_counts_below_1_are_an_error(argument):
    with pytest.raises(ValueError, match=f"Received: {argument}=0"):
        bnn.summarize(make_model(), np.zeros((2, 4)), likelihood=bnn.likelihoods.Categorical(), **{argument: 0})
