"""Bayesian networks, ready made."""

from tfp_bnn.models.lenet5 import lenet5
from tfp_bnn.models.mlp import mlp

__all__ = ["lenet5", "mlp"]
