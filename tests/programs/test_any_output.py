"""Networks whose outputs have positions: labels of time steps, classes of pixels, numbers of pixels."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import layers, likelihoods

RNG = np.random.default_rng(0)
NATS = ("entropy", "expected_entropy", "mutual_information")
STDDEVS = ("stddev", "epistemic_stddev", "aleatoric_stddev")
CASES = {
    "time steps": (likelihoods.Categorical(), (5,), RNG.integers(0, 4, (6, 5)), ("mean", *NATS, *STDDEVS)),
    "pixels": (likelihoods.Categorical(), (3, 2), RNG.integers(0, 4, (6, 3, 2)), ("mean", *NATS, *STDDEVS)),
    "numbers": (likelihoods.Normal(), (3, 2), RNG.normal(size=(6, 3, 2, 2)), ("mean", *STDDEVS)),
    "counts": (likelihoods.Poisson(), (5,), RNG.poisson(2.0, (6, 5, 4)), ("mean", *STDDEVS)),
}


def dense_model(likelihood):
    model = keras.Sequential([keras.Input((None, 3)), layers.DenseFlipout(4)])
    model.compile("sgd", likelihood)
    return model


@pytest.fixture(scope="module", params=CASES)
def case(request):
    """The predictive of outputs with positions, and that of the same numbers, each position an input."""
    likelihood, positions, y, statistics = CASES[request.param]
    model = keras.Sequential([keras.Input((*positions, 3)), layers.DenseFlipout(4)])
    rows = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(4)])
    rows(np.zeros((1, 3)))
    rows.set_weights(model.get_weights())
    x = RNG.normal(size=(6, *positions, 3)).astype("float32")
    arguments = {"num_draws": 7, "likelihood": likelihood, "seed": 3, "verbose": False}
    flat = x.reshape(-1, 3)
    pairs = [(ask(model, x, **arguments), ask(rows, flat, **arguments)) for ask in (bnn.predict,)]
    y_of_rows = y.reshape(-1, *y.shape[1 + len(positions) :])
    summaries = bnn.summarize(model, x, y, **arguments), bnn.summarize(rows, flat, y_of_rows, **arguments)
    return positions, y, y_of_rows, statistics, [*pairs, summaries]


@pytest.mark.jax_if_thorough
def test_each_position_is_predicted_as_a_row_of_its_own(case):
    positions, y, y_of_rows, statistics, pairs = case
    for of_positions, of_rows in pairs:
        assert of_positions.shape_of_targets == (6, *positions)
        assert len(of_positions) == 6
        for name in statistics:
            expected = np.asarray(getattr(of_rows, name)())
            found = np.asarray(getattr(of_positions, name)())
            np.testing.assert_allclose(
                found, expected.reshape(6, *positions, *expected.shape[1:]), rtol=1e-5, atol=1e-6
            )
        table, expected = of_positions.to_frame(), of_rows.to_frame()
        np.testing.assert_allclose(table[expected.columns], expected, rtol=1e-4, atol=1e-5)
        assert table.input.tolist() == np.repeat(range(6), np.prod(positions)).tolist()
    (predictive, rows), (summary, _) = pairs
    np.testing.assert_allclose(predictive.log_prob(y).ravel(), rows.log_prob(y_of_rows), rtol=1e-5)
    np.testing.assert_allclose(summary.log_prob().ravel(), rows.log_prob(y_of_rows), rtol=1e-4)


@on_tensorflow_alone
def test_what_takes_predictions_takes_positions_or_says_so(case):
    positions, y, y_of_rows, _, ((predictive, rows), _) = case
    if predictive.likelihood.target_kind == "classes":
        for rule in ({"cutoff": 0.4}, {"coverage": 0.3}, {"entropy": 1.2}):
            assert predictive.decide(**rule).tolist() == rows.decide(**rule).reshape(6, *positions).tolist()
        assert bnn.calibrate_temperature(predictive, y) == pytest.approx(bnn.calibrate_temperature(rows, y_of_rows))
        for figure in (bnn.metrics.expected_calibration_error, bnn.metrics.brier_score):
            assert figure(predictive.mean(), y) == pytest.approx(figure(rows.mean(), y_of_rows))
        with pytest.raises(ValueError, match=r"independent inputs.*choose one of each input.*Received: Predictive"):
            bnn.calibrate_cutoff(predictive, y)
        with pytest.raises(
            ValueError, match=r"without positions.*as_rows.*Received: Predictive\(7 draws for 6 inputs of"
        ):
            bnn.plots.reliability({"all": predictive}, {"all": y})
    else:
        quantiles = predictive.quantiles((0.1, 0.9))
        np.testing.assert_allclose(quantiles.reshape(2, len(rows), -1), rows.quantiles((0.1, 0.9)), rtol=1e-6)
    log_prob = np.asarray(predictive.distribution().log_prob(y.astype("int32" if y.dtype == int else "float32")))
    np.testing.assert_allclose(log_prob, predictive.log_prob(y), rtol=1e-4)


VOCABULARY = 9
WORDS = np.array([[3, 4, 5, 0, 0], [6, 7, 0, 0, 0], [1, 2, 3, 4, 5]])
TAGS = np.where(WORDS > 0, WORDS % 3, -1)


@pytest.fixture(scope="module")
def tagger():
    model = keras.Sequential(
        [
            keras.layers.Embedding(VOCABULARY, 4, mask_zero=True),
            layers.LSTM(5, return_sequences=True),
            layers.DenseFlipout(3),
        ]
    )
    model.compile("adam", likelihoods.Categorical())
    model.fit(WORDS, np.maximum(TAGS, 0), epochs=2, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
    return model


def test_padding_counts_nowhere(tagger):
    predictive = bnn.predict(tagger, WORDS, 6, seed=1, verbose=False)
    assert predictive.mask.tolist() == (WORDS > 0).tolist()
    log_prob = predictive.log_prob(TAGS)
    assert (log_prob[WORDS == 0] == 0).all()
    assert (log_prob[WORDS > 0] < 0).all()
    rows, tags = predictive.as_rows(), predictive.rows_of(TAGS)
    assert len(rows) == len(tags) == 10
    np.testing.assert_allclose(rows.log_prob(tags), log_prob[WORDS > 0], rtol=1e-5)
    assert (predictive.decide(cutoff=0.0, abstain=-7)[WORDS == 0] == -7).all()
    assert (predictive.decide(coverage=0.5) >= 0).sum() == 5
    assert len(predictive.to_frame()) == 10
    assert predictive[:1].mask.tolist() == [[True, True, True, False, False]]
    figures = bnn.evaluate(tagger, WORDS, TAGS, 6, seed=1, verbose=False)
    assert figures["nll"] == pytest.approx(-rows.log_prob(tags).mean(), rel=1e-4)
    assert figures["accuracy"] == pytest.approx((rows.mean().argmax(axis=-1) == tags).mean())


@on_tensorflow_alone
def test_weights_of_positions_count_as_a_mask_does(tagger):
    figures = bnn.evaluate(tagger, WORDS, TAGS, 6, seed=1, verbose=False)
    weights = np.random.default_rng(1).uniform(1, 2, WORDS.shape)
    weighted = bnn.evaluate(tagger, WORDS, TAGS, 6, sample_weight=weights, seed=1, verbose=False)
    log_prob = bnn.predict(tagger, WORDS, 6, seed=1, verbose=False).log_prob(TAGS)
    assert weighted["nll"] == pytest.approx(-(weights * log_prob).sum() / weights[WORDS > 0].sum(), rel=1e-4)
    assert weighted["nll"] != pytest.approx(figures["nll"])
    for wrong in (np.ones(2), -np.ones(3), np.ones((3, 4))):
        with pytest.raises(ValueError, match=r"sample_weight.*Received: shape"):
            bnn.evaluate(tagger, WORDS, TAGS, 6, sample_weight=wrong, verbose=False)
    with pytest.raises(ValueError, match=r"add up to 0"):
        bnn.evaluate(tagger, WORDS, TAGS, 6, sample_weight=np.zeros(3), verbose=False)


@on_tensorflow_alone
@pytest.mark.parametrize("mask", [np.ones((3, 2), bool), np.ones((2, 4), bool), np.ones((2, 3))])
def test_a_mask_that_does_not_fit_is_an_error(mask):
    with pytest.raises(ValueError, match=r"`mask` must be bool of shape \(2, 3\).*Received"):
        bnn.Predictive(np.zeros((5, 2, 3, 4)), likelihoods.Categorical(), mask)


def test_outputs_without_a_last_axis_get_one_clear_error():
    model = keras.Sequential([keras.Input((2,)), layers.DenseFlipout(1), keras.layers.Reshape(())])
    with pytest.raises(ValueError, match=r"must be \[n, outputs\].*Received: outputs of shape \((None|3),\)"):
        bnn.predict(model, np.zeros((3, 2)), 2, likelihood=likelihoods.Normal(), verbose=False)
