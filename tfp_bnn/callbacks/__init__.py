"""Keras callbacks: weight of the KL term, scales of priors, noise, predictive metrics, actions every so many steps."""

from tfp_bnn._backend import sync_state
from tfp_bnn.callbacks.every_steps import EverySteps
from tfp_bnn.callbacks.fit_prior_scale import FitPriorScale
from tfp_bnn.callbacks.kl_weight import KLWeight
from tfp_bnn.callbacks.noise_warmup import NoiseWarmup
from tfp_bnn.callbacks.predictive_metrics import PredictiveMetrics

__all__ = ["EverySteps", "FitPriorScale", "KLWeight", "NoiseWarmup", "PredictiveMetrics", "sync_state"]
