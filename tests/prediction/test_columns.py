"""Predictions of one target meet targets [n]: an error, and never all pairs."""

import copy
import pickle

import keras
import numpy as np
import pandas as pd
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import likelihoods
from tfp_bnn.prediction.columns import Column, column

pytestmark = on_tensorflow_alone

N = 5
Y = np.arange(float(N))
OUTPUTS = np.random.default_rng(0).normal(size=(7, N, 1)).astype("float32")
PREDICTIVE = bnn.Predictive(OUTPUTS, likelihoods.Normal(1.0))
AVERAGES = bnn.prediction.averages.average_over_draws([OUTPUTS], likelihoods.Normal(1.0))
SUMMARY = bnn.prediction.summary.PredictiveSummary(AVERAGES, 7, likelihoods.Normal(1.0))
COLUMNS = {
    "mean": PREDICTIVE.mean,
    "draws": lambda: PREDICTIVE.draws,
    "stddev": PREDICTIVE.stddev,
    "epistemic_stddev": PREDICTIVE.epistemic_stddev,
    "aleatoric_stddev": PREDICTIVE.aleatoric_stddev,
    "quantiles": lambda: PREDICTIVE.quantiles((0.1, 0.9)),
    "mean of a summary": SUMMARY.mean,
    "stddev of a summary": SUMMARY.stddev,
    "rows": lambda: PREDICTIVE.mean()[:N],
}
NO_PAIRS = r"write `y\[..., None\]` .* Received: shapes \(.*5, 1\) and \(5,\)"


@pytest.mark.parametrize("name", COLUMNS)
def test_a_prediction_beside_flat_targets_is_an_error_and_beside_columns_none(name):
    values = COLUMNS[name]()
    for y in (Y, Y.tolist(), tuple(Y), pd.Series(Y), keras.ops.convert_to_tensor(Y)):
        with pytest.raises(ValueError, match=NO_PAIRS):
            values - y
    for other in (lambda: Y - values, lambda: Y.tolist() - values, lambda: values > Y, lambda: np.isclose(values, Y)):
        with pytest.raises(ValueError, match=NO_PAIRS):
            other()
    for errors in (values - Y[:, None], Y[:, None] - values, values - 1, values**2, -values, np.sqrt(np.abs(values))):
        assert type(errors) is np.ndarray
        assert errors.shape == values.shape
    for errors in (values[..., 0] - Y, values.squeeze(-1) - Y):
        assert errors.shape == values.shape[:-1]
    assert type(values[..., 0]) is np.ndarray


def test_targets_beside_draws_meet_the_right_axis_or_none():
    draws = column(np.zeros((N, N, 1)))  # As many draws as inputs.
    for y in (Y, np.zeros((N, N))):
        with pytest.raises(ValueError, match="Received: shapes"):
            draws - y
    assert (draws - Y[:, None]).shape == (N, N, 1)


def test_what_is_no_pair_is_left_to_numpy():
    values = column(np.zeros((N, 1)))
    assert (values - np.zeros(N + 1)).shape == (N, N + 1)  # a row of thresholds
    assert (Y @ values).shape == (1,)
    assert np.subtract.outer(values, Y).shape == (N, 1, N)
    assert (column(np.zeros((1, 1))) - np.zeros(1)).shape == (1, 1)
    assert type(column(np.zeros((N, 2)))) is np.ndarray
    assert (PREDICTIVE.mean().mean(), PREDICTIVE.mean().std()) == pytest.approx(
        (np.asarray(PREDICTIVE.mean()).mean(), np.asarray(PREDICTIVE.mean()).std())
    )


def test_targets_cannot_be_taken_from_a_column_in_place():
    values = PREDICTIVE.mean()
    with pytest.raises(ValueError, match=NO_PAIRS):
        values -= Y
    values -= Y[:, None]
    np.testing.assert_allclose(values, np.asarray(PREDICTIVE.mean()) - Y[:, None])


def test_a_column_goes_where_arrays_go():
    values = PREDICTIVE.mean()
    assert type(np.asarray(values)) is np.ndarray
    assert repr(values).startswith("array(")
    assert tuple(keras.ops.convert_to_tensor(values).shape) == (N, 1)
    assert pd.DataFrame({"mean": values[:, 0]}).shape == (N, 1)
    assert pd.DataFrame(values, columns=["mean"]).shape == (N, 1)
    for again in (pickle.loads(pickle.dumps(values)), copy.deepcopy(values)):
        assert isinstance(again, Column)
        np.testing.assert_array_equal(again, values)
    assert type(values[0, 0]) is np.float32


def test_classes_are_plain_arrays():
    predictive = bnn.Predictive(np.zeros((2, N, 3)), likelihoods.Categorical())
    assert type(predictive.mean()) is np.ndarray
