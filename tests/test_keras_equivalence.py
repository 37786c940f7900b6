"""With its posterior's standard deviation at 0 a layer is the Keras layer of the same arguments.

Arguments and input shapes are drawn by hypothesis, from those that Keras takes and from those that it refuses, and all
that can be seen is compared: errors, output shapes, outputs, and the gradient of a loss in inputs, kernel and bias.
"""

import contextlib
import dataclasses
import inspect
import math

import keras
import numpy as np
import pytest
from backend import TENSORFLOW, numpy, seeds, with_gradient, with_variables
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from layer_contract import family, final_layers, noisy_outputs, read, set_posterior, zero_stddev

import tfp_bnn as bnn

# On JAX each new shape is compiled.
TAKEN_EXAMPLES = 12 if TENSORFLOW else 6
REFUSED_EXAMPLES = 25

same_examples = settings(
    derandomize=True,
    deadline=None,
    database=None,
    # Each test goes through all layers of one family; the fixture of the same random numbers has nothing to reset.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
every_layer = pytest.mark.parametrize("layer_class", final_layers(), ids=lambda layer_class: layer_class.__name__)
