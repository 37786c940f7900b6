"""Bayesian linear regression, where the exact posterior is known and within reach of the mean-field family.

With orthogonal features, prior N(0, s_0^2) and noise s^2, the weights' posterior is N(m, v) with
`1 / v = 1 / s_0^2 + |x_j|^2 / s^2` and `m = v x_j . y / s^2`, independently for each feature j.
"""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_jax_alone

N, FEATURES = 64, 4
NOISE_STDDEV, PRIOR_STDDEV = 0.5, 0.8
STEPS = 16_000


def make_problem():
    rng = np.random.default_rng(0)
    features = np.linalg.qr(rng.normal(size=(N, FEATURES)))[0] * np.sqrt(N)
    y = features @ np.array([[1.0], [-0.7], [0.3], [0.0]]) + NOISE_STDDEV * rng.normal(size=(N, 1))
    return features, y


def exact_posterior(x, y):
    variance = 1 / (1 / PRIOR_STDDEV**2 + np.sum(x**2, axis=0)[:, None] / NOISE_STDDEV**2)
    return variance * (x.T @ y) / NOISE_STDDEV**2, np.sqrt(variance)


@pytest.mark.filterwarnings("ignore:KLWeight")  # The data are repeated on purpose.
@pytest.mark.parametrize(
    ("layer", "batch_size"),
    [
        # Each estimator on one backend: that both compute it right, the layers' contract shows.
        pytest.param("DenseReparameterization", 16, marks=on_jax_alone),
        pytest.param("DenseLocalReparameterization", 16, marks=on_jax_alone),
        # That minibatches make no difference to the objective, test_loss_halves.py shows.
        ("DenseFlipout", 16),
    ],
)
def test_the_trained_posterior_is_the_exact_one(layer, batch_size):
    x, y = make_problem()
    prior = bnn.priors.Normal(scale=PRIOR_STDDEV)
    posterior = bnn.posteriors.MeanFieldNormal(initial_stddev=0.2)
    bayesian = getattr(bnn.layers, layer)(1, use_bias=False, prior=prior, posterior=posterior)
    model = keras.Sequential([keras.Input((FEATURES,)), bayesian])
    # A learning rate that falls to 0 and the mean of the last weights: else the noise of the gradients stays in them.
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(0.01, STEPS), use_ema=True, ema_momentum=0.9995
    )
    model.compile(optimizer, loss=bnn.likelihoods.Normal(scale=NOISE_STDDEV), steps_per_execution=50)
    # Copies of the data in one long epoch: the objective is a mean over examples, and an epoch has its overhead.
    copies = STEPS * batch_size // N
    model.fit(
        np.tile(x, (copies, 1)),
        np.tile(y, (copies, 1)),
        batch_size=batch_size,
        verbose=0,
        callbacks=[bnn.callbacks.KLWeight(num_examples=N)],
    )
    trained = bayesian.random_weights["kernel"][0].read()
    exact_mean, exact_stddev = exact_posterior(x, y)
    error = np.abs(keras.ops.convert_to_numpy(trained.mean) - exact_mean) / exact_stddev
    assert error.max() < 0.1
    np.testing.assert_allclose(keras.ops.convert_to_numpy(trained.stddev), exact_stddev, rtol=0.05)
