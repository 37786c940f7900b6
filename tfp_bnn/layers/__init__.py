"""Bayesian layers. Each works in any Keras model, beside any Keras layer."""

from tfp_bnn.layers.base import VariationalLayer, variational_layers
from tfp_bnn.layers.convolution import (
    Conv1DFlipout,
    Conv1DLocalReparameterization,
    Conv1DReparameterization,
    Conv2DFlipout,
    Conv2DLocalReparameterization,
    Conv2DReparameterization,
    Conv3DFlipout,
    Conv3DLocalReparameterization,
    Conv3DReparameterization,
)
from tfp_bnn.layers.dense import DenseFlipout, DenseLocalReparameterization, DenseReparameterization
from tfp_bnn.layers.dense_variational import DenseVariational
from tfp_bnn.layers.sequences import hold_weights_in_loops

hold_weights_in_loops()

# TFP's spelling.
Convolution1DFlipout = Conv1DFlipout
Convolution2DFlipout = Conv2DFlipout
Convolution3DFlipout = Conv3DFlipout
Convolution1DReparameterization = Conv1DReparameterization
Convolution2DReparameterization = Conv2DReparameterization
Convolution3DReparameterization = Conv3DReparameterization

__all__ = [
    "Conv1DFlipout",
    "Conv1DLocalReparameterization",
    "Conv1DReparameterization",
    "Conv2DFlipout",
    "Conv2DLocalReparameterization",
    "Conv2DReparameterization",
    "Conv3DFlipout",
    "Conv3DLocalReparameterization",
    "Conv3DReparameterization",
    "Convolution1DFlipout",
    "Convolution1DReparameterization",
    "Convolution2DFlipout",
    "Convolution2DReparameterization",
    "Convolution3DFlipout",
    "Convolution3DReparameterization",
    "DenseFlipout",
    "DenseLocalReparameterization",
    "DenseReparameterization",
    "DenseVariational",
    "VariationalLayer",
    "variational_layers",
]
