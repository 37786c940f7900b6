"""What a prediction takes as inputs, and what it says of the rest."""

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, on_tensorflow_alone
from tfp_bnn import layers, likelihoods
from tfp_bnn.prediction.inputs import arrays_for

pytestmark = on_tensorflow_alone

NORMAL = likelihoods.Normal(scale=1.0)
ROWS = np.arange(12, dtype="float32").reshape(3, 4)


@pytest.fixture(scope="module")
def one_input():
    return keras.Sequential([keras.Input((4,)), layers.DenseFlipout(1)])


@pytest.fixture(scope="module")
def two_inputs():
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    return keras.Model([left, right], layers.DenseFlipout(1)(keras.layers.Concatenate()([left, right])))


@pytest.mark.parametrize(
    "x",
    [
        ROWS.tolist(),
        tuple(map(tuple, ROWS.tolist())),
        pd.DataFrame(ROWS),
        [ROWS],
        (ROWS,),
        [pd.DataFrame(ROWS)],
        keras.ops.convert_to_tensor(ROWS),
    ],
)
def test_rows_are_rows_however_they_come(one_input, x):
    arguments = {"num_draws": 2, "likelihood": NORMAL, "seed": 1, "verbose": False}
    expected = bnn.predict(one_input, ROWS, **arguments).outputs
    np.testing.assert_array_equal(bnn.predict(one_input, x, **arguments).outputs, expected)


def test_arrays_by_name_or_in_order_come_to_their_inputs(two_inputs, one_input):
    left, right = ROWS, ROWS[:, :2]
    for x in ([left, right], (left, pd.DataFrame(right)), {"right": right, "left": left, "also": right}):
        arrays = arrays_for(two_inputs, x)
        assert [array.shape for array in arrays] == [(3, 4), (3, 2)]
    np.testing.assert_array_equal(arrays_for(one_input, {one_input.inputs[0].name: ROWS}), ROWS)


def test_a_series_and_a_column_are_inputs_of_one_feature():
    model = keras.Sequential([keras.Input((1,)), layers.DenseFlipout(1)])
    for x in (pd.Series([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0], np.array([1, 2, 3])):
        assert bnn.predict(model, x, 2, likelihood=NORMAL, verbose=False).outputs.shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (scipy.sparse.csr_matrix(ROWS), r"write x\.toarray\(\)\. Received: csr_matrix"),
        (scipy.sparse.coo_array(ROWS), r"write x\.toarray\(\)\. Received: coo_array"),
        (ROWS[0], r"batch axis: write x\[None\] .*Received: shape \(4,\)"),
        (ROWS[0].tolist(), r"batch axis: write x\[None\]"),
        ([[1.0, 2.0], [3.0]], "rows are of different lengths.*Received: 2 rows"),
        (pd.DataFrame({"a": ["x", "y"], "b": [1, 2]}), "numbers of one dtype.*Received: DataFrame of dtype object"),
        ([ROWS, ROWS], r"one array for each input.* 1\. Of a list of batches .*np\.concatenate.*Received: 2 arrays"),
        ((ROWS, ROWS, ROWS), "Received: 3 arrays"),
        (list(ROWS), r"of rows, np\.stack\(x\)\. Received: 3 arrays"),
        ({"a": ROWS, "b": ROWS}, "missing: .*Received: 'a', 'b'"),
        (np.zeros((0, 4)), "at least one input"),
    ],
)
@pytest.mark.parametrize("ask", [bnn.predict, bnn.summarize])
def test_what_is_not_taken_gets_one_clear_error(one_input, ask, x, message):
    with pytest.raises(ValueError, match=message):
        ask(one_input, x, num_draws=2, likelihood=NORMAL, verbose=False)


def test_tensors_of_tensorflow_get_one_clear_error(one_input):
    if not TENSORFLOW:
        pytest.skip("needs TensorFlow alone")
    import tensorflow as tf

    sparse, ragged = tf.sparse.from_dense(ROWS), tf.ragged.constant([[1.0], [2.0, 3.0]])
    for x, message in (
        (sparse, r"tf\.sparse\.to_dense\(x\)"),
        (ragged, r"x\.to_tensor\(\)"),
    ):
        with pytest.raises(ValueError, match=message):
            arrays_for(one_input, x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (ROWS, "of which there are 2. Received: 1 arrays"),
        ([ROWS] * 3, "Received: 3 arrays"),
        ({"left": ROWS, "rihgt": ROWS}, "'left', 'right'; missing: 'right'. Received: 'left', 'rihgt'"),
        ([ROWS, ROWS[:2, :2]], "as many in each array"),
    ],
)
def test_a_model_of_two_inputs_wants_an_array_for_each(two_inputs, x, message):
    with pytest.raises(ValueError, match=message):
        arrays_for(two_inputs, x)


def test_one_output_may_be_in_a_list_or_a_dict():
    entry = keras.Input((4,))
    head = layers.DenseFlipout(1, name="head", kl_weight=0.1)(entry)
    for outputs, loss in (([head], [NORMAL]), ({"out": head}, {"out": NORMAL}), ([head], NORMAL)):
        model = keras.Model(entry, outputs)
        model.compile("sgd", loss)
        predictive, summary = (ask(model, ROWS, num_draws=2, verbose=False) for ask in (bnn.predict, bnn.summarize))
        bnn.evaluate(model, ROWS, ROWS[:, 0], num_draws=2, verbose=False)
        if isinstance(outputs, dict):
            predictive, summary = predictive["out"], summary["out"]
        assert predictive.outputs.shape == (2, 3, 1)
        assert len(summary) == 3


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (keras.losses.MeanSquaredError(), "loss=MeanSquaredError"),
        (keras.losses.mean_absolute_error, "loss=mean_absolute_error"),
        (["mse"], "loss='mse'"),
    ],
)
def test_a_loss_that_is_no_likelihood_is_named(loss, message):
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(1)])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=f"needs a likelihood: .*{message}"):
        bnn.predict(model, ROWS, verbose=False)
