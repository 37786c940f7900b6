"""softplus against Keras's and against closed forms in double precision."""

import keras
import numpy as np
import pytest
import scipy.special

from tests.support.on_backends import compiled, numpy, with_gradient
from tfp_bnn._numerics.softplus import plus_softplus, softplus

X = np.concatenate([np.linspace(-100, 100, 401), [-1e30, 1e30, -25.0, 19.99, 20.01, 0.0]]).astype("float32")


@pytest.mark.parametrize("xla", [False, True])
def test_values_are_those_of_keras(xla):
    np.testing.assert_allclose(
        numpy(compiled(softplus, xla=xla)(X)), numpy(keras.ops.softplus(X)), rtol=3e-6, atol=1e-38
    )


@pytest.mark.parametrize("xla", [False, True])
def test_the_sum_is_the_logarithm_of_a_sum(xla):
    term = np.linspace(-3, 3, len(X)).astype("float32")
    expected = np.logaddexp(term.astype("float64"), term.astype("float64") + X)
    np.testing.assert_allclose(numpy(compiled(plus_softplus, xla=xla)(term, X)), expected, rtol=2e-6, atol=1e-6)


def test_the_gradient_is_the_logistic_function():
    x = keras.Variable(X)
    gradient = with_gradient(lambda: keras.ops.sum(softplus(keras.ops.convert_to_tensor(x))), [x])()[1:]
    np.testing.assert_allclose(numpy(gradient), scipy.special.expit(X.astype("float64")), rtol=2e-6, atol=1e-37)


def test_the_second_derivative_is_that_of_the_logistic_function():
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        x = tf.constant(0.7)
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = softplus(x)
            slope = inner.gradient(y, x)
        second = outer.gradient(slope, x)
    else:
        import jax

        second = jax.jacfwd(jax.grad(softplus))(0.7)
    p = scipy.special.expit(0.7)
    assert float(second) == pytest.approx(p * (1 - p), rel=1e-5)
