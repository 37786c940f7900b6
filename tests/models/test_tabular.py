"""A network for tables, in the units in which these come."""

import sys

import keras
import numpy as np
import pytest
import scipy.stats
import tensorflow_probability as tfp

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import likelihoods
from tfp_bnn.models.tabular import _in_rounds as in_rounds

RNG = np.random.default_rng(0)
X = RNG.uniform([0, -1e4], [100, 1e4], size=(300, 2))
SIGNAL = 1e6 + 2e4 * X[:, 0] - 50 * X[:, 1]
Y = SIGNAL + RNG.normal(scale=1e5, size=300)


@pytest.mark.parametrize("base", [likelihoods.Normal(), likelihoods.StudentT(5.0), likelihoods.Laplace(scale=0.5)])
def test_targets_in_units_are_standardized_ones_moved_and_stretched(base):
    outputs = RNG.normal(size=(4, 4 if base.scale is None else 2)).astype("float32")
    mean, stddev = np.array([[100.0, -3.0]]), np.array([[20.0, 0.5]])
    likelihood = likelihoods.InUnits(base)
    whole = np.concatenate([outputs, np.repeat(mean, 4, axis=0), np.repeat(stddev, 4, axis=0)], axis=1)
    whole = whole.astype("float32")
    z = RNG.normal(size=(4, 2)).astype("float32")
    y = (mean + stddev * z).astype("float32")
    numpy = keras.ops.convert_to_numpy
    expected = numpy(base.log_prob(outputs, z)) - np.log(stddev).sum()
    np.testing.assert_allclose(numpy(likelihood.log_prob(whole, y)), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(numpy(likelihood.mean(whole)), mean + stddev * numpy(base.mean(outputs)), rtol=1e-5)
    np.testing.assert_allclose(numpy(likelihood.variance(whole)), stddev**2 * numpy(base.variance(outputs)), rtol=1e-5)
    np.testing.assert_allclose(likelihood.cdf(whole, y), base.cdf(outputs, z), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(likelihood.quantile(whole, 0.9), mean + stddev * base.quantile(outputs, 0.9), rtol=1e-5)
    entropy = numpy(base.entropy(outputs)) + np.log(stddev).sum()
    np.testing.assert_allclose(numpy(likelihood.entropy(whole)), entropy, rtol=1e-4)
    loaded = keras.losses.deserialize(keras.losses.serialize(likelihood))
    np.testing.assert_allclose(numpy(loaded.log_prob(whole, y)), expected, rtol=1e-4, atol=1e-4)


@on_tensorflow_alone
def test_a_predictive_in_units_is_a_distribution_of_tfp():
    likelihood = likelihoods.InUnits(likelihoods.Normal(scale=0.1))
    predictive = bnn.Predictive(np.array([[[1.0, 200.0, 40.0]], [[-1.0, 200.0, 40.0]]]), likelihood)
    assert float(predictive.mean()[0, 0]) == 200.0
    expected = scipy.stats.norm([160.0, 240.0], 4.0).pdf(238.0).mean()
    assert predictive.log_prob([238.0])[0] == pytest.approx(np.log(expected), rel=1e-5)
    distribution = predictive.distribution()
    assert isinstance(distribution, tfp.distributions.Distribution)
    assert float(distribution.log_prob(np.array([[238.0]]))[0]) == pytest.approx(np.log(expected), rel=1e-5)


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    model = bnn.models.tabular(num_features=2, units=(20,))
    history = model.fit(X, Y, epochs=150, verbose=0).history
    return model, history


def test_numbers_are_learned_in_their_units_without_a_word_of_scales(trained, tmp_path):
    model, history = trained
    predictive = bnn.predict(model, X, 50, seed=1, verbose=False)
    error = np.sqrt(np.square(np.asarray(predictive.mean())[:, 0] - SIGNAL).mean())
    assert error < 0.5e5  # of a signal whose standard deviation is 6e5, beneath noise of 1e5
    low, high = predictive.quantiles((0.05, 0.95))
    assert 0.8 < ((low[:, 0] <= Y) & (high[:, 0] >= Y)).mean() < 0.98
    assert np.median(predictive.aleatoric_stddev()) == pytest.approx(1e5, rel=0.4)
    assert {"nll", "kl"} <= history.keys()
    assert float(model.noise.share.value) == 1.0
    model.save(path := tmp_path / "table.keras")
    loaded = keras.saving.load_model(path)
    again = bnn.predict(loaded, X, 50, seed=1, verbose=False)
    np.testing.assert_allclose(again.outputs, predictive.outputs, rtol=1e-4)


@on_tensorflow_alone
def test_what_was_adapted_stays_and_what_is_said_goes_before(trained):
    model, _ = trained
    before = float(model.units_of_targets.mean.value[0])
    assert before == pytest.approx(Y.mean(), rel=1e-5)
    optimizer = keras.optimizers.SGD(1e-6)
    model.compile(optimizer, loss=model.likelihood)
    weight = bnn.callbacks.KLWeight(50, beta=0.5)
    model.fit(X[:50], Y[:50] + 1e6, epochs=1, callbacks=[weight], verbose=0)
    assert float(model.units_of_targets.mean.value[0]) == before
    assert model.optimizer is optimizer
    assert model.head.kl_weight == pytest.approx(0.5 / 50)


@on_tensorflow_alone
def test_steps_are_counted_and_rows_that_come_again_are_no_further_observations():
    model = bnn.models.tabular(num_features=2, units=())
    history = model.fit(X, Y, steps=120, learning_rate=0.5, verbose=0, sample_weight=np.ones(300))
    assert int(model.optimizer.iterations.numpy()) == 126  # 3 rounds of 14 passes over 300 rows, 3 steps each
    assert len(history.history["nll"]) == 3
    assert model.head.kl_weight == pytest.approx(1 / 300)
    assert history.history["nll"][-1] < history.history["nll"][0]
    before = model.optimizer
    model.fit(X[:40], Y[:40], batch_size=1000, steps=2, verbose=0)
    assert model.optimizer is before
    assert int(before.iterations.numpy()) == 128
    assert model.head.kl_weight == pytest.approx(1 / 40)


@on_tensorflow_alone
def test_without_a_word_it_trains_for_a_number_of_steps_in_few_epochs(monkeypatch):
    monkeypatch.setattr(sys.modules["tfp_bnn.models.tabular"], "STEPS", 100)
    model = bnn.models.tabular(num_features=2, units=(5,))
    history = model.fit(X, Y, verbose=0)
    assert int(model.optimizer.iterations) == 102  # two rounds of 17 passes of 3 batches
    assert len(history.epoch) == 2
    assert model.head.kl_weight == pytest.approx(1 / 300)


@on_tensorflow_alone
def test_classes_and_several_targets():
    labels = (X[:, 0] > 50).astype(int)
    classifier = bnn.models.tabular(num_features=2, num_classes=2, units=(10,))
    classifier.fit(X, labels, epochs=40, verbose=0)
    assert bnn.evaluate(classifier, X, labels, 10, seed=0, verbose=False)["accuracy"] > 0.9
    both = bnn.models.tabular(num_features=2, num_targets=2, units=(10,))
    both.fit(X, np.stack([Y, -Y], axis=1), epochs=1, verbose=0)
    assert bnn.predict(both, X, 5, verbose=False).mean().shape == (300, 2)


@on_tensorflow_alone
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bnn.models.tabular(0), "`num_features` must be a positive integer"),
        (lambda: bnn.models.tabular(2, noise="cauchy"), "`noise` must be one of 'normal', .*Received: noise='cauchy'"),
        (lambda: bnn.models.tabular(2, num_classes=1), "`num_classes` must be at least 2"),
        (lambda: bnn.models.tabular(2, units=50), "`units` must be the widths"),
        (lambda: bnn.models.tabular(2).fit(X[:, :1], Y), r"Inputs must be \[n, 2\]\. Received: inputs of shape"),
        (lambda: bnn.models.tabular(2).fit(X, np.full(300, np.nan)), "Targets must be finite. Received: nan"),
        (
            lambda: bnn.models.tabular(2).fit(np.full((3, 2), np.nan), Y[:3]),
            r"missing values.* Received: nan in column 0",
        ),
        (lambda: bnn.models.tabular(2).fit(iter([(X, Y)])), r"call model\.adapt\(x, y\).* Received: x=list_iterator"),
        (lambda: bnn.models.tabular(2).fit(X, Y, steps=0), "`steps` must be a positive integer. Received: steps=0"),
        (
            lambda: bnn.models.tabular(2).fit(X, Y, epochs=2, steps=10, callbacks=[bnn.callbacks.KLWeight(300)]),
            "`steps` counts batches.* Received: steps=10, epochs, KLWeight",
        ),
        (
            lambda: bnn.models.tabular(2).fit(X, Y, steps=10, validation_split=0.5),
            "goes without a stream, and without what counts epochs.*, validation_split",
        ),
        (
            lambda: bnn.models.tabular(2).fit(X, Y, learning_rate=-1.0),
            "`learning_rate` must be positive.* Received: learning_rate=-1.0, with the model not compiled",
        ),
        (lambda: bnn.callbacks.NoiseWarmup(0), "`epochs` must be positive. Received: epochs=0"),
        (lambda: bnn.layers.GrowingNoise()(np.zeros((2, 3))), "a location and a scale.*Received: 3 outputs"),
        (
            lambda: likelihoods.InUnits(likelihoods.Poisson()),
            "`standardized` must be a tfp_bnn.likelihoods.LocationScale",
        ),
    ],
)
def test_wrong_arguments_get_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# What `fit` does without being told


