"""Bayesian networks, ready made."""

from tfp_bnn.models.ensemble import Ensemble, ensemble
from tfp_bnn.models.lenet5 import lenet5
from tfp_bnn.models.mlp import mlp
from tfp_bnn.models.resnet20 import resnet20
from tfp_bnn.models.small_cnn import small_cnn
from tfp_bnn.models.tabular import Tabular, tabular

__all__ = ["Ensemble", "Tabular", "ensemble", "lenet5", "mlp", "resnet20", "small_cnn", "tabular"]
