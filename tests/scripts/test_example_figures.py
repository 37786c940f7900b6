"""Figures of the short examples, on predictions where they are known."""

import argparse

import keras
import numpy as np
import pytest
from scipy import stats

import tfp_bnn as bnn
from scripts import first_tables, forecast, last_layer, regression, regression_curve, tabular, train_mlp
from scripts.common import reporting
from scripts.data import uci_data
from scripts.learning.table_contenders import CONTENDERS, Answer
from tests.scripts import oracles
from tests.support.on_backends import on_tensorflow_alone

pytestmark = on_tensorflow_alone

# Targets at the quantiles of a standard normal: no chance is left in shares of them.
NORMAL = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)[:, np.newaxis]


def standard_normal(*shape):
    return bnn.Predictive(np.zeros((1, *shape)), bnn.likelihoods.Normal(scale=1.0))


def test_intervals_of_the_table_are_in_the_units_of_the_targets():
    standard = tabular.Standardizer(np.array([[40.0], [60.0]]))
    np.testing.assert_allclose(standard.apply(np.array([[70.0]])), [[2.0]])
    found = tabular.figures(standard_normal(1000, 1), NORMAL, standard)
    assert found["in 50 % interval"] == pytest.approx(0.5, abs=2e-3)
    assert found["in 90 % interval"] == pytest.approx(0.9, abs=2e-3)
    assert found["width of 90 %"] == pytest.approx(10 * 2 * stats.norm.ppf(0.95), rel=1e-4)
    assert found["rmse"] == pytest.approx(10, rel=0.01)
    assert found["nats"] == pytest.approx(stats.norm(scale=10).logpdf(10 * NORMAL).mean(), rel=1e-4)


def test_forecasts_are_measured_apart_where_the_noise_is_strong():
    y = np.hstack([0.5 * NORMAL, 2 * NORMAL])
    stddev = np.broadcast_to([0.1, 0.3], y.shape)
    found = forecast.figures(standard_normal(1000, 2), y, stddev)
    for name, scales in (("all values", (0.5, 2.0)), ("noise of 0.1", (0.5,)), ("noise of 0.3", (2.0,))):
        row = found[name]
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean(np.square(scales))), rel=0.01)
        inside = np.mean([2 * stats.norm.cdf(stats.norm.ppf(0.95) / scale) - 1 for scale in scales])
        assert row["in 90 % interval"] == pytest.approx(inside, abs=2e-3)
        assert row["width of 50 %"] == pytest.approx(2 * stats.norm.ppf(0.75), rel=1e-4)


def test_the_noise_of_the_series_is_three_times_as_strong_above():
    series, signal, stddev = forecast.make_series(60_000, seed=0)
    for noise in (0.1, 0.3):
        assert (series - signal)[stddev == noise].std() == pytest.approx(noise, rel=0.05)
    assert np.corrcoef(stddev, np.sin(2 * np.pi * np.arange(60_000) / 60))[0, 1] > 0.8


def test_doubt_about_turned_digits_is_beside_that_about_the_others():
    known, turned = oracles.of_confidence([0.99, 0.9, 0.7]), oracles.of_confidence([0.8, 0.5])
    found = last_layer.figures(known, np.array([0, 0, 1]), turned)
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["entropy, turned"] == pytest.approx((stats.entropy([0.8, 0.2]) + np.log(2)) / 2, rel=1e-5)
    assert found["auroc, turned"] == pytest.approx(5 / 6)


def test_a_contender_is_measured_by_its_answer(monkeypatch):
    answer = Answer(
        mean=np.array([1.0, 2.0]), log_prob=np.array([-1.0, -3.0]), low=np.array([0.0, 1.0]), high=np.array([2.0, 5.0])
    )
    monkeypatch.setitem(CONTENDERS, "plain network", lambda rows, tail, seed: answer)
    y = np.array([1.0, 6.0])
    found = first_tables.measure("plain network", first_tables.Rows(None, None, None, y), seed=0)
    del found["seconds"]
    assert found == pytest.approx({"nll": 2, "rmse": np.sqrt(8), "coverage": 0.5, "width": 3})


