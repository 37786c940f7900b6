"""Priors p(w) over weights, each weight independent of the others; all share one, or each has its earlier posterior."""

from tfp_bnn._prior_sharing import kept_shared
from tfp_bnn.priors.earlier_posterior import EarlierPosterior, EarlierWeights, from_posterior
from tfp_bnn.priors.fitted_normal import FittedNormal
from tfp_bnn.priors.normal import Normal
from tfp_bnn.priors.prior import Prior
from tfp_bnn.priors.scale_mixture import ScaleMixture

__all__ = [
    "NAMES",
    "EarlierPosterior",
    "EarlierWeights",
    "FittedNormal",
    "Normal",
    "Prior",
    "ScaleMixture",
    "from_posterior",
    "kept_shared",
]

NAMES = ("normal", "scale_mixture")
"""What command lines call them."""
