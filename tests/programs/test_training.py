"""Training through `fit`: the KL term, its weight, and the two halves of the loss in the history."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

# Keras's own batch size, and whole batches: each other shape is compiled. Partial ones are in test_loss_halves.py.
N, BATCH = 96, 32


def data(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, 4)).astype("float32"), rng.integers(0, 3, N)


def classifier(layers, **arguments):
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(keras.optimizers.Adam(0.01), bnn.likelihoods.Categorical(), metrics=["accuracy"], **arguments)
    return model


def flipout_classifier(**kwargs):
    return classifier([bnn.layers.DenseFlipout(5, "relu", **kwargs), bnn.layers.DenseFlipout(3, **kwargs)])


def test_history_holds_the_halves_of_the_loss_for_training_and_validation():
    model, n = flipout_classifier(), 40  # the last of three batches is partial
    (x, y), validation = ([part[:n] for part in data(seed)] for seed in (0, 1))
    weight = bnn.callbacks.KLWeight(num_examples=n)
    history = model.fit(x, y, batch_size=16, epochs=3, validation_data=validation, verbose=0, callbacks=[weight])
    logged = {name: np.array(values) for name, values in history.history.items()}
    for prefix in ("", "val_"):
        assert {prefix + name for name in ("loss", "nll", "kl", "accuracy")} <= logged.keys()
        objective = logged[prefix + "nll"] + logged[prefix + "kl"] / n
        np.testing.assert_allclose(logged[prefix + "loss"], objective, rtol=1e-5)
    np.testing.assert_allclose(logged["val_kl"][-1], kl_of(model), rtol=1e-5)
    assert logged["kl"][0] > logged["kl"][-1] > logged["val_kl"][-1]  # means of an epoch in which it falls


def test_evaluate_reports_the_halves_too():
    model, (x, y) = flipout_classifier(), data()
    model.fit(x, y, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)])
    result = model.evaluate(x, y, verbose=0, return_dict=True)
    np.testing.assert_allclose(result["kl"], kl_of(model), rtol=1e-5)
    np.testing.assert_allclose(result["loss"], result["nll"] + result["kl"] / N, rtol=1e-5)


def test_training_without_a_kl_weight_raises_and_says_what_to_write():
    model, (x, y) = flipout_classifier(), data()
    with pytest.raises(ValueError, match=r"callbacks=\[tfp_bnn.callbacks.KLWeight\(num_examples=len\(x_train\)\)\]"):
        model.fit(x, y, verbose=0)


def test_without_a_kl_weight_evaluation_and_prediction_still_work():
    model, (x, y) = flipout_classifier(), data()
    assert np.isfinite(model.evaluate(x, y, verbose=0)[0])
    assert model.predict(x, verbose=0).shape == (N, 3)


def test_a_kl_weight_in_the_constructor_is_enough():
    # Hardly any noise, and no step: the loss is that of the model before and after.
    posterior = bnn.posteriors.MeanFieldNormal(1e-6)
    model, (x, y) = flipout_classifier(kl_weight=1 / N, posterior=posterior), data()
    model.compile(keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical())
    loss = model.fit(x, y, verbose=0).history["loss"][0]
    nll = -bnn.predict(model, x, num_draws=1, verbose=False).log_prob(y).mean()
    assert loss == pytest.approx(nll + kl_of(model) / N, rel=1e-4)
    assert model.layers[0].kl_weight == pytest.approx(1 / N)


def test_the_kl_term_is_the_sum_over_all_weights_biases_included():
    posterior = bnn.posteriors.MeanFieldNormal(0.3)
    layer = bnn.layers.DenseFlipout(5, posterior=posterior, bias_posterior=posterior, kl_weight=0.5)
    model = keras.Sequential([keras.Input((4,)), layer])
    model(np.ones((2, 4), "float32"))
    (loss,) = model.losses
    np.testing.assert_allclose(float(loss), 0.5 * kl_of(model), rtol=1e-5)
    assert len(layer.random_weights) == 2


def functional_shared():
    layer, inputs = bnn.layers.DenseReparameterization(4), keras.Input((4,))
    return keras.Model(inputs, layer(layer(inputs)))


def functional_nested():
    inner = keras.Sequential([keras.Input((4,)), bnn.layers.DenseFlipout(4)])
    inputs = keras.Input((4,))
    return keras.Model(inputs, inner(keras.layers.Dense(4)(inputs)))


def time_distributed():
    inputs = keras.Input((4,))
    steps = keras.layers.TimeDistributed(bnn.layers.DenseReparameterization(3))(keras.layers.Reshape((2, 2))(inputs))
    return keras.Model(inputs, keras.layers.Flatten()(steps))


def sequential():
    return keras.Sequential([keras.Input((4,)), bnn.layers.DenseFlipout(4), bnn.layers.DenseFlipout(3)])


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = [bnn.layers.DenseFlipout(4), keras.Sequential([bnn.layers.DenseFlipout(3)])]

    def call(self, inputs):
        return self.inner[1](keras.ops.relu(self.inner[0](inputs)))


@pytest.mark.parametrize("make_model", [sequential, functional_shared, functional_nested, time_distributed, Subclassed])
def test_each_layer_counts_once_in_any_kind_of_model(make_model):
    model, (x, y) = make_model(), data()
    model.compile(keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    history = model.fit(
        x, y, batch_size=BATCH, validation_data=(x, y), verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)]
    )
    for prefix in ("", "val_"):
        logged = {name: history.history[prefix + name][0] for name in ("loss", "nll", "kl")}
        np.testing.assert_allclose(logged["kl"], kl_of(model), rtol=1e-5)
        np.testing.assert_allclose(logged["loss"], logged["nll"] + logged["kl"] / N, rtol=1e-5)


def test_a_learned_prior_shared_by_all_layers_is_trained_once():
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.5, trainable=True)
    model = classifier(
        [bnn.layers.DenseVariational(5, prior=prior), bnn.layers.DenseFlipout(3, prior=prior)], **UNCOMPILED
    )
    prior_variables = {id(variable) for variable in prior.trainable_variables}
    assert [id(variable) in prior_variables for variable in model.trainable_variables].count(True) == 3
    before = [float(value) for value in (prior.sigma_1, prior.sigma_2, prior.pi)]
    x, y = data()
    model.fit(x, y, epochs=3, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)])
    after = [float(value) for value in (prior.sigma_1, prior.sigma_2, prior.pi)]
    assert all(abs(a - b) > 1e-4 for a, b in zip(after, before, strict=True))


def test_a_fixed_prior_stays_fixed_when_a_model_is_frozen_and_thawed():
    model = flipout_classifier(prior=bnn.priors.ScaleMixture(1.0, 0.1, 0.5))
    count = len(model.trainable_variables)
    model.trainable = False
    assert not model.trainable_variables
    model.trainable = True
    assert len(model.trainable_variables) == count == 6


@pytest.fixture(scope="module")
def compiled_once():
    """A model that several trainings, each with a KL weight of its own, share what is compiled of."""
    return flipout_classifier()


def weights_seen(model, schedule, epochs=2):
    """Returns the KL weight that each execution of a training met, in units of 1 / N."""
    (x, y), seen = data(), []

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            bnn.callbacks.sync_state(model)
            seen.append([layer.kl_weight * N for layer in model.layers])

    callbacks = [bnn.callbacks.KLWeight(num_examples=N, **schedule), Spy()]
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0, callbacks=callbacks)
    assert all(first == second for first, second in seen)  # the same in all layers
    return [first for first, _ in seen]


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ({}, [1, 1, 1, 1, 1, 1]),
        ({"beta": 0.5}, [0.5] * 6),
        ({"warmup_epochs": 1}, [1 / 3, 2 / 3, 1, 1, 1, 1]),
        ({"schedule": bnn.kl_schedules.cyclical(1, rising=2 / 3)}, [0, 1 / 2, 1, 0, 1 / 2, 1]),
        ({"schedule": bnn.kl_schedules.blundell}, [12 / 7, 6 / 7, 3 / 7] * 2),
    ],
)
def test_the_kl_weight_follows_its_schedule_batch_by_batch(schedule, expected, compiled_once):
    np.testing.assert_allclose(weights_seen(compiled_once, schedule), expected, rtol=1e-5)


def fit_with_rising_kl(**arguments):
    """Returns a model and its last logs after an epoch in which the KL weight's factors are 0, 1/3 and 2/3."""
    model, (x, y) = flipout_classifier(), data()
    weight = bnn.callbacks.KLWeight(num_examples=N, schedule=bnn.kl_schedules.cyclical(2))
    history = model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[weight], **arguments)
    return model, {name: values[-1] for name, values in history.history.items()}


