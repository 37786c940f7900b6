"""A layer to check: its class, and how to make one with random posteriors."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tfp_bnn import posteriors, priors
from tfp_bnn.layers import VariationalLayer
from tfp_bnn.testing.on_backends import numpy

KL_WEIGHT = 0.25
PRIORS: dict[str, Callable[[], priors.Prior]] = {
    "normal": lambda: priors.Normal(scale=0.7, loc=0.2),
    "fixed mixture": lambda: priors.ScaleMixture(1.5, 0.1, 0.3),
    "learned mixture": lambda: priors.ScaleMixture(1.5, 0.1, 0.3, trainable=True),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A layer class and how to make one.

    Args:
        layer_class: the class.
        geometry: what the arguments are an example of, for messages.
        arguments: positional arguments of the class.
        keywords: others.
        input_shape: of the inputs, the batch included; at least 3 examples.
        estimator: the layer's estimator by name; None if it has none, or one of its own.
        linear: whether the outputs, before the activation, are linear in all random weights together.
    """

    layer_class: type[VariationalLayer]
    geometry: str
    arguments: tuple
    keywords: Mapping[str, Any]
    input_shape: tuple[int, ...]
    estimator: str | None = None
    linear: bool = True

    def __str__(self) -> str:
        return "-".join(filter(None, (self.layer_class.__name__, self.estimator, self.geometry)))

    def takes(self, keyword: str) -> bool:
        """Returns whether the class takes a keyword: its config says so."""
        return keyword in self._config

    @functools.cached_property
    def _config(self) -> dict[str, Any]:
        return self.layer_class(*self.arguments, **self.keywords).get_config()

    def make(self, **keywords: Any) -> VariationalLayer:
        """Returns a built layer, its bias random, its means from N(0, 1), its standard deviations from U(0.2, 1.5).

        Args:
            **keywords: of the class; an `activation` is left out if it takes none.
        """
        if not self.takes("activation"):
            keywords.pop("activation", None)
        if self.takes("bias_posterior") and self.has_bias():
            keywords = {"bias_posterior": posteriors.MeanFieldNormal(), **keywords}
        if self.estimator and self.takes("estimator"):
            keywords = {"estimator": self.estimator, **keywords}
        layer = self.layer_class(*self.arguments, **{**self.keywords, **keywords})
        layer.build((None, *self.input_shape[1:]))
        rng = np.random.default_rng(1)
        set_posterior(layer, lambda shape: (rng.normal(size=shape), rng.uniform(0.2, 1.5, shape)))
        return layer

    def has_bias(self) -> bool:
        """Returns whether the layer has a bias."""
        return self._config.get("use_bias", self._config.get("bias_axes")) not in (False, None)

    def make_keras(self, **keywords: Any) -> keras.layers.Layer:
        """Returns the Keras layer that the layer stands for, built; keywords take the place of its own."""
        plain = self.make().keras_layer()
        layer = type(plain).from_config({**plain.get_config(), **keywords})
        layer.build((None, *self.input_shape[1:]))
        return layer

    def inputs(self) -> np.ndarray:
        """Returns inputs from N(0, 1); the last two examples of the batch are the same."""
        inputs = np.random.default_rng(0).normal(size=self.input_shape).astype("float32")
        inputs[-1] = inputs[-2]
        return inputs


def make_with_prior(case: Case, prior: priors.Prior, **keywords: Any) -> VariationalLayer:
    """Returns a layer of a case with this prior for all its random weights, the bias too."""
    if case.takes("bias_prior") and case.has_bias():
        keywords["bias_prior"] = prior
    return case.make(prior=prior, kl_weight=KL_WEIGHT, **keywords)


def exact_divergence(case: Case) -> dict[str, Any]:
    """Returns the argument that makes a layer take the closed form, if it does not do so by itself."""
    return {"kl_use_exact": True} if case.takes("kl_use_exact") else {}


def set_posterior(layer: VariationalLayer, values: Callable[[tuple[int, ...]], tuple[Any, Any]]) -> None:
    """Sets the means and standard deviations of a layer's random weights to what a function of their shape gives."""
    for variables, _ in layer.random_weights.values():
        variables.assign(*values(tuple(variables.mean.shape)))


def zero_stddev(layer: VariationalLayer) -> Callable[[tuple[int, ...]], tuple[Any, Any]]:
    """Returns the function for `set_posterior` that keeps the means and takes the noise away."""
    means = iter([numpy(variables.mean) for variables, _ in layer.random_weights.values()])
    return lambda shape: (next(means), np.zeros(shape))
