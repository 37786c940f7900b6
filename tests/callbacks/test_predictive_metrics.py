"""The predictive distribution's own figures, in `fit` and by `evaluate`."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED


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
