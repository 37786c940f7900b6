"""Figures of merit of predictions: arrays in, floats out; and Keras metrics that have their values over batches."""

from tfp_bnn.metrics.calibration import adaptive_calibration_error, expected_calibration_error, reliability
from tfp_bnn.metrics.classification import brier_score, negative_log_likelihood
from tfp_bnn.metrics.detection import aupr, auroc, fpr_at_tpr
from tfp_bnn.metrics.regression import coverage, crps, interval_score
from tfp_bnn.metrics.running import BrierScore, ExpectedCalibrationError, NegativeLogLikelihood
from tfp_bnn.metrics.selective import accuracy_rejection_area, accuracy_rejection_curve

__all__ = [
    "BrierScore",
    "ExpectedCalibrationError",
    "NegativeLogLikelihood",
    "accuracy_rejection_area",
    "accuracy_rejection_curve",
    "adaptive_calibration_error",
    "aupr",
    "auroc",
    "brier_score",
    "coverage",
    "crps",
    "expected_calibration_error",
    "fpr_at_tpr",
    "interval_score",
    "negative_log_likelihood",
    "reliability",
]
