"""Weight decay beside Bayesian layers: it is of means alone."""

import keras

from tfp_bnn import _keras
from tfp_bnn.layers.base import variational_layers


def keep_to_means(model: keras.Model) -> None:
    """Keeps weight decay from what is not a weight: standard deviations, and parameters of learned priors.

    A standard deviation is the softplus of its variable, a prior's scale the exponential: decay of these variables
    would move any standard deviation towards 0.69, and any scale towards 1.
    """
    # A model that was never compiled has no such attribute.
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        _keras.keep_from_weight_decay(optimizer, _parameters_of_distributions(model))


def _parameters_of_distributions(model: keras.Model) -> list[keras.Variable]:
    found = []
    for layer in variational_layers(model):
        found += layer.variables_of_spreads
        for _, prior in layer.random_weights.values():
            found += prior.trainable_variables
    return found
