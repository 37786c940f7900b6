"""The base of all priors."""

import abc
import uuid
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfp_bnn import _prior_sharing

Tensor = Any

# All priors of this process, by identity: a copy made of a config can ask the original.
_living: "weakref.WeakValueDictionary[str | None, Prior]" = weakref.WeakValueDictionary()


class Prior(keras.layers.Layer, abc.ABC):
    """A prior over weights. One object may serve any number of layers; what it learns, it learns from all of them.

    It is a Keras layer only so that Keras tracks its variables: a learned prior appears in `trainable_variables`
    once, however many layers hold it. It is still shared after saving and loading (`.keras`), in pickles, in
    `copy.deepcopy` and `tfp_bnn.clone_model`; each copy of the model has a prior of its own. What else copies a model
    gives each layer its own, except for copies within `tfp_bnn.priors.kept_shared()`.
    """

    def __init__(self, name: str | None = None):
        super().__init__(name=name)
        # Which object it is, for configs: names and parameters of two priors may be the same.
        self.identity = uuid.uuid4().hex
        self.copied_from: str | None = None
        _living[self.identity] = self
        self.built = True
        self._layers_served: weakref.WeakSet[keras.layers.Layer] = weakref.WeakSet()

    def of(self, name: str, shape: Sequence[int]) -> "Prior":
        """Returns the prior of one tensor of weights of a layer: the same for all, unless it differs by tensor.

        Args:
            name: what the weights are, such as "kernel".
            shape: their shape.
        """
        return self

    def take_after(self, original: "Prior") -> None:
        """Takes over from the prior that it is a copy of what no config holds; what is learned starts anew."""

    def serve(self, layer: keras.layers.Layer) -> None:
        """Notes that a layer has weights with this prior."""
        self._layers_served.add(layer)

    def follow_layers(self) -> None:
        """Freezes the prior if all its layers are frozen: one that is still trained goes on teaching it."""
        self.trainable = any(layer.trainable for layer in self._layers_served)

    @abc.abstractmethod
    def log_prob(self, weights: Tensor) -> Tensor:
        """Returns log p(w) in nats for each weight, of the shape of `weights`."""

    @abc.abstractmethod
    def distribution(self, shape: Sequence[int] = ()) -> Any:
        """Returns the prior of a tensor of weights as a TFP distribution of batch shape `shape`, as it is now."""

    def stddev(self) -> Tensor | None:
        """Returns the standard deviation of each weight, as it is now, a scalar; None if weights differ in theirs."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes, and which prior it is."""
        return {"name": self.name, "identity": self.identity, "copied_from": self.copied_from}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Prior":
        """Makes the prior that `get_config` describes; within `kept_shared`, one for all configs of one prior."""
        arguments = {name: value for name, value in config.items() if name not in ("identity", "copied_from")}

        def make() -> "Prior":
            prior = cls(**arguments)
            # Of a copy of a copy too, the first of all.
            prior.copied_from = config.get("copied_from") or config.get("identity")
            if (original := _living.get(config.get("identity"))) is not None:
                prior.take_after(original)
            return prior

        return _prior_sharing.copy_of(config, make)
