"""Bayesian layers. Each works in any Keras model, beside any Keras layer."""

from tfp_bnn.layers.attention import MultiHeadAttention
from tfp_bnn.layers.base import VariationalLayer, variational_layers
from tfp_bnn.layers.convolution import Conv1D, Conv2D, Conv3D
from tfp_bnn.layers.dense import Dense
from tfp_bnn.layers.dense_variational import DenseVariational
from tfp_bnn.layers.depthwise import DepthwiseConv1D, DepthwiseConv2D
from tfp_bnn.layers.einsum_dense import EinsumDense
from tfp_bnn.layers.embedding import Embedding
from tfp_bnn.layers.growing_noise import GrowingNoise
from tfp_bnn.layers.linear import LinearVariationalLayer
from tfp_bnn.layers.recurrent import GRU, LSTM, SimpleRNN
from tfp_bnn.layers.separable import SeparableConv1D, SeparableConv2D
from tfp_bnn.layers.sequences import hold_weights_in_loops
from tfp_bnn.layers.tfp_names import (
    Conv1DFlipout,
    Conv1DLocalReparameterization,
    Conv1DReparameterization,
    Conv2DFlipout,
    Conv2DLocalReparameterization,
    Conv2DReparameterization,
    Conv3DFlipout,
    Conv3DLocalReparameterization,
    Conv3DReparameterization,
    Convolution1DFlipout,
    Convolution1DReparameterization,
    Convolution2DFlipout,
    Convolution2DReparameterization,
    Convolution3DFlipout,
    Convolution3DReparameterization,
    DenseFlipout,
    DenseLocalReparameterization,
    DenseReparameterization,
)
from tfp_bnn.layers.transpose import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose
from tfp_bnn.layers.units_of_targets import UnitsOfTargets
from tfp_bnn.layers.wrapper import Bayesian, WrappingLayer

hold_weights_in_loops()

__all__ = [
    "Bayesian",
    "Conv1D",
    "Conv1DFlipout",
    "Conv1DLocalReparameterization",
    "Conv1DReparameterization",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DFlipout",
    "Conv2DLocalReparameterization",
    "Conv2DReparameterization",
    "Conv2DTranspose",
    "Conv3D",
    "Conv3DFlipout",
    "Conv3DLocalReparameterization",
    "Conv3DReparameterization",
    "Conv3DTranspose",
    "Convolution1DFlipout",
    "Convolution1DReparameterization",
    "Convolution2DFlipout",
    "Convolution2DReparameterization",
    "Convolution3DFlipout",
    "Convolution3DReparameterization",
    "Dense",
    "DenseFlipout",
    "DenseLocalReparameterization",
    "DenseReparameterization",
    "DenseVariational",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "EinsumDense",
    "Embedding",
    "GRU",
    "GrowingNoise",
    "LSTM",
    "LinearVariationalLayer",
    "MultiHeadAttention",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "UnitsOfTargets",
    "VariationalLayer",
    "WrappingLayer",
    "variational_layers",
]
