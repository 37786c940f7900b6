"""From bits to normals: SciPy's quantiles are the oracle."""

import keras
import numpy as np
import scipy.stats

from tests.support.on_backends import numpy
from tfp_bnn._numerics.normal_quantile import standard_normals


def test_normals_are_the_quantiles_of_their_bits():
    # Both ends, the switch between the two approximations, and the range between.
    n = np.unique(np.concatenate([np.arange(1000), np.geomspace(1, 2**31 - 1, 5000), np.linspace(0, 2**31 - 1, 5000)]))
    n = n.astype("int64")
    for side, sign in ((0, 1), (1, -1)):
        z = numpy(standard_normals(keras.ops.array((2 * n + side).astype("uint32"), "uint32")))
        # The n-th smallest probability, rounded to float32 as the function does.
        p = ((n.astype("float32") + np.float32(0.5)) * np.float32(2**-32)).astype("float64")
        np.testing.assert_allclose(z, sign * scipy.stats.norm.isf(p), rtol=2e-6, atol=2e-7)