def test_a_schedule_is_of_the_training_alone_not_of_validation():
    _, logged = fit_with_rising_kl(validation_data=data(1))
    assert logged["val_loss"] == pytest.approx(logged["val_nll"] + logged["val_kl"] / N, rel=1e-5)
    assert logged["loss"] < logged["nll"] + 0.5 * logged["kl"] / N


def test_a_schedule_leaves_the_whole_kl_weight_in_the_model():
    model, _ = fit_with_rising_kl()
    assert [layer.kl_weight for layer in model.layers] == pytest.approx([1 / N] * 2)


def test_the_batches_of_one_execution_share_the_mean_of_their_factors():
    model = flipout_classifier()
    model.compile("sgd", loss=bnn.likelihoods.Categorical(), steps_per_execution=2)
    seen = weights_seen(model, {"schedule": bnn.kl_schedules.blundell}, epochs=1)
    np.testing.assert_allclose(seen, [9 / 7, 3 / 7], rtol=1e-5)


def test_another_kl_weight_does_not_compile_again():
    model, (x, y) = flipout_classifier(), data()
    traces = []
    call = model.layers[0].noisy_outputs
    model.layers[0].noisy_outputs = lambda *args: traces.append(1) or call(*args)
    callback = bnn.callbacks.KLWeight(num_examples=64, warmup_epochs=5)
    model.fit(x[:64], y[:64], batch_size=BATCH, epochs=2, verbose=0, callbacks=[callback])
    after_two_epochs = len(traces)
    model.fit(x[:64], y[:64], batch_size=BATCH, epochs=5, initial_epoch=2, verbose=0, callbacks=[callback])
    assert 0 < after_two_epochs == len(traces)


