"""An earlier posterior as the new prior: what was learned from data that are gone stays."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn import _keras
from tfp_bnn._backend import tfp
from tfp_bnn._numerics.constants import HALF_LOG_TWO_PI
from tfp_bnn._numerics.precision import widened
from tfp_bnn.posteriors import NormalWeights
from tfp_bnn.priors.bounds import SMALLEST_STDDEV
from tfp_bnn.priors.prior import Prior

Tensor = Any


class EarlierWeights(Prior):
    """The prior of one tensor of weights, `p(w) = N(w | loc, scale^2)` with a loc and a scale for each weight.

    `EarlierPosterior` makes it. Its values can change from one training step to the next; they are not trained.

    Args:
        shape: of the weights.
        scale: all standard deviations at the start; all means are 0.
    """

    def __init__(self, shape: Sequence[int], scale: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.loc = self._variable("loc", shape, 0.0)
        self.scale = self._variable("scale", shape, scale)

    def _variable(self, name: str, shape: Sequence[int], start: float) -> keras.Variable:
        return self.add_weight(
            name=name,
            shape=tuple(shape),
            initializer=keras.initializers.Constant(start),
            # Mixed precision must not round what divergences are computed from.
            dtype=widened(self.variable_dtype),
            autocast=False,
            trainable=False,
        )

    def assign(self, loc: Any, scale: Any) -> None:
        """Sets the means and the standard deviations, arrays of the weights' shape (or that broadcast to it).

        A standard deviation of 0, as pruned weights have, becomes 4e-18: the square of its inverse is a number.
        """
        shape = tuple(self.loc.shape)
        self.loc.assign(np.broadcast_to(loc, shape))
        self.scale.assign(np.broadcast_to(np.maximum(scale, SMALLEST_STDDEV), shape))

    def loc_and_scale(self, dtype: Any) -> tuple[Tensor, Tensor]:
        """Returns the current means and standard deviations as tensors of this dtype."""
        return tuple(keras.ops.cast(keras.ops.convert_to_tensor(values), dtype) for values in (self.loc, self.scale))

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log N(w | loc, scale^2) in nats for each weight."""
        weights = keras.ops.convert_to_tensor(weights)
        loc, scale = self.loc_and_scale(weights.dtype)
        return -0.5 * keras.ops.square((weights - loc) / scale) - keras.ops.log(scale) - HALF_LOG_TWO_PI

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns `tfd.Normal(loc, scale)`.

        Args:
            shape: the weights', or nothing, or that of their first rows: of a kernel whose bias is the last row.

        Raises:
            ValueError: if it is another shape.
        """
        shape, own = tuple(shape), tuple(self.loc.shape)
        rows = slice(*shape[:1]) if shape else slice(None)
        if shape and (shape[1:] != own[1:] or shape[0] > own[0]):
            raise ValueError(f"This prior is one of weights of shape {own}. Received: shape={shape}")
        loc, scale = (values[rows] if own else values for values in self.loc_and_scale(self.loc.dtype))
        return tfp.distributions(loc, scale).Normal(loc, scale)


@keras.saving.register_keras_serializable("tfp_bnn.priors")
class EarlierPosterior(Prior):
    """The prior of one layer, `p(w) = N(w | loc, scale^2)` with a loc and a scale for each of its random weights.

    `from_posterior` makes it of what a layer has learned. Layers take its KL divergence from a Gaussian posterior in
    closed form. Its values are not trained. Files of a model hold them, and copies made in Python get them; a layer
    made of a config in another process has those of the start until weights are loaded.

    Args:
        shapes: of the layer's tensors of random weights, by name.
        scale: all standard deviations until others are assigned (`prior.of(name, shape).assign`), in units of the
            weights, positive; all means are 0.

    Raises:
        ValueError: if there are no shapes, or if `scale` is not positive.

    Example:

    >>> prior = EarlierPosterior({"kernel": (4, 3)}, scale=0.5)
    >>> prior.of("kernel", (4, 3)).assign(loc=1.0, scale=0.1)

    Source: Nguyen et al. 2018, "Variational Continual Learning", equation 2.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], scale: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if not shapes:
            raise ValueError(f"`shapes` must have one tensor of weights at least. Received: shapes={shapes!r}")
        if not 0 < scale < math.inf:
            raise ValueError(f"`scale` must be positive and finite. Received: scale={scale}")
        self.shapes = {name: tuple(map(int, shape)) for name, shape in shapes.items()}
        self.initial_scale = float(scale)
        self._of = {name: EarlierWeights(shape, self.initial_scale) for name, shape in self.shapes.items()}
        for number, prior in enumerate(self._of.values()):
            # Attributes, since `tf.train.Checkpoint` looks for variables in attributes.
            setattr(self, f"tensor_{number}", prior)

    def of(self, name: str, shape: Sequence[int]) -> EarlierWeights:
        """Returns the prior of one tensor of weights; raises ValueError if it is not one of the layer's."""
        if self.shapes.get(name) != tuple(shape):
            raise ValueError(
                f"This prior was the posterior of {self._in_words()}, and is one of no other weights. "
                f"Received: {name!r} of shape {tuple(shape)}"
            )
        return self._of[name]

    def the_only(self) -> EarlierWeights:
        """Returns the prior of the weights of a layer with one tensor of them; raises ValueError if there are more."""
        if len(self._of) > 1:
            raise ValueError(f"Ask `prior.of(name, shape)` about one tensor of weights. Received: {self._in_words()}")
        return next(iter(self._of.values()))

    def _in_words(self) -> str:
        return " and ".join(f"{name!r} of shape {shape}" for name, shape in self.shapes.items())

    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log p(w) in nats for each of `the_only` weights."""
        return self.the_only().log_prob(weights)

    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns the TFP distribution of `the_only` weights, as it is now."""
        return self.the_only().distribution(shape)

    def take_after(self, original: "EarlierPosterior") -> None:
        """Takes over the values."""
        for name, weights in original._of.items():
            self._of[name].assign(*map(keras.ops.convert_to_numpy, (weights.loc, weights.scale)))

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes; the values are variables."""
        shapes = {name: list(shape) for name, shape in self.shapes.items()}
        return {**super().get_config(), "shapes": shapes, "scale": self.initial_scale}


def from_posterior(layer: keras.layers.Layer) -> EarlierPosterior | dict[str, EarlierPosterior]:
    """Returns the posterior of a layer as it is now, to be the prior of what is learned from now on.

    By Bayes's rule the posterior of all data is that of the later data under this prior. So a model goes on learning
    from data that come day by day, and forgets no day:

        model.fit(monday)
        model = bnn.with_priors(model, bnn.priors.from_posterior(model))
        model.fit(tuesday)

    Args:
        layer: a built Bayesian layer whose posterior is Gaussian, or a model with such layers.

    Returns:
        The prior, with values of its own. Of a model one for each Bayesian layer, by the layer's name.

    Raises:
        ValueError: if there are no random weights, if a posterior is not Gaussian or not finite, or if Bayesian
            layers of a model share a name.

    Example:

    >>> from tfp_bnn import layers
    >>> model = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="head")])
    >>> from_posterior(model)["head"].shapes
    {'kernel': (4, 3)}

    Source: Nguyen et al. 2018, "Variational Continual Learning", equation 2.
    """
    if _is_bayesian(layer):
        return _of_layer(layer)
    inside = _keras.flatten_layers(layer) if isinstance(layer, keras.layers.Layer) else []
    found = [each for each in inside if _is_bayesian(each)]
    if not found:
        raise ValueError(f"Expected a Bayesian layer, or a model with such layers. Received: {layer!r}")
    names = [each.name for each in found]
    if len(set(names)) < len(names):
        raise ValueError(f"Each Bayesian layer needs a name of its own. Received: layers {', '.join(names)}")
    return {each.name: _of_layer(each) for each in found}


def _is_bayesian(layer: Any) -> bool:
    # Not by its class: layers are made of priors.
    return hasattr(layer, "random_weights")


def _of_layer(layer: Any) -> EarlierPosterior:
    if not layer.random_weights:
        raise ValueError(f"A layer has no posterior before it is built. Received: layer {layer.name!r}, not built")
    today = {name: _today(variables.read(), layer.name) for name, (variables, _) in layer.random_weights.items()}
    prior = EarlierPosterior({name: mean.shape for name, (mean, _) in today.items()})
    for name, (mean, stddev) in today.items():
        prior.of(name, mean.shape).assign(mean, stddev)
    return prior


def _today(posterior: Any, layer_name: str) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(posterior, NormalWeights):
        raise ValueError(
            "Only a Gaussian posterior can become a prior. "
            f"Received: {type(posterior).__name__} in layer {layer_name!r}"
        )
    mean, stddev = map(keras.ops.convert_to_numpy, (posterior.mean, posterior.stddev))
    if not (np.isfinite(mean).all() and np.isfinite(stddev).all()):
        raise ValueError(
            "The posterior must be finite; the training may have diverged. "
            f"Received: means and standard deviations of layer {layer_name!r} that are not finite"
        )
    return mean, stddev
