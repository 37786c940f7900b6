"""Bayesian networks, ready made."""

from tfp_bnn.models.layer_class import layer_class
from tfp_bnn.models.lenet5 import lenet5
from tfp_bnn.models.mlp import mlp

__all__ = ["layer_class", "lenet5", "mlp"]
