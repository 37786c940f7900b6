"""Several networks as one posterior: predicted from, trained, saved."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 3)).astype("float32")
Y = X[:, :1] + 0.1 * RNG.normal(size=(64, 1)).astype("float32")


def make_model(bias=0.0, scale=1.0, stddev=0.1):
    """Returns a network that says `bias`, give or take `3 * stddev**2`."""
    posterior = bnn.posteriors.MeanFieldNormal(stddev, mean_initializer="zeros")
    layer = bnn.layers.Dense(1, posterior=posterior, bias_initializer=keras.initializers.Constant(bias))
    model = keras.Sequential([keras.Input((3,)), layer])
    model.compile("adam", loss=bnn.likelihoods.Normal(scale=scale))
    return model


def test_draws_are_shared_out_among_models():
    models = [make_model(bias) for bias in (-10.0, 0.0, 10.0)]
    predictive = bnn.predict(models, X, num_draws=31, seed=1, verbose=False)
    near = np.rint(predictive.outputs[:, :, 0].mean(axis=1) / 10)
    np.testing.assert_array_equal(near, np.resize([-1, 0, 1], 31))
    # Of each model the draws that it would give alone; no two draws of the mixture share their noise.
    alone = bnn.predict(models[1], X, num_draws=31, seed=1, verbose=False)
    np.testing.assert_allclose(predictive.outputs[1::3], alone.outputs[1::3], rtol=1e-5, atol=1e-6)
    noise = np.round(predictive.outputs - 10 * near[:, np.newaxis, np.newaxis], 3)
    assert len({row.tobytes() for row in noise}) == 31


def test_figures_are_of_the_mixture():
    models = [make_model(bias, stddev=1e-6) for bias in (-1.0, 1.0)]
    # log of the mean of N(0 | -1, 1) and N(0 | 1, 1), which are equal.
    expected = 0.5 + 0.5 * np.log(2 * np.pi)
    zeros = np.zeros((64, 1))
    assert bnn.evaluate(models, X, zeros, 10, verbose=False)["nll"] == pytest.approx(expected, rel=1e-4)
    summary = bnn.summarize(models, X, zeros, 10, verbose=False)
    np.testing.assert_allclose(summary.epistemic_stddev(), 1.0, rtol=1e-4)
    settled = bnn.predict(models, X, tolerance=1.0, verbose=False)
    assert settled.num_draws == 10


def test_an_ensemble_is_trained_predicted_with_and_saved_as_one_model(tmp_path):
    keras.utils.set_random_seed(0)

    def make():
        model = keras.Sequential([keras.Input((3,)), bnn.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.1), loss=bnn.likelihoods.Normal(scale=0.1))
        return model

    model = bnn.models.ensemble(make, num_members=2)
    before = bnn.evaluate(model, X, Y, 10, seed=0, verbose=False)["nll"]
    histories = model.fit(X, Y, epochs=5, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
    assert [sorted(history.history) for history in histories] == [["kl", "kl_share", "loss", "nll"]] * 2
    assert bnn.evaluate(model, X, Y, 10, seed=0, verbose=False)["nll"] < before - 1
    assert not np.array_equal(*(member.layers[-1].weights[0].numpy() for member in model.members))
    predictive = bnn.predict(model, X, 10, seed=3, verbose=False)
    model.save(path := tmp_path / "ensemble.keras")
    loaded = keras.saving.load_model(path)
    again = bnn.predict(loaded, X, 10, seed=3, verbose=False)
    np.testing.assert_allclose(again.outputs, predictive.outputs, rtol=1e-5, atol=1e-6)
    assert [int(member.optimizer.iterations.value) for member in loaded.members] == [10, 10]
    loaded.fit(X, Y, epochs=1, verbose=0, callbacks=[bnn.callbacks.KLWeight()])


@on_tensorflow_alone
def test_a_call_is_a_draw_of_one_member():
    model = bnn.models.Ensemble([make_model(bias) for bias in (-10.0, 10.0)])
    signs = {float(np.sign(keras.ops.convert_to_numpy(model(X)).mean())) for _ in range(20)}
    assert signs == {-1.0, 1.0}


@on_tensorflow_alone
def test_what_is_made_of_models_is_made_of_ensembles():
    model = bnn.models.Ensemble([make_model(bias) for bias in (-10.0, 10.0)])
    assert float(bnn.kl_divergence(model)) == pytest.approx(sum(float(bnn.kl_divergence(m)) for m in model.members))
    point = bnn.to_deterministic(model)
    assert not bnn.layers.variational_layers(point)
    predictive = bnn.predict(point, X, 2, likelihood=bnn.likelihoods.Normal(scale=1.0), verbose=False)
    np.testing.assert_allclose(predictive.outputs[:, :, 0], [[-10.0] * 64, [10.0] * 64])
    later = bnn.with_priors(model, bnn.priors.from_posterior(model))
    assert float(bnn.kl_divergence(later)) == pytest.approx(0, abs=1e-4)


@on_tensorflow_alone
def test_plain_networks_make_a_deep_ensemble():
    def make():
        return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])

    model = bnn.models.ensemble(make, 3)
    model.compile("sgd", loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    model.fit(X, (Y > 0).astype(int), verbose=0)
    predictive = bnn.predict(model, X, 3, verbose=False)
    for member, outputs in zip(model.members, predictive.outputs, strict=True):
        np.testing.assert_allclose(outputs, keras.ops.convert_to_numpy(member(X)), rtol=1e-5, atol=1e-6)


@on_tensorflow_alone
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bnn.predict([], X), "at least one model. Received: an empty list"),
        (lambda: bnn.predict([make_model(), 3], X), "must be a Keras model, or a list of them. Received: int"),
        (lambda: bnn.predict([make_model()] * 3, X, 2), "a draw at least. Received: num_draws=2"),
        (lambda: bnn.predict([make_model(), make_model(scale=2.0)], X), "must have one likelihood"),
        (
            lambda: bnn.predict(
                [make_model(), keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])],
                X,
                likelihood=bnn.likelihoods.Normal(scale=1.0),
            ),
            "must have the same outputs",
        ),
        (lambda: bnn.models.ensemble(make_model, 0), "`num_members` must be a positive integer"),
        (lambda: bnn.models.ensemble(lambda: 3, 2), "`members` must be Keras models"),
        (lambda: bnn.models.Ensemble([make_model()] * 2), "one model several times"),
        (lambda: bnn.models.ensemble(make_model, 2), "two have the same weights"),
        (lambda: bnn.models.Ensemble([make_model()]).evaluate(X, Y), r"Write tfp_bnn\.evaluate"),
        (
            lambda: bnn.models.Ensemble([make_model(), make_model()]).fit(iter([(X, Y)])),
            "an iterator can be read once.*Received: x=list_iterator",
        ),
    ],
)
def test_wrong_arguments_get_one_clear_error(make, message):
    with pytest.raises(ValueError, match=message):
        make()
