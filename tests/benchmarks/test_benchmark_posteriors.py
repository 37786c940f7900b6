"""The posteriors that are compared with Bayes by Backprop, where the right answer is known."""

import numpy as np
from scipy import stats

from tests.support.on_backends import on_jax_alone

# The modules are imported in the tests: they bring JAX, which the tests on TensorFlow do without.
pytestmark = on_jax_alone


def test_laplace_has_the_inverse_of_the_curvature_as_covariance_and_the_prior_of_most_evidence():
    from benchmarks.richer_posteriors import laplace

    rng = np.random.default_rng(0)
    rows, weights = rng.normal(size=(7, 5)) * [3, 1, 1, 0.1, 0], rng.normal(size=5)
    axes, stddevs = laplace.posterior_of(rows, weights)

    def evidence(precision):
        curvature = rows.T @ rows + precision * np.eye(5)
        return 2.5 * np.log(precision) - 0.5 * np.linalg.slogdet(curvature)[1] - 0.5 * precision * weights @ weights

    precision = laplace.PRIOR_PRECISIONS[np.argmax([evidence(each) for each in laplace.PRIOR_PRECISIONS])]
    assert laplace.PRIOR_PRECISIONS[0] < precision < laplace.PRIOR_PRECISIONS[-1]
    covariance = np.linalg.inv(rows.T @ rows + precision * np.eye(5))
    np.testing.assert_allclose(axes * stddevs**2 @ axes.T, covariance, rtol=1e-8, atol=1e-12)


def test_the_curvature_of_students_t_is_its_fisher_information():
    from benchmarks.richer_posteriors import laplace

    output, df = np.array([0.3, 0.8]), 4.0
    rows = laplace.weighted_by_fisher(np.eye(2)[None], output[None], df)

    def log_density(loc, raw):
        return stats.t(df, loc=loc, scale=np.exp(np.arcsinh(raw / 2))).logpdf(y)

    y = stats.t(df, loc=0.3, scale=np.exp(np.arcsinh(0.4))).rvs(400_000, random_state=1)
    step = 1e-4
    shifts = [(step, 0), (0, step)]
    scores = [
        (log_density(*(output + shift)) - log_density(*(output - np.array(shift)))) / (2 * step)
        for shift in map(np.array, shifts)
    ]
    # The information is the scores' covariance; five standard errors of each of its means.
    for i, j in ((0, 0), (0, 1), (1, 1)):
        products = scores[i] * scores[j]
        assert abs(products.mean() - (rows.T @ rows)[i, j]) < 5 * products.std() / np.sqrt(len(y))


def test_natural_gradients_find_a_known_gaussian():
    import jax
    import jax.numpy as jnp

    from benchmarks.richer_posteriors import natural_gradient as natural

    num_examples, curvature, best = 50.0, jnp.array([0.5, 2.0, 8.0]), jnp.array([1.0, -2.0, 0.5])
    start = natural.State(jnp.zeros(3), jnp.zeros(3), jnp.ones(3), 0, jax.random.key(1))

    def step(state, rate):
        return natural.update(state, lambda w: curvature * (w - best), num_examples, rate), None

    state, _ = jax.lax.scan(step, start, 0.05 * jnp.linspace(1, 0, 20_000))
    precision = num_examples * curvature + 1 / natural.PRIOR_SCALE**2
    np.testing.assert_allclose(state.mean, num_examples * curvature * best / precision, atol=0.02)
    # The Hessian's running mean is over some 1,000 noisy estimates.
    np.testing.assert_allclose(natural.stddev(state, num_examples), 1 / np.sqrt(precision), rtol=0.2)
