"""The names that TFP gives to layers: each a Keras layer's name and its estimator's."""

import keras

from tfp_bnn.layers.convolution import Conv1D, Conv2D, Conv3D
from tfp_bnn.layers.dense import Dense


@keras.saving.register_keras_serializable("tfp_bnn")
class DenseReparameterization(Dense):
    """A Bayesian fully connected layer: one draw of the weights for each batch.

    Its arguments are those of `Dense`, except for the estimator.

    `activation(dot(x, mu + sigma * eps) + bias)`

    Example:

    >>> layer = DenseReparameterization(10, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 4))).shape)
    (2, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    fixed_estimator = "reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class DenseLocalReparameterization(Dense):
    """A Bayesian fully connected layer: noise on the outputs instead of the weights.

    Its arguments are those of `Dense`, except for the estimator.

    `activation(dot(x, mu) + sqrt(dot(x^2, sigma^2)) * eps + bias)`

    Example:

    >>> layer = DenseLocalReparameterization(10, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 4))).shape)
    (2, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    fixed_estimator = "local_reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class DenseFlipout(Dense):
    """A Bayesian fully connected layer: one draw of the weights, its signs random by example.

    Its arguments are those of `Dense`, except for the estimator.

    `activation(dot(x, mu) + dot(x * s_in, sigma * eps) * s_out + bias)`

    Example:

    >>> layer = DenseFlipout(10, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 4))).shape)
    (2, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    fixed_estimator = "flipout"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1DReparameterization(Conv1D):
    """A Bayesian 1D convolution: one draw of the kernel for each batch.

    Its arguments are those of `Conv1D`, except for the estimator.

    `activation(conv(x, mu + sigma * eps) + bias)`

    Example:

    >>> layer = Conv1DReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    fixed_estimator = "reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1DLocalReparameterization(Conv1D):
    """A Bayesian 1D convolution: noise on the outputs instead of the kernel.

    Its arguments are those of `Conv1D`, except for the estimator.

    `activation(conv(x, mu) + sqrt(conv(x^2, sigma^2)) * eps + bias)`

    Example:

    >>> layer = Conv1DLocalReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    fixed_estimator = "local_reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv1DFlipout(Conv1D):
    """A Bayesian 1D convolution: one draw of the kernel, its signs random by example.

    Its arguments are those of `Conv1D`, except for the estimator.

    `activation(conv(x, mu) + conv(x * s_in, sigma * eps) * s_out + bias)`

    Example:

    >>> layer = Conv1DFlipout(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 3))).shape)
    (2, 6, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    fixed_estimator = "flipout"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2DReparameterization(Conv2D):
    """A Bayesian 2D convolution: one draw of the kernel for each batch.

    Its arguments are those of `Conv2D`, except for the estimator.

    `activation(conv(x, mu + sigma * eps) + bias)`

    Example:

    >>> layer = Conv2DReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    fixed_estimator = "reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2DLocalReparameterization(Conv2D):
    """A Bayesian 2D convolution: noise on the outputs instead of the kernel.

    Its arguments are those of `Conv2D`, except for the estimator.

    `activation(conv(x, mu) + sqrt(conv(x^2, sigma^2)) * eps + bias)`

    Example:

    >>> layer = Conv2DLocalReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    fixed_estimator = "local_reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv2DFlipout(Conv2D):
    """A Bayesian 2D convolution: one draw of the kernel, its signs random by example.

    Its arguments are those of `Conv2D`, except for the estimator.

    `activation(conv(x, mu) + conv(x * s_in, sigma * eps) * s_out + bias)`

    Example:

    >>> layer = Conv2DFlipout(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 3))).shape)
    (2, 6, 6, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    fixed_estimator = "flipout"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3DReparameterization(Conv3D):
    """A Bayesian 3D convolution: one draw of the kernel for each batch.

    Its arguments are those of `Conv3D`, except for the estimator.

    `activation(conv(x, mu + sigma * eps) + bias)`

    Example:

    >>> layer = Conv3DReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 6, 6, 6, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2.
    """

    fixed_estimator = "reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3DLocalReparameterization(Conv3D):
    """A Bayesian 3D convolution: noise on the outputs instead of the kernel.

    Its arguments are those of `Conv3D`, except for the estimator.

    `activation(conv(x, mu) + sqrt(conv(x^2, sigma^2)) * eps + bias)`

    Example:

    >>> layer = Conv3DLocalReparameterization(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 6, 6, 6, 10)

    Source: Kingma, Salimans and Welling 2015, "Variational Dropout and the Local Reparameterization Trick",
    section 2.2.
    """

    fixed_estimator = "local_reparameterization"


@keras.saving.register_keras_serializable("tfp_bnn")
class Conv3DFlipout(Conv3D):
    """A Bayesian 3D convolution: one draw of the kernel, its signs random by example.

    Its arguments are those of `Conv3D`, except for the estimator.

    `activation(conv(x, mu) + conv(x * s_in, sigma * eps) * s_out + bias)`

    Example:

    >>> layer = Conv3DFlipout(10, 3, activation="relu", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 8, 8, 8, 3))).shape)
    (2, 6, 6, 6, 10)

    Source: Wen et al. 2018, "Flipout: Efficient Pseudo-Independent Weight Perturbations on Mini-Batches",
    equation 4.
    """

    fixed_estimator = "flipout"


# TFP's spelling.
Convolution1DFlipout = Conv1DFlipout
Convolution1DReparameterization = Conv1DReparameterization
Convolution2DFlipout = Conv2DFlipout
Convolution2DReparameterization = Conv2DReparameterization
Convolution3DFlipout = Conv3DFlipout
Convolution3DReparameterization = Conv3DReparameterization
