"""Checks for whoever extends the package: what every Bayesian layer must do."""

from tfp_bnn.testing.check_layer import check_layer

__all__ = ["check_layer"]