def test_training_repeats_with_the_seed():
    def final_weights():
        keras.utils.set_random_seed(7)
        model, (x, y) = flipout_classifier(), data()
        model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)])
        return model.get_weights()

    for first, second in zip(final_weights(), final_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_posteriors_and_kl_in_float32(policy):
    model = classifier(
        [
            bnn.layers.DenseVariational(5, activation="relu", dtype=policy, prior=bnn.priors.ScaleMixture(1.0, 0.002)),
            bnn.layers.DenseLocalReparameterization(4, dtype=policy),
            bnn.layers.DenseFlipout(3, dtype=policy, bias_posterior=bnn.posteriors.MeanFieldNormal()),
        ],
        **UNCOMPILED,
    )
    x, y = data()
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)])
    assert np.isfinite(history.history["loss"]).all()
    assert {variable.dtype for variable in model.trainable_variables} == {"float32"}
    assert keras.backend.standardize_dtype(model.layers[0](x).dtype) == policy.removeprefix("mixed_")


def test_labels_out_of_range_end_the_training_with_an_error():
    model, (x, y) = flipout_classifier(), data()
    with pytest.raises(Exception, match=r"label|not a finite number"):
        model.fit(x, np.full_like(y, 3), verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)])


def test_every_steps_counts_steps_across_epochs_and_fits():
    model, (x, y) = flipout_classifier(), data()
    model.compile("sgd", loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    steps = []
    callbacks = [bnn.callbacks.KLWeight(num_examples=N), bnn.callbacks.EverySteps(4, steps.append)]
    model.fit(x, y, batch_size=BATCH, epochs=3, verbose=0, callbacks=callbacks)
    model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0, callbacks=callbacks)
    assert steps == [4, 8, 12]


def test_every_steps_counts_what_the_optimizer_counts():
    model, (x, y) = flipout_classifier(), data()
    optimizer = keras.optimizers.SGD(0.01, gradient_accumulation_steps=3)
    model.compile(optimizer, loss=bnn.likelihoods.Categorical())
    seen = []

    def note(step):
        seen.append((step, int(optimizer.iterations)))

    callbacks = [bnn.callbacks.KLWeight(), bnn.callbacks.EverySteps(2, note)]
    for _ in range(2):  # of 20 minibatches: 6 steps and 2 minibatches, then 13 steps and 1
        model.fit(x[:40], y[:40], batch_size=2, epochs=1, verbose=0, callbacks=callbacks)
    assert seen == [(step, step) for step in range(2, 14, 2)]


def test_every_steps_may_predict_with_the_weights_of_that_step():
    model, (x, y) = flipout_classifier(), data()
    means = []

    def predict(step):
        means.append(bnn.predict(model, x[:2], num_draws=200, seed=1).mean())

    callbacks = [bnn.callbacks.KLWeight(num_examples=N), bnn.callbacks.EverySteps(3, predict)]
    model.fit(x, y, batch_size=BATCH, epochs=2, verbose=0, callbacks=callbacks)
    assert np.abs(means[0] - means[1]).max() > 1e-4
    np.testing.assert_allclose(bnn.predict(model, x[:2], num_draws=200, seed=1).mean(), means[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("make_callback", "message"),
    [
        (lambda: bnn.callbacks.KLWeight(0), "`num_examples` must be at least 1. Received: num_examples=0"),
        (lambda: bnn.callbacks.KLWeight("all"), "`num_examples` must be at least 1. Received: num_examples='all'"),
        (lambda: bnn.callbacks.KLWeight(10, beta=-1), "`beta` .* Received: beta=-1"),
        (
            lambda: bnn.callbacks.KLWeight(10, schedule="cyclical"),
            "`schedule` must be one of .* Received: schedule='cy",
        ),
        (lambda: bnn.callbacks.KLWeight(10, warmup_epochs=-1), "Received: epochs=-1"),
        (lambda: bnn.callbacks.KLWeight(10, warmup_steps=0), "Received: warmup_steps=0"),
        (
            lambda: bnn.callbacks.KLWeight(10, warmup_epochs=1, schedule=bnn.kl_schedules.blundell),
            "one of `warmup_epochs`, `warmup_steps` and `schedule`",
        ),
        (lambda: bnn.callbacks.EverySteps(0, print), "`steps` must be a positive integer. Received: steps=0"),
        (lambda: bnn.callbacks.EverySteps(1.5, print), "`steps` must be a positive integer. Received: steps=1.5"),
    ],
)
def test_a_wrong_argument_of_a_callback_gets_one_clear_error(make_callback, message):
    with pytest.raises(ValueError, match=message):
        make_callback()


def test_a_model_without_bayesian_layers_has_no_kl_to_weigh():
    model, (x, y) = classifier([keras.layers.Dense(3)]), data()
    with pytest.raises(ValueError, match="no Bayesian layers"):
        model.fit(x, y, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=N)])
