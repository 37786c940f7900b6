"""The remainder of Stirling's formula, against SciPy and known values in double precision."""

import keras
import numpy as np
import pytest
import scipy.special

from tests.support.on_backends import compiled, double_precision, numpy, with_gradient
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.stirling import stirling_remainder

X = np.concatenate([np.geomspace(1e-7, 1e3, 200), [1.0, 2.0, 8.0]])


def reference(x):
    return scipy.special.gammaln(x) - ((x - 0.5) * np.log(x) - x + HALF_LOG_TWO_PI)


def test_the_remainder_equals_scipy_in_double_precision():
    with double_precision():
        np.testing.assert_allclose(
            numpy(stirling_remainder(keras.ops.convert_to_tensor(X, "float64"))), reference(X), rtol=1e-12, atol=1e-11
        )


@pytest.mark.parametrize("xla", [False, True])
def test_the_remainder_equals_scipy_in_single_precision(xla):
    x = X.astype("float32")
    value = numpy(compiled(stirling_remainder, xla)(x))
    np.testing.assert_allclose(value, reference(x.astype("float64")), rtol=1e-6, atol=3e-6)


def test_far_out_the_remainder_keeps_its_digits():
    x = np.geomspace(1e3, 1e30, 28).astype("float32")
    np.testing.assert_allclose(numpy(stirling_remainder(keras.ops.convert_to_tensor(x))), 1 / (12 * x), rtol=1e-6)


def test_the_gradient_equals_scipy():
    x = keras.Variable(X)
    gradient = numpy(with_gradient(lambda: keras.ops.sum(stirling_remainder(x.value)), [x])())[1:]
    single = X.astype("float32").astype("float64")
    expected = scipy.special.digamma(single) - (np.log(single) - 0.5 / single)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
