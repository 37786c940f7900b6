"""As few draws as it takes."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import layers, likelihoods

# The mean of a draw is the first feature, give or take the second times a standard normal.
X = np.array([[1.0, 0.0], [2.0, 0.05], [3.0, 0.2], [4.0, 1.0]], "float32")


def make_model(units=1, positions=()):
    posterior = bnn.posteriors.MeanFieldNormal(initial_stddev=1.0, mean_initializer="zeros")
    layer = layers.DenseReparameterization(units, use_bias=False, posterior=posterior)
    model = keras.Sequential([keras.Input((*positions, 2)), layer])
    mean, rho = layer.random_weights["kernel"][0].mean, layer.random_weights["kernel"][0].rho
    mean.assign(np.array([[1.0] * units, [0.0] * units]))
    # Next to nothing of the first feature.
    rho.assign(np.stack([np.full(units, -30.0), np.full(units, np.log(np.expm1(1.0)))]))
    return model


NORMAL = likelihoods.Normal(scale=0.1)


@pytest.fixture(scope="module")
def settled():
    return bnn.predict(make_model(), X, likelihood=NORMAL, tolerance=0.02, seed=3, verbose=False)


def test_draws_go_on_until_the_standard_error_is_small_enough(settled):
    # (0, 0.05, 0.2, 1) / sqrt(draws) = 0.02, by tens; the standard deviation itself is an estimate.
    assert settled.num_draws[0] == 10
    assert settled.num_draws[1] in (10, 20)
    assert 60 <= settled.num_draws[2] <= 160
    assert settled.num_draws[3] == 1000
    errors = np.asarray(settled.epistemic_stddev())[:3, 0] / np.sqrt(settled.num_draws[:3] - 1)
    assert (errors <= 0.02).all()
    error = np.abs(np.asarray(settled.mean())[:, 0] - X[:, 0])
    assert (error <= 5 * np.maximum(X[:, 1] / np.sqrt(settled.num_draws), 1e-6)).all()
    assert "10 to 1000 draws" in repr(settled)


def test_an_input_has_the_mean_of_its_first_draws(settled):
    model = make_model()
    for row, count in enumerate(settled.num_draws):
        draws = bnn.predict(model, X[row : row + 1], int(count), likelihood=NORMAL, seed=3, verbose=False)
        assert float(settled.mean()[row, 0]) == pytest.approx(float(draws.mean()[0, 0]), rel=1e-5)


@on_tensorflow_alone
def test_a_decision_far_from_the_cutoff_needs_few_draws():
    model = make_model(2)
    model.layers[0].random_weights["kernel"][0].mean.assign([[1.0, -1.0], [0.0, 0.0]])
    x = np.array([[4.0, 0.3], [0.0, 0.3], [0.7, 0.3]], "float32")
    arguments = {"likelihood": likelihoods.Categorical(), "seed": 1, "verbose": False, "tolerance": 0.002}
    cut = float(1 / (1 + np.exp(-1.4)))  # where the last one is
    decided = bnn.predict(model, x, cutoff=cut, **arguments)
    assert decided.num_draws[0] == 10
    assert decided.num_draws[2] > 500
    full = bnn.predict(model, x, 1000, likelihood=likelihoods.Categorical(), seed=1, verbose=False)
    assert decided.decide(cutoff=cut)[:2].tolist() == full.decide(cutoff=cut)[:2].tolist() == [0, -1]
    without = bnn.predict(model, x, **arguments)
    assert (without.num_draws >= decided.num_draws).all()
    assert without.num_draws.sum() > decided.num_draws.sum()


@on_tensorflow_alone
def test_a_single_draw_settles_nothing_and_there_are_no_more():
    one = bnn.predict(make_model(), X, 1, likelihood=NORMAL, tolerance=0.02, seed=3, verbose=False)
    assert one.num_draws == 1
    assert np.isfinite(np.asarray(one.mean())).all()


@on_tensorflow_alone
def test_outputs_are_settled_when_all_positions_are():
    model = make_model(positions=(2,))
    x = np.stack([X[:2], X[2:], X[1:3]])
    settled = bnn.predict(model, x, likelihood=NORMAL, tolerance=0.02, seed=3, verbose=False)
    assert settled.mean().shape == (3, 2, 1)
    assert settled.num_draws[0] <= 20
    assert settled.num_draws[1] == 1000


@on_tensorflow_alone
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"tolerance": 0.0}, "`tolerance` must be a positive number. Received: tolerance=0.0"),
        ({"tolerance": "few"}, "Received: tolerance='few'"),
        ({"tolerance": 0.1, "cutoff": 1.2}, "`cutoff` must be a number from 0 to 1. Received: cutoff=1.2"),
        ({"cutoff": 0.9}, "beside a tolerance.*Received: cutoff=0.9 and tolerance=None"),
    ],
)
def test_wrong_arguments_get_one_clear_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        bnn.predict(make_model(), X, likelihood=NORMAL, **arguments)
