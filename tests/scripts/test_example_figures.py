"""Figures of the short examples, on predictions where they are known."""

import numpy as np
import pytest
from scipy import stats

import tfp_bnn as bnn
from scripts import first_tables, forecast, last_layer, tabular
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
