"""Keras callbacks: the weight of the KL term, predictive metrics of validation data, actions every so many steps."""

from tfp_bnn._backend import sync_state
from tfp_bnn.callbacks.every_steps import EverySteps
from tfp_bnn.callbacks.kl_weight import KLWeight
from tfp_bnn.callbacks.noise_warmup import NoiseWarmup
from tfp_bnn.callbacks.predictive_metrics import PredictiveMetrics

__all__ = ["EverySteps", "KLWeight", "NoiseWarmup", "PredictiveMetrics", "sync_state"]
