"""The predictive distribution's own figures, in `fit` and by `evaluate`."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED, on_tensorflow_alone
from tfp_bnn.callbacks.predictive_metrics import Directions
from tfp_bnn.prediction.averages import average_over_draws
from tfp_bnn.prediction.evaluation import figures as figures_of


def noisy_model(likelihood, outputs):
    """Returns a model of much noise, whose single draws are far worse than their mean."""
    posterior = bnn.posteriors.MeanFieldNormal(1.0)
    model = keras.Sequential([keras.Input((4,)), bnn.layers.DenseFlipout(outputs, posterior=posterior)])
    model.compile(keras.optimizers.SGD(0.0), loss=likelihood, metrics=[], **UNCOMPILED)
    return model


X = np.random.default_rng(0).normal(size=(50, 4)).astype("float32")
CASES = {
    "classes": (bnn.likelihoods.Categorical(), 3, np.arange(50) % 3),
    "yes or no": (bnn.likelihoods.Bernoulli(), 1, np.arange(50) % 2),
    "targets": (bnn.likelihoods.Normal(scale=1.0), 1, X[:, 0]),
}


@pytest.mark.parametrize("case", CASES)
def test_evaluate_has_the_figures_of_the_prediction(case):
    likelihood, outputs, y = CASES[case]
    model = noisy_model(likelihood, outputs)
    figures = bnn.evaluate(model, X, y, num_draws=30, seed=4)
    predictive = bnn.predict(model, X, num_draws=30, seed=4)
    assert figures["nll"] == pytest.approx(-predictive.log_prob(y).mean(), rel=1e-5)
    if case == "targets":
        mean = np.asarray(predictive.mean())[:, 0]
        assert figures.keys() == {"nll", "rmse"}
        assert figures["rmse"] == pytest.approx(np.sqrt(np.mean((mean - y) ** 2)), rel=1e-5)
    else:
        assert figures.keys() == {"nll", "accuracy"}
        labels = predictive.class_probabilities().argmax(axis=-1)
        assert figures["accuracy"] == pytest.approx(np.mean(labels == y))


def test_fit_logs_the_figures_of_the_prediction_and_stops_by_them():
    likelihood, outputs, y = CASES["classes"]
    model = noisy_model(likelihood, outputs)
    model.compile(keras.optimizers.SGD(0.1), loss=likelihood, metrics=["accuracy"], **UNCOMPILED)
    callbacks = [
        bnn.callbacks.KLWeight(),
        bnn.callbacks.PredictiveMetrics(X, y, num_draws=20, seed=3),
        keras.callbacks.EarlyStopping("val_predictive_nll", patience=9),
        keras.callbacks.EarlyStopping("val_predictive_accuracy", patience=9),
    ]
    history = model.fit(X, y, epochs=3, validation_data=(X, y), verbose=0, callbacks=callbacks).history
    figures = bnn.evaluate(model, X, y, num_draws=20, seed=3)
    assert history["val_predictive_nll"][-1] == pytest.approx(figures["nll"], rel=1e-5)
    assert history["val_predictive_accuracy"][-1] == pytest.approx(figures["accuracy"])
    assert len(history["val_predictive_nll"]) == 3
    # Jensen: the mean over draws of the nll of each is greater than that of the mean probability.
    assert history["val_nll"][-1] > history["val_predictive_nll"][-1]


@pytest.mark.parametrize(
    ("loss", "y", "message"),
    [
        (bnn.likelihoods.Categorical(), np.zeros(49, int), r"each of 50 inputs. Received: shape \(49,\)"),
        (bnn.likelihoods.Categorical(), 0, r"each of 50 inputs. Received: shape \(\)"),
        ("mse", np.zeros((50, 3)), "needs a likelihood.*loss='mse'"),
    ],
)
def test_what_cannot_be_predicted_is_said_before_the_training(loss, y, message):
    model = noisy_model(loss, 3)
    targets = y if loss == "mse" else CASES["classes"][2]
    before = model.get_weights()
    callbacks = [bnn.callbacks.KLWeight(), bnn.callbacks.PredictiveMetrics(X, y)]
    with pytest.raises(ValueError, match=message):
        model.fit(X, targets, verbose=0, callbacks=callbacks)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("argument", ["num_draws", "batch_size"])
def test_counts_below_1_are_an_error(argument):
    with pytest.raises(ValueError, match=f"Received: {argument}=0"):
        bnn.callbacks.PredictiveMetrics(X, X, **{argument: 0})


@on_tensorflow_alone
def test_callbacks_are_told_which_figures_are_the_better_the_more_they_are():
    model = noisy_model(*CASES["classes"][:2])
    bnn.callbacks.PredictiveMetrics(X, CASES["classes"][2]).set_model(model)
    (directions,) = [metric for metric in model.metrics if isinstance(metric, Directions)]
    directions.add(["price_rmse", "label_accuracy"])
    assert {metric.name: metric._direction for metric in directions.metrics} == {
        "predictive_nll": "down",
        "predictive_rmse": "down",
        "predictive_accuracy": "up",
        "predictive_price_rmse": "down",
        "predictive_label_accuracy": "up",
    }


# Figures of two draws, three inputs, beside their definitions.
TWO_DRAWS = np.array([[[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]], [[0.5, 0.5], [0.4, 0.6], [0.1, 0.9]]])
PROBABILITIES = TWO_DRAWS.mean(axis=0)  # (0.7, 0.3), (0.3, 0.7) and (0.4, 0.6)
WEIGHTS = np.array([1.0, 2.0, 5.0])


def summary_of(outputs, likelihood, y):
    averages = average_over_draws([np.asarray(outputs)], likelihood, y)
    return bnn.PredictiveSummary(averages, len(outputs), likelihood)


@on_tensorflow_alone
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_figures_of_classes_are_weighted_means(weights):
    y = np.array([0, 0, 1])  # the second is wrong
    found = figures_of(summary_of(np.log(TWO_DRAWS), bnn.likelihoods.Categorical(), y), y, weights)
    parts = np.ones(3) if weights is None else weights
    assert found["accuracy"] == pytest.approx((parts[0] + parts[2]) / parts.sum())
    assert found["nll"] == pytest.approx(-parts @ np.log([0.7, 0.3, 0.6]) / parts.sum(), rel=1e-5)


@on_tensorflow_alone
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_figures_of_several_targets_are_of_their_mean_square_and_of_all_their_nats(weights):
    mean, y = np.array([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]]), np.array([[0.0, 4.0], [1.0, 2.0], [0.0, 0.0]])
    found = figures_of(summary_of(mean[np.newaxis], bnn.likelihoods.Normal(scale=2.0), y), y, weights)
    parts = np.ones(3) if weights is None else weights
    assert found["rmse"] == pytest.approx(np.sqrt(parts @ [8, 0, 4.5] / parts.sum()))
    of_each = np.array([16, 0, 9]) / 8 + 2 * np.log(2 * np.sqrt(2 * np.pi))
    assert found["nll"] == pytest.approx(parts @ of_each / parts.sum(), rel=1e-5)
