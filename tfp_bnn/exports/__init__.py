"""Bayesian models in files that know nothing of Python: mean and doubt, for other runtimes."""

from tfp_bnn.exports.export import export

__all__ = ["export"]
