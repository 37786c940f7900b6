"""Figures of Bayesian networks: their weights, their training, what they predict and how sure they are of it.

Every function returns a Matplotlib `Figure` and neither shows nor saves it. A notebook shows the last value of a cell;
`figure.savefig("name.png")` saves it. pyplot and the settings of other figures are left as they are.
"""

from tfp_bnn.plots.calibration import reliability
from tfp_bnn.plots.classification import predictions, uncertainty
from tfp_bnn.plots.curve_fitting import quartiles, regression
from tfp_bnn.plots.detection import entropy_histograms, roc
from tfp_bnn.plots.rotated_image import rotation
from tfp_bnn.plots.segmentation import segmentation
from tfp_bnn.plots.selective import accuracy_rejection
from tfp_bnn.plots.targets import observed
from tfp_bnn.plots.training import training_curves
from tfp_bnn.plots.uncertain_images import least_sure
from tfp_bnn.plots.weights import signal_to_noise, single_weight, weight_densities, weight_posteriors

__all__ = [
    "accuracy_rejection",
    "entropy_histograms",
    "least_sure",
    "observed",
    "predictions",
    "quartiles",
    "regression",
    "reliability",
    "roc",
    "rotation",
    "segmentation",
    "signal_to_noise",
    "single_weight",
    "training_curves",
    "uncertainty",
    "weight_densities",
    "weight_posteriors",
]