def test_rows_of_a_table_are_those_of_the_split_in_their_units():
    order = np.random.default_rng(0).permutation(50)
    data = uci_data.RegressionSet(np.arange(50.0)[:, None], 10 * np.arange(50.0), order[None, :40], order[None, 40:])
    rows = first_tables.rows_of(data, 0, validate=False)
    np.testing.assert_array_equal(rows.x_test[:, 0], order[40:])
    np.testing.assert_array_equal(rows.y_test, 10 * order[40:])
    to_validate = first_tables.rows_of(data, 0, validate=True)
    assert len(to_validate.y_test) == 8
    assert sorted([*to_validate.y_train, *to_validate.y_test]) == sorted(rows.y_train)


X = np.linspace(-1.5, 1.5, 301)[:, np.newaxis]


def of_curves(*curves):
    return bnn.Predictive(np.stack(curves).astype("float64"), bnn.likelihoods.Normal(scale=1.0))


def test_the_regression_compares_the_doubt_beyond_the_data_with_that_among_them():
    # Two curves that lie 1 to either side of the mean among the data, 3 beyond; the mean is 0.5 too high.
    distance = np.where(np.abs(X) < 0.75, 1.0, 3.0)
    mean = regression.sinusoid(X) + 0.5
    found = regression.figures(X, of_curves(mean - distance, mean + distance))
    expected = {"epistemic_stddev_inside": 1, "epistemic_stddev_outside": 3, "ratio": 3, "rmse_inside": 0.5}
    assert found == pytest.approx(expected, rel=1e-4)
    x, y = regression.make_data(seed=0)
    assert (y - regression.sinusoid(x)).std() == pytest.approx(regression.NOISE_STDDEV, rel=5 / np.sqrt(2 * len(x)))


def test_the_papers_regression_compares_interquartile_ranges():
    x = np.linspace(-0.2, 1.2, 281)[:, np.newaxis]
    distance = np.where(x < 0.6, 1.0, 5.0)
    curves = [step * distance for step in (-9, -1, 0, 1, 9)]  # the quartiles are -1 and 1
    assert regression_curve.interquartile_range(x, of_curves(*curves)) == pytest.approx({"inside": 2, "outside": 10})


def test_one_draw_of_a_perceptron_is_the_average_over_draws_and_all_together_are_one(monkeypatch):
    draws = [np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[0.3, 0.7], [0.8, 0.2]])]
    monkeypatch.setattr(bnn, "to_deterministic", lambda model: "mean weights")
    monkeypatch.setattr(reporting, "predict_plain", lambda model, x: oracles.of_confidence([0.95, 0.05]))
    monkeypatch.setattr(bnn, "predict", lambda model, x, num_draws, seed: oracles.of_classes(*draws))
    args = argparse.Namespace(method="bayes", num_draws=2, seed=0)
    found = train_mlp.evaluate(args, None, None, np.array([0, 0]))
    assert [found[name]["error_percent"] for name in ("mean_weights", "one_draw", "ensemble")] == [50, 50, 0]
    nats = [np.log([0.95, 0.05]), np.log([0.9, 0.4, 0.3, 0.8]), np.log([0.6, 0.6])]
    for name, expected in zip(("mean_weights", "one_draw", "ensemble"), nats, strict=True):
        assert found[name]["nll"] == pytest.approx(-expected.mean(), rel=1e-5)


def test_a_perceptron_drops_a_fifth_of_the_inputs_and_half_of_the_hidden_units():
    layers = train_mlp.plain_layers(argparse.Namespace(method="dropout"), [5, 5, 3])
    assert [layer.rate for layer in layers if isinstance(layer, keras.layers.Dropout)] == [0.2, 0.5, 0.5]
    dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
    assert [layer.activation.__name__ for layer in dense] == ["relu", "relu", "linear"]
    assert len(train_mlp.plain_layers(argparse.Namespace(method="sgd"), [5, 5, 3])) == 3
