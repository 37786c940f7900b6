"""The comparison with other libraries: its bookkeeping, and that it runs where no peer is installed."""

from importlib import util
from pathlib import Path

import keras
import numpy as np
import pytest
from scipy import stats

import tfp_bnn as bnn
from benchmarks import compare
from benchmarks.richer_posteriors.dependent_weights import FullNormal, LowRankNormal
from tests.support.on_backends import on_tensorflow_alone, over_seeds
from tfp_bnn._numerics.noise import counted

pytestmark = on_tensorflow_alone

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULTS = {"a": {"seconds": [2.0, 3.0, 8.0]}, "b": {"seconds": [1.0, 1.0, 2.0]}, "c": {"missing": ["c"]}}


def test_the_page_of_commands_has_a_line_for_each_file_that_is_run():
    lines = (BENCHMARKS / "README.md").read_text().splitlines()
    named = [line.split("`")[1] for line in lines if line.startswith("| `")]
    commands = sorted(path for path in BENCHMARKS.glob("*.py") if path.stem != "__init__")
    assert named == [path.name for path in commands]
    for path in commands:
        assert 'if __name__ == "__main__":\n' in path.read_text()


def test_ratios_are_those_of_each_round_to_the_fastest_that_is_there():
    assert compare.ratio(RESULTS, "a", ["b", "c"]) == (3.0, 2.0, 4.0)
    assert compare.ratio(RESULTS, "b", ["a", "b"]) == (1.0, 1.0, 1.0)
    assert compare.ratio(RESULTS, "a", ["c"]) is None


def test_an_aim_is_met_or_missed_by_the_better_backend():
    def results(jax):
        seconds = {compare.OURS: 4.0, compare.OURS_JAX: jax, compare.BLITZ: 5.0}
        return {compare.WIDE.name: {label: {"seconds": [value]} for label, value in seconds.items()}}

    for jax, met in ((2.0, True), (3.0, False)):
        first = compare.aims_met(results(jax))[0]
        assert (first["against"], first["ratio"], first["met"]) == ("BLiTZ", jax / 5, met)


def test_a_missing_peer_is_a_line_of_the_table():
    work = compare.Work("tiny", "train mlp-8x1 --units 4 --batch 8", (compare.OURS, compare.BLITZ))
    measured = compare.measure(work, rounds=2)
    assert len(measured[compare.OURS]["seconds"]) == 2
    assert min(measured[compare.OURS]["seconds"]) > 0
    if util.find_spec("blitz") is None:
        assert "| tiny | BLiTZ | not installed: blitz-bayesian-pytorch" in compare.table({"tiny": measured})


def test_a_contender_that_ends_early_says_why_and_the_others_go_on():
    work = compare.Work("tiny", "train mlp-8x1 --units 4 --batch none", (compare.OURS,))
    measured = compare.measure(work, rounds=1)
    assert "invalid int value: 'none'" in measured[compare.OURS]["failed"]
    assert "| tiny | tfp_bnn, TensorFlow | failed: " in compare.table({"tiny": measured})


@pytest.mark.parametrize("kind", ["low rank", "full"])
def test_dependent_weights_have_the_density_and_the_covariance_of_their_factors(kind):
    keras.utils.set_random_seed(0)
    recipe = LowRankNormal(2, 0.3) if kind == "low rank" else FullNormal(0.3)
    layer = bnn.layers.DenseReparameterization(2, use_bias=False, posterior=recipe, kl_weight=1.0)
    layer.build((None, 3))
    for variable in layer.trainable_variables:
        variable.assign(variable + keras.random.normal(variable.shape, stddev=0.3))
    posterior = layer.random_weights["kernel"][0].read()
    mean, factor = (keras.ops.convert_to_numpy(part).astype("float64") for part in (posterior.mean, posterior.factor))
    covariance = factor @ factor.T
    if kind == "low rank":
        covariance += np.diag(np.square(keras.ops.convert_to_numpy(posterior.stddev)).ravel())

    def value_and_log_prob(seed):
        draw = posterior.sample(counted(seed))
        return keras.ops.append(keras.ops.ravel(draw.value), draw.log_prob)

    draws = over_seeds(value_and_log_prob, 4000)
    values, log_probs = draws[:, :-1], draws[:, -1]
    expected = stats.multivariate_normal(mean.ravel(), covariance).logpdf(values)
    np.testing.assert_allclose(log_probs, expected, rtol=1e-4, atol=1e-3)
    error = np.sqrt((np.outer(*[np.diag(covariance)] * 2) + covariance**2) / len(draws))
    assert np.max(np.abs(np.cov(values.T) - covariance) / error) < 5
