"""The summary of random weights: its numbers beside those of SciPy and TFP, and the table that they are printed in."""

import math

import keras
import numpy as np
import pytest
from scipy import stats

from tests.support.on_backends import TENSORFLOW, double_precision
from tfp_bnn import kl_divergence, layers, posteriors, priors, prune
from tfp_bnn.transforms import random_weights
from tfp_bnn.transforms.random_weights import random_tensors
from tfp_bnn.transforms.summary import summary

RNG = np.random.default_rng(0)
MEAN, STDDEV = RNG.normal(size=(6, 3)), RNG.uniform(0.05, 1.5, size=(6, 3))


def make_model(mean=MEAN, stddev=STDDEV, **kwargs):
    """Returns a model of one layer without random biases, whose kernel has these means and standard deviations."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, name="first", **kwargs)], name="net")
    model.layers[0].random_weights["kernel"][0].assign(mean, stddev)
    return model


def integrated(mean, stddev, log_prior, *near):
    """Returns KL[N(mean, stddev^2) || p] of one weight, by the rule of trapezoids; points lie denser `near` a place."""
    grid = np.concatenate([mean + stddev * np.linspace(-9, 9, 4001), *(np.linspace(-9, 9, 4001) * s for s in near)])
    at = np.sort(grid[np.abs(grid - mean) <= 9 * stddev])
    log_q = -0.5 * np.square((at - mean) / stddev) - math.log(stddev * math.sqrt(2 * math.pi))
    return np.trapezoid(np.exp(log_q) * (log_q - log_prior(at)), at)


def of_normals(mean, stddev, loc, scale):
    return integrated(mean, stddev, lambda at: stats.norm.logpdf(at, loc, scale))


def of_mixture(mean, stddev, prior):
    pi, sigma_1, sigma_2 = (float(value) for value in (prior.pi, prior.sigma_1, prior.sigma_2))

    def log_prior(at):
        wide, narrow = (stats.norm.logpdf(at, 0, sigma) for sigma in (sigma_1, sigma_2))
        return np.logaddexp(math.log(pi) + wide, math.log(1 - pi) + narrow)

    return integrated(mean, stddev, log_prior, sigma_2)


def test_a_row_has_the_moments_the_quartiles_and_the_divergence_of_its_weights():
    (row,) = summary(make_model(prior=priors.Normal(scale=0.7, loc=0.2))).rows
    assert (row.layer, row.weights, row.shape, row.num_weights) == ("first", "kernel", (6, 3), 18)
    ratios = np.abs(MEAN) / STDDEV
    expected = [np.abs(MEAN).mean(), STDDEV.mean(), *np.percentile(ratios, (25, 50, 75))]
    np.testing.assert_allclose(row[4:9], expected, rtol=1e-5)
    divergences = [of_normals(m, s, 0.2, 0.7) for m, s in zip(MEAN.ravel(), STDDEV.ravel(), strict=True)]
    assert row.kl == pytest.approx(sum(divergences), rel=1e-5)
    assert row.kl_per_weight == pytest.approx(np.mean(divergences), rel=1e-5)
    assert row.share_at_prior == 0


def test_the_share_still_at_the_prior_is_that_of_weights_within_a_hundredth_of_a_nat():
    # For N(0, 1): mean^2 / 2 nats, so 0.14 is within and 0.15 without.
    mean = np.zeros((6, 3))
    mean[:2, 0] = 0.14, 0.15
    mean[2:, 0] = 1.0
    assert summary(make_model(mean, 1.0)).rows[0].share_at_prior == pytest.approx(13 / 18)
    assert summary(make_model(mean + 0.5, 1.0, prior=priors.Normal(loc=0.5))).total.share_at_prior == pytest.approx(
        13 / 18
    )


@pytest.mark.parametrize("prior", [priors.ScaleMixture(1.0, 0.1, 0.3), priors.ScaleMixture(1.0, 0.0025, 0.5)])
def test_the_divergence_from_a_mixture_is_that_of_integration(prior):
    mean, stddev = np.repeat([0.0, 0.05, 1.0], 6).reshape(6, 3), np.tile([0.003, 0.03, 0.3], (6, 1))
    (row,) = summary(make_model(mean, stddev, prior=prior)).rows
    expected = sum(of_mixture(m, s, prior) for m, s in zip(mean.ravel(), stddev.ravel(), strict=True))
    assert row.kl == pytest.approx(expected, abs=18 * 0.05)
    (tensor,) = random_tensors(make_model(0.0, 0.003, prior=priors.ScaleMixture(1.0, 0.003, 0.01)))
    np.testing.assert_allclose(tensor.kl_of_weights, -math.log(0.99), atol=0.002)


def test_a_weight_of_a_mixture_is_still_the_prior_if_no_gaussian_is_nearer():
    prior = priors.ScaleMixture(1.0, 0.0025, 0.3)
    mean, stddev = np.zeros((6, 3)), np.full((6, 3), 0.0025)
    stddev[:3] = 1.0  # The component of the smaller share is farther.
    mean[3, 0] = 0.01
    assert summary(make_model(mean, stddev, prior=prior)).rows[0].share_at_prior == pytest.approx(8 / 18)


def test_pruned_weights_are_not_counted():
    model = make_model()
    kept = np.abs(MEAN) / STDDEV > np.median(np.abs(MEAN) / STDDEV)
    (row,) = summary(prune(model, 0.5)).rows
    assert (row.num_weights, row.shape) == (9, (6, 3))
    assert row.mean_stddev == pytest.approx(STDDEV[kept].mean(), rel=1e-5)
    assert row.kl == pytest.approx(sum(map(of_normals, MEAN[kept], STDDEV[kept], [0] * 9, [1] * 9)), rel=1e-5)
    mixture = prune(make_model(prior=priors.ScaleMixture(1.0, 0.1, 0.3)), 0.5)
    assert np.isfinite(summary(mixture).total.kl)
    nothing = summary(prune(model, 1.0))
    assert nothing.total.num_weights == nothing.total.kl == 0
    assert math.isnan(nothing.total.kl_per_weight)
    assert "total" in str(nothing)


def test_a_shared_layer_counts_once_and_random_biases_have_a_row():
    inputs = keras.Input((3,))
    shared = layers.Dense(3, name="twice", bias_posterior=posteriors.MeanFieldNormal())
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="twice")])
    model = keras.Model(inputs, inner(shared(shared(inputs))))
    result = summary(model)
    assert [(row.layer, row.weights) for row in result.rows] == [
        ("twice", "kernel"),
        ("twice", "bias"),
        ("twice 2", "kernel"),
    ]
    assert result.total.num_weights == 9 + 3 + 6
    assert result.total.kl == pytest.approx(float(kl_divergence(model)), rel=1e-5)
    lines = str(result).splitlines()
    assert [line.split()[0] for line in lines[5:7]] == ["twice", "bias"]


def test_the_total_is_of_all_weights():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3), layers.DenseVariational(1)])
    for layer, mean in zip(model.layers, (2.0, -1.0), strict=True):
        for variables, _ in layer.random_weights.values():
            variables.assign(mean, 0.5)
    total = summary(model).total
    assert (total.num_weights, total.snr_25, total.snr_75) == (22, pytest.approx(4), pytest.approx(4))
    assert total.mean_abs_mean == pytest.approx((18 * 2 + 4) / 22)
    assert total.kl == pytest.approx(18 * of_normals(2, 0.5, 0, 1) + 4 * of_normals(-1, 0.5, 0, 1), rel=1e-5)


@pytest.mark.parametrize("policy", ["float16", "bfloat16", "mixed_bfloat16", "float64"])
def test_it_has_the_same_numbers_whatever_the_policy(policy):
    with double_precision():
        for prior in (priors.Normal(), priors.ScaleMixture(1.0, 0.1, 0.3)):
            model = make_model(dtype=policy, prior=prior)
            expected = summary(make_model(prior=prior)).rows[0]
            np.testing.assert_allclose(summary(model).rows[0][4:], expected[4:], rtol=1e-5)


def test_a_prior_of_all_weights_together_has_no_share_and_a_posterior_that_is_not_gaussian_no_moments(monkeypatch):
    if not TENSORFLOW:
        pytest.skip("TFP's distributions of TensorFlow need its backend")
    tfd = pytest.importorskip("tensorflow_probability").distributions

    class TrainedNormals(keras.layers.Layer):
        def __init__(self, size):
            super().__init__()
            self.loc = self.add_weight(shape=(size,), initializer="ones")

        def call(self, inputs):
            return tfd.Independent(tfd.Normal(keras.ops.convert_to_tensor(self.loc), 0.5), 1)

    def trained(kernel_size, bias_size, dtype):
        return TrainedNormals(kernel_size + bias_size)

    def fixed(kernel_size, bias_size, dtype):
        return tfd.Independent(tfd.Normal(np.zeros(kernel_size + bias_size, dtype), 1.0), 1)

    def row_of(posterior, prior):
        layer = layers.DenseVariational(2, posterior=posterior, prior=prior)
        model = keras.Sequential([keras.Input((6,)), layer])
        if posterior is None:
            layer.random_weights["weights"][0].assign(1.0, 0.5)
        return summary(model).rows[0]

    monkeypatch.setattr(random_weights, "_NUM_DRAWS", 25)
    expected = 14 * of_normals(1, 0.5, 0, 1)
    gaussian = row_of(None, fixed)
    # Of 25 draws; each has a standard deviation of sqrt(14) * 0.55 nats.
    assert gaussian.kl == pytest.approx(expected, abs=5 * 0.41)
    assert math.isnan(gaussian.share_at_prior)
    assert gaussian.snr_50 == pytest.approx(2)
    both = row_of(trained, fixed)
    assert both.kl == pytest.approx(expected, rel=1e-5)
    assert (both.num_weights, both.shape) == (14, (7, 2))
    assert np.isnan([both.mean_stddev, both.snr_50, both.share_at_prior]).all()
    assert row_of(trained, None).kl == pytest.approx(expected, abs=5 * 0.41)


def test_a_prior_of_ones_own_is_measured_weight_by_weight():
    class Laplace(priors.Normal):
        def log_prob(self, weights):
            return -keras.ops.abs(weights) - math.log(2.0)

        def distribution(self, shape=()):
            raise NotImplementedError

    (row,) = summary(make_model(0.0, 0.5, prior=Laplace())).rows
    entropy = 0.5 * math.log(2 * math.pi * math.e * 0.25)
    assert row.kl_per_weight == pytest.approx(0.5 * math.sqrt(2 / math.pi) + math.log(2) - entropy, abs=0.005)


def test_the_table_has_a_line_a_tensor_and_a_total_and_is_not_too_wide():
    names = "a_layer_with_a_name_that_nobody_would_want_to_read_in_a_table_of_any_width_at_all"
    model = keras.Sequential([keras.Input((30, 30, 64)), layers.Conv2D(8, 3, name=names), layers.Conv2D(9, 3)])
    model.layers[0].random_weights["kernel"][0].assign(-1234567.0, 1e-12)
    page = str(summary(model))
    lines = page.splitlines()
    assert max(map(len, lines)) == 120
    assert "\na_layer" in page
    assert "…" in page
    assert "3x3x8x9" in page
    assert lines[-3].startswith("total")
    assert repr(summary(model)) == page


def test_the_frame_has_the_rows():
    result = summary(make_model())
    frame = result.to_frame()
    assert list(frame.columns) == list(result.rows[0]._fields)
    assert tuple(frame.iloc[0]) == tuple(result.rows[0])
    assert len(frame) == 1


def test_it_cannot_be_changed():
    result = summary(make_model())
    with pytest.raises(AttributeError):
        result.rows = ()


def test_certain_weights_and_weights_that_are_not_finite_are_shown_as_they_are():
    model = make_model(np.ones((6, 3)), np.where(np.arange(18).reshape(6, 3) < 9, 0.5, 0.0))
    row = summary(model).rows[0]
    assert (row.snr_25, row.snr_75) == (pytest.approx(2.0), math.inf)
    assert "inf" in str(summary(model))
    model.layers[0].random_weights["kernel"][0].mean.assign(np.full((6, 3), np.nan))
    assert math.isnan(summary(model).rows[0].snr_50)


def test_models_without_random_weights_are_errors():
    with pytest.raises(ValueError, match=r"no random weights.*Received: model="):
        summary(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match="Received: early, not built"):
        summary(keras.Sequential([layers.Dense(2, name="early")]))