@on_tensorflow_alone
def test_the_optimizer_begins_at_its_learning_rate_and_ends_at_0():
    model = bnn.models.tabular(num_features=2, units=())
    model._compile_with_defaults(steps=4, epochs=5, learning_rate=0.25)
    rate = model.optimizer._learning_rate
    assert [float(rate(step)) for step in (0, 10, 20)] == pytest.approx([0.25, 0.125, 0], abs=1e-8)
    classifier = bnn.models.tabular(num_features=2, num_classes=2, units=())
    classifier._compile_with_defaults(steps=4, epochs=5, learning_rate=0.25)
    assert classifier.loss is classifier.likelihood


@on_tensorflow_alone
def test_the_kl_term_and_the_noise_come_in_over_three_quarters_of_the_epochs():
    regressor, classifier = (bnn.models.tabular(num_features=2, num_classes=each, units=()) for each in (None, 2))
    weight, noise = regressor._default_callbacks([], epochs=20, beta=14.0)
    assert (weight.beta, weight.schedule, noise.epochs) == (14.0, bnn.kl_schedules.linear_warmup(15.0), 15.0)
    (weight,) = classifier._default_callbacks([], epochs=4, beta=1.0)
    assert weight.schedule == bnn.kl_schedules.linear_warmup(3.0)
    assert regressor._default_callbacks([bnn.callbacks.KLWeight()], epochs=20, beta=1.0) == []


@on_tensorflow_alone
def test_a_row_keeps_its_target_and_its_weight_in_rounds():
    number = np.arange(30.0)
    x, y, others, rounds = in_rounds(
        number[:, np.newaxis], 10 * number, {"sample_weight": 100 * number, "validation_batch_size": 7}, 8, steps=120
    )
    assert len(x) * rounds >= 120 * 8
    np.testing.assert_array_equal(y, 10 * x[:, 0])
    np.testing.assert_array_equal(others["sample_weight"], 100 * x[:, 0])
    assert (others["shuffle"], others["validation_batch_size"]) == (False, 7)
    counts = np.bincount(x[:, 0].astype(int))
    assert counts.max() - counts.min() <= 1
