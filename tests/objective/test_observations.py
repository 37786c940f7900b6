"""The objective where outputs have positions: the ELBO an observation, whatever shape, mask and reduction."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, UNCOMPILED
from tfp_bnn.testing.oracles import divergence_from_standard_normals as kl_of

N, STEPS, FEATURES = 12, 6, 2
CONJUGATE_STEPS = 3000
NO_NOISE = bnn.posteriors.MeanFieldNormal(1e-6, keras.initializers.GlorotUniform(seed=1))


def series(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, STEPS, FEATURES)).astype("float32")


def fitted(model, loss, x, y, batch_size=5, run_eagerly=TENSORFLOW, **arguments):
    """Returns the logs of an epoch that changes no weight."""
    model.compile(keras.optimizers.SGD(0.0), loss=loss, run_eagerly=run_eagerly)
    callbacks = [bnn.callbacks.KLWeight(len(x))]
    history = model.fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks, **arguments)
    return {name: values[0] for name, values in history.history.items()}


def one_layer(shape, units=1, **arguments):
    return keras.Sequential([keras.Input(shape), bnn.layers.DenseFlipout(units, posterior=NO_NOISE, **arguments)])


@pytest.mark.parametrize(
    ("shape", "positions"), [((FEATURES,), 1), ((STEPS, FEATURES), STEPS), ((3, 2, FEATURES), 6), ((None, FEATURES), 6)]
)
def test_the_kl_term_is_divided_by_examples_and_positions(shape, positions):
    x = series().reshape(N, *[size or STEPS for size in shape[:-1]], -1)[..., :FEATURES]
    y = x.sum(axis=-1, keepdims=True)
    logged = fitted(one_layer(shape), bnn.likelihoods.Normal(scale=1.0), x, y)
    expected = logged["nll"] + logged["kl"] / (N * positions)
    assert logged["loss"] == pytest.approx(expected, rel=1e-5)
    assert logged["kl_share"] == pytest.approx(1 - logged["nll"] / logged["loss"], rel=1e-4)


def test_masked_positions_are_no_observations():
    x = series()
    observed = np.arange(STEPS) < np.arange(1, N + 1)[:, None] % STEPS + 1
    x[~observed] = 0.0
    model = keras.Sequential(
        [keras.Input((STEPS, FEATURES)), keras.layers.Masking(), bnn.layers.DenseFlipout(1, posterior=NO_NOISE)]
    )
    y = x.sum(axis=-1, keepdims=True)
    model.compile(keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Normal(scale=1.0), **UNCOMPILED)
    history = model.fit(x, y, batch_size=N, verbose=0, callbacks=[bnn.callbacks.KLWeight(N)])
    logged = {name: values[0] for name, values in history.history.items()}
    kernel = keras.ops.convert_to_numpy(model.layers[-1].random_weights["kernel"][0].read().mean)
    nll = 0.5 * np.square(x @ kernel - y)[..., 0] + 0.5 * np.log(2 * np.pi)
    assert logged["nll"] == pytest.approx(nll[observed].mean(), rel=1e-4)
    assert logged["loss"] == pytest.approx((nll[observed].sum() + logged["kl"]) / observed.sum(), rel=1e-4)


@pytest.mark.parametrize("reduction", ["sum", "mean_with_sample_weight"])
def test_other_reductions_have_the_kl_term_that_fits_them(reduction):
    x = series()[:10]
    y = x.sum(axis=-1, keepdims=True)
    weights = np.random.default_rng(1).integers(0, 2, (10, STEPS)).astype("float32")
    weights[:, 0] = 1
    model = one_layer((STEPS, FEATURES))
    logged = fitted(model, bnn.likelihoods.Normal(scale=1.0, reduction=reduction), x, y, sample_weight=weights)
    # Two batches of 5: each has half of the KL divergence beside its sum over observations.
    divisors = [1.0, 1.0] if reduction == "sum" else [weights[:5].sum(), weights[5:].sum()]
    kl_term = np.mean([logged["kl"] / 2 / divisor for divisor in divisors])
    assert logged["loss"] == pytest.approx(logged["nll"] + kl_term, rel=1e-4)


def test_a_loss_that_takes_the_mean_over_positions_itself_has_no_positions_left():
    def of_series(y, outputs):
        return keras.ops.mean(keras.ops.square(outputs - y), axis=(1, 2))

    x = series()
    logged = fitted(one_layer((STEPS, FEATURES)), of_series, x, x[..., :1])
    assert logged["loss"] == pytest.approx(logged["nll"] + logged["kl"] / N, rel=1e-5)
    logged = fitted(one_layer((STEPS, FEATURES)), "mse", x, x[..., :1])
    assert logged["loss"] == pytest.approx(logged["nll"] + logged["kl"] / (N * STEPS), rel=1e-5)


def test_several_outputs_count_the_kl_term_once():
    inputs = keras.Input((STEPS, FEATURES))
    hidden = bnn.layers.DenseFlipout(3, posterior=NO_NOISE)(inputs)
    heads = {"label": keras.layers.Dense(2, name="label")(hidden), "value": keras.layers.Dense(1, name="value")(hidden)}
    model = keras.Model(inputs, heads)
    loss = {"label": bnn.likelihoods.Categorical(), "value": bnn.likelihoods.Normal(scale=1.0)}
    x = series()
    logged = fitted(model, loss, x, {"label": (x[..., 0] > 0).astype(int), "value": x[..., :1]})
    assert logged["loss"] == pytest.approx(logged["nll"] + logged["kl"] / (N * STEPS), rel=1e-5)
    assert logged["kl"] == pytest.approx(kl_of(model), rel=1e-5)


def test_a_conjugate_weight_has_its_exact_posterior_from_positions_that_are_no_padding():
    rng, positions, noise = np.random.default_rng(0), 50, 0.5
    x = rng.normal(size=(8, positions, 1)).astype("float32")
    observed = np.ones(x.shape, bool)
    observed[:, positions // 2 :] = False
    x[~observed] = 0.0
    y = (0.7 * x + noise * rng.normal(size=x.shape)).astype("float32")
    posterior = bnn.posteriors.MeanFieldNormal(initial_stddev=0.1)
    layer = bnn.layers.DenseLocalReparameterization(1, use_bias=False, posterior=posterior)
    model = keras.Sequential([keras.Input((positions, 1)), keras.layers.Masking(), layer])
    # A learning rate that falls to 0 and the mean of the last weights: else the noise of the gradients stays in them.
    rate = keras.optimizers.schedules.CosineDecay(0.02, CONJUGATE_STEPS)
    optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.995)
    model.compile(optimizer, loss=bnn.likelihoods.Normal(scale=noise), steps_per_execution=100)
    # Copies of the data in one long epoch: an epoch has its overhead.
    x_copies, y_copies = np.tile(x, (CONJUGATE_STEPS, 1, 1)), np.tile(y, (CONJUGATE_STEPS, 1, 1))
    with pytest.warns(UserWarning, match="are repeated on purpose"):
        model.fit(x_copies, y_copies, batch_size=len(x), verbose=0, callbacks=[bnn.callbacks.KLWeight(len(x))])
    trained = layer.random_weights["kernel"][0].read()
    variance = 1 / (1 + np.sum(x[observed] ** 2) / noise**2)
    mean = variance * np.sum(x[observed] * y[observed]) / noise**2
    assert float(trained.stddev[0, 0]) == pytest.approx(np.sqrt(variance), rel=0.06)
    assert float(trained.mean[0, 0]) == pytest.approx(mean, abs=float(0.15 * np.sqrt(variance)))
