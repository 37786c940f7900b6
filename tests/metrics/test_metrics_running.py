"""Keras metrics: the values of the array functions, whatever the batches; in `fit`, in `evaluate` and after loading."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, UNCOMPILED
from tfp_bnn import metrics

N = 103
CLASSES = 4

# Each: the metric, and the function of probabilities and labels that it accumulates.
METRICS = {
    "negative_log_likelihood": (metrics.NegativeLogLikelihood, metrics.negative_log_likelihood),
    "brier_score": (metrics.BrierScore, metrics.brier_score),
    "expected_calibration_error": (metrics.ExpectedCalibrationError, metrics.expected_calibration_error),
}
all_metrics = pytest.mark.parametrize("name", METRICS)


def softmax(logits):
    exponentials = np.exp(logits.astype("float64") - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def data(num_examples=N):
    rng = np.random.default_rng(0)
    logits = 2 * rng.normal(size=(num_examples, CLASSES)).astype("float32")
    return logits, rng.integers(CLASSES, size=num_examples)


def expected_values(logits, labels):
    return {name: function(softmax(logits), labels) for name, (_, function) in METRICS.items()}


def instances():
    return [metric() for metric, _ in METRICS.values()]


def update(metric, labels, logits, batch_size, weights=None):
    for start in range(0, len(labels), batch_size):
        batch = slice(start, start + batch_size)
        metric.update_state(labels[batch], logits[batch], None if weights is None else weights[batch])
    return float(metric.result())


def bayesian_layers():
    """Returns layers whose draws differ by nearly nothing: evaluation and prediction then see the same outputs."""
    arguments = {
        "posterior": bnn.posteriors.MeanFieldNormal(1e-7, mean_initializer="glorot_uniform"),
        "kl_weight": 1 / N,
    }
    return [
        keras.Input((CLASSES,)),
        bnn.layers.DenseFlipout(8, activation="relu", **arguments),
        bnn.layers.DenseReparameterization(CLASSES, **arguments),
    ]


# Beside the array functions


@all_metrics
# The last batch of three, of one, and whole. JAX compiles each operation for each size.
@pytest.mark.parametrize("batch_size", [20, *(pytest.param(n, marks=pytest.mark.jax_if_thorough) for n in (N - 1, N))])
def test_the_value_is_that_of_the_function_whatever_the_batches_are(name, batch_size):
    logits, labels = data()
    metric, function = METRICS[name]
    expected = function(softmax(logits), labels)
    for y in (labels, labels[:, np.newaxis], labels.astype("float32")):
        assert update(metric(), y, logits, batch_size) == pytest.approx(expected, abs=1e-5)


@all_metrics
def test_many_examples_are_summed_without_loss(name):
    logits, labels = data(60_000)
    metric, function = METRICS[name]
    assert update(metric(), labels, logits, 1000) == pytest.approx(function(softmax(logits), labels), abs=1e-5)


@pytest.mark.jax_if_thorough
@pytest.mark.parametrize("num_bins", [1, 10, 15, 100])
def test_the_calibration_error_has_the_bins_it_is_given(num_bins):
    logits, labels = data(1000)
    error = update(metrics.ExpectedCalibrationError(num_bins), labels, logits, 300)
    expected = metrics.expected_calibration_error(softmax(logits), labels, num_bins)
    assert error == pytest.approx(expected, abs=1e-5)


@pytest.mark.jax_if_thorough
@pytest.mark.parametrize("probabilities", [[0.2, 0.8], [0.4, 0.6], [1 / 3] * 3, [0.1, 0.2, 0.2, 0.5], [1.0, 0.0]])
def test_equal_confidences_at_the_edge_of_a_bin_stay_together(probabilities):
    # Of calibrated predictions, so that the gaps of two parts of a bin would differ in sign.
    labels = np.random.default_rng(0).choice(len(probabilities), size=501, p=probabilities)
    # Logits that differ by a constant have the same softmax, but for the rounding.
    logits = np.log(np.maximum(probabilities, 1e-30)) + np.linspace(-20, 20, 501)[:, np.newaxis]
    for num_bins in (10, 15):
        expected = metrics.expected_calibration_error(np.tile(probabilities, (501, 1)), labels, num_bins)
        error = update(metrics.ExpectedCalibrationError(num_bins), labels, logits, 100)
        assert error == pytest.approx(expected, abs=1e-5)


@all_metrics
def test_whole_weights_count_an_example_as_often(name):
    logits, labels = data()
    weights = np.arange(N) % 4
    expected = METRICS[name][1](softmax(np.repeat(logits, weights, axis=0)), np.repeat(labels, weights))
    for of_shape in (weights, weights[:, np.newaxis]):
        for scale in (1.0, 0.1):
            value = update(METRICS[name][0](), labels, logits, 20, scale * of_shape)
            assert value == pytest.approx(expected, abs=1e-5)


@all_metrics
def test_a_reset_forgets_and_no_examples_have_the_value_0(name):
    logits, labels = data()
    metric = METRICS[name][0]()
    assert float(metric.result()) == 0
    expected = update(metric, labels, logits, 20)
    update(metric, labels[::-1], logits, 20)
    metric.reset_state()
    assert float(metric.result()) == 0
    assert update(metric, labels, logits, 20) == expected


@all_metrics
def test_sure_logits_have_finite_values(name):
    metric, labels = METRICS[name][0](), np.array([0, 1, 0, 1])
    metric.update_state(labels, np.array([[1e4, 0.0]] * 4, "float32"))
    expected = {"negative_log_likelihood": 5e3, "brier_score": 1.0, "expected_calibration_error": 0.5}
    assert float(metric.result()) == pytest.approx(expected[name])


@all_metrics
def test_logits_in_half_precision_are_summed_in_single(name):
    logits, labels = data(10_000)
    rounded = keras.ops.cast(logits, "bfloat16")
    exact = keras.ops.convert_to_numpy(keras.ops.cast(rounded, "float32"))
    metric, function = METRICS[name]
    assert update(metric(), labels, rounded, 1000) == pytest.approx(function(softmax(exact), labels), abs=1e-5)


@pytest.mark.parametrize("scale", [0.5, None])
def test_the_likelihood_may_be_another(scale):
    likelihood = bnn.likelihoods.Normal(scale)
    outputs, y = data()[0], np.random.default_rng(1).normal(size=(N, CLASSES if scale else CLASSES // 2))
    expected = -np.mean(keras.ops.convert_to_numpy(likelihood.log_prob(outputs, y)), dtype="float64")
    value = update(metrics.NegativeLogLikelihood(likelihood), y.astype("float32"), outputs, 20)
    assert value == pytest.approx(expected, rel=1e-5)


# In models


@pytest.mark.parametrize("shape", [(N,), (N, 1)])
def test_evaluation_has_the_values_of_the_functions(shape):
    x, y = data()
    model = keras.Sequential(bayesian_layers())
    model.compile(loss=bnn.likelihoods.Categorical(), metrics=instances(), **UNCOMPILED)
    expected = expected_values(model.predict(x, batch_size=N, verbose=0), y)
    for batch_size in (20, N):
        result = model.evaluate(x, y.reshape(shape), batch_size=batch_size, verbose=0, return_dict=True)
        assert {name: result[name] for name in METRICS} == pytest.approx(expected, abs=1e-5)


def test_weighted_evaluation_counts_weights():
    x, y = data()
    weights = np.arange(N) % 3
    model = keras.Sequential(bayesian_layers())
    model.compile(loss=bnn.likelihoods.Categorical(), weighted_metrics=instances(), **UNCOMPILED)
    logits = model.predict(x, batch_size=N, verbose=0)
    expected = expected_values(np.repeat(logits, weights, axis=0), np.repeat(y, weights))
    result = model.evaluate(x, y, sample_weight=weights, batch_size=20, verbose=0, return_dict=True)
    assert {name: result[name] for name in METRICS} == pytest.approx(expected, abs=1e-5)


def test_training_logs_the_values_of_each_epoch_alone():
    x, y = data()
    model = keras.Sequential(bayesian_layers())
    # No step is taken, so that the outputs are known.
    model.compile(keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical(), metrics=instances(), **UNCOMPILED)
    expected = expected_values(model.predict(x, batch_size=N, verbose=0), y)
    history = model.fit(x, y, batch_size=20, epochs=2, validation_data=(x, y), verbose=0).history
    for name, value in expected.items():
        assert history[name] == pytest.approx([value, value], abs=1e-5)
        assert history[f"val_{name}"] == pytest.approx([value, value], abs=1e-5)


@pytest.mark.parametrize("name", ["Categorical", "Normal"])
def test_in_a_training_with_noise_the_negative_log_likelihood_is_the_first_half_of_the_loss(name):
    x, labels = data()
    likelihood, y = getattr(bnn.likelihoods, name)(), {"Categorical": labels, "Normal": x[:, :2]}[name]
    model = keras.Sequential([keras.Input((CLASSES,)), bnn.layers.DenseFlipout(CLASSES)])
    model.compile(
        keras.optimizers.Adam(0.01), likelihood, metrics=[metrics.NegativeLogLikelihood(likelihood)], **UNCOMPILED
    )
    callback = bnn.callbacks.KLWeight(num_examples=N)
    history = model.fit(x, y, batch_size=20, epochs=3, verbose=0, callbacks=[callback]).history
    assert history["negative_log_likelihood"] == pytest.approx(history["nll"], rel=1e-5)
    assert len(set(history["nll"])) == 3


def test_a_saved_model_is_loaded_with_its_metrics(tmp_path):
    x, y = data()
    model = keras.Sequential(bayesian_layers())
    ours = [metrics.ExpectedCalibrationError(7, name="ece"), metrics.BrierScore(), metrics.NegativeLogLikelihood()]
    model.compile("sgd", loss=bnn.likelihoods.Categorical(), metrics=ours, **UNCOMPILED)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(before, abs=1e-5)
    assert before["ece"] == pytest.approx(
        metrics.expected_calibration_error(softmax(model.predict(x, batch_size=N, verbose=0)), y, 7), abs=1e-5
    )


def test_a_saved_regression_is_loaded_with_its_likelihood(tmp_path):
    x, _ = data()
    model = keras.Sequential(bayesian_layers())
    # The loss says nothing of the likelihood here.
    ours = metrics.NegativeLogLikelihood(bnn.likelihoods.Normal(0.3))
    model.compile("sgd", loss="mse", metrics=[ours], **UNCOMPILED)
    before = model.evaluate(x, x, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.evaluate(x, x, verbose=0, return_dict=True) == pytest.approx(before, rel=1e-5)


@all_metrics
def test_early_stopping_knows_that_less_is_better(name):
    x, y = data()
    model = keras.Sequential(bayesian_layers())
    model.compile(
        keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical(), metrics=[METRICS[name][0]()], **UNCOMPILED
    )
    stopping = keras.callbacks.EarlyStopping(f"val_{name}")
    model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0, callbacks=[stopping])
    assert stopping._is_improvement(1.0, 2.0)
    assert not stopping._is_improvement(2.0, 1.0)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX always compiles with XLA")
@all_metrics
def test_the_value_is_the_same_compiled_with_xla(name):
    logits, labels = data()
    metric, function = METRICS[name]
    ours = metric()

    @tf.function(jit_compile=True, autograph=False)
    def step(y, outputs):
        ours.update_state(y, outputs)

    step(tf.constant(labels), tf.constant(logits))
    assert float(ours.result()) == pytest.approx(function(softmax(logits), labels), abs=1e-5)


# Configs and errors


@pytest.mark.parametrize(
    "metric",
    [
        metrics.ExpectedCalibrationError(7, name="ece"),
        metrics.BrierScore(name="brier"),
        metrics.NegativeLogLikelihood(),
        metrics.NegativeLogLikelihood(bnn.likelihoods.Normal(0.3), name="nats"),
    ],
    ids=lambda metric: metric.name,
)
def test_a_metric_is_the_same_after_its_config(metric):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    for copy in (again, type(metric).from_config(metric.get_config())):
        assert type(copy) is type(metric)
        assert copy.get_config() == metric.get_config()
        x, y = data()
        y = x if "Normal" in str(metric.get_config()) else y
        assert update(copy, y, x, 20) == update(type(metric).from_config(metric.get_config()), y, x, 20)


@pytest.mark.parametrize("name", ["brier_score", "expected_calibration_error"])
@pytest.mark.parametrize("label", [-1, CLASSES])
def test_a_label_out_of_range_makes_the_value_not_a_number(name, label):
    logits, labels = data()
    metric = METRICS[name][0]()
    metric.update_state(np.r_[label, labels[1:]], logits)
    assert np.isnan(float(metric.result()))


@all_metrics
def test_logits_that_are_not_numbers_make_the_value_not_a_number(name):
    logits, labels = data()
    metric = METRICS[name][0]()
    logits[5] = np.nan
    metric.update_state(labels, logits)
    assert np.isnan(float(metric.result()))


@pytest.mark.parametrize("name", ["brier_score", "expected_calibration_error"])
@pytest.mark.parametrize(
    ("labels", "logits", "received"),
    [
        ((5, 4), (5, 4), r"\(5, 4\) and \(5, 4\)"),
        ((5,), (5, 1, 4), r"\(5,\) and \(5, 1, 4\)"),
        ((5, 1, 1), (5, 4), r"\(5, 1, 1\) and \(5, 4\)"),
        ((5, 1), (5, 1), r"\(5, 1\) and \(5, 1\)"),
    ],
)
def test_shapes_that_do_not_fit_get_one_clear_error(name, labels, logits, received):
    with pytest.raises(ValueError, match=f"Received: {received}$"):
        METRICS[name][0]().update_state(np.zeros(labels, int), np.zeros(logits, "float32"))


def test_a_constructors_argument_out_of_range_gets_one_clear_error():
    with pytest.raises(ValueError, match="Received: num_bins=0"):
        metrics.ExpectedCalibrationError(0)
    with pytest.raises(ValueError, match="Received: likelihood='categorical'"):
        metrics.NegativeLogLikelihood("categorical")
