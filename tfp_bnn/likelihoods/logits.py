"""What likelihoods of classes and of yes-or-no targets have in common: their parameters are logits."""

import abc
from typing import Any, Self

import keras
import numpy as np

from tfp_bnn.likelihoods import heads
from tfp_bnn.likelihoods.likelihood import Likelihood

Tensor = Any

# Of drawn outputs: sums of a softmax in single precision are that near to 1, and logits are not.
_LIKELY_ROUNDING = 1e-4
# What half precision may leave.
ROUNDING = 1e-2


class LogitLikelihood(Likelihood):
    """A likelihood whose parameters are logits, of which `activation` makes probabilities.

    Args:
        from_logits: whether the outputs are the logits, as Keras's losses call it. False: they are the probabilities
            that the network's last activation makes of them.
    """

    activation: str
    """What makes probabilities of the logits: "softmax" or "sigmoid"."""

    def __init__(
        self,
        from_logits: bool = True,
        name: str = "nll",
        reduction: str = "sum_over_batch_size",
        **kwargs: Any,
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)
        if not isinstance(from_logits, bool):
            raise ValueError(f"`from_logits` must be True or False. Received: from_logits={from_logits!r}")
        self.from_logits = from_logits

    def logits(self, outputs: Tensor) -> Tensor:
        """Returns the logits: the outputs or, with `from_logits=False`, those behind the probabilities.

        Raises:
            ValueError: as `check_outputs` does.
        """
        self.check_outputs(outputs)
        if self.from_logits:
            return keras.ops.convert_to_tensor(outputs)
        behind = heads.logits_of(outputs)
        outputs = keras.ops.convert_to_tensor(outputs)
        # Half precision has no probability between 0.996 and 1.
        dtype = "float64" if keras.backend.standardize_dtype(outputs.dtype) == "float64" else "float32"
        if behind is not None:
            return keras.ops.cast(behind, dtype)
        return self._logits_of_probabilities(keras.ops.cast(outputs, dtype))

    @abc.abstractmethod
    def _logits_of_probabilities(self, probabilities: Tensor) -> Tensor:
        """Returns finite logits of probabilities, also of 0 and 1; NaN of what is none."""

    def at_temperature(self, outputs: np.ndarray, temperature: float) -> tuple[np.ndarray, Self]:
        """Returns the logits divided by a temperature, and the same likelihood of outputs that are logits."""
        of_logits = type(self).from_config({**self.get_config(), "from_logits": True})
        return keras.ops.convert_to_numpy(self.logits(outputs)) / temperature, of_logits

    def check_outputs(self, outputs: Tensor) -> None:
        """Raises ValueError if the outputs are seen to be probabilities where logits are expected, or are of another.

        Args:
            outputs: a tensor that a network gave, or a symbolic one, such as `model.outputs[0]`.
        """
        self._check_activation(heads.activation_of(outputs))

    def check_model(self, model: keras.Model) -> None:
        """Raises ValueError as `check_outputs` does, if the model of one output is seen to end in such an activation.

        A softmax or a sigmoid in a subclass of `keras.Model` is not seen.
        """
        self._check_activation(heads.activation_of_model(model))

    def check_drawn_outputs(self, outputs: np.ndarray) -> None:
        """Raises ValueError if drawn outputs are probabilities where logits are expected, or the reverse.

        Of one output, or of independent ones, logits may look like probabilities: they pass.

        Args:
            outputs: the network's, [draws, n, outputs].
        """
        if self.from_logits:
            if self._sums_to_one(outputs[:1, :100], _LIKELY_ROUNDING) and self._sums_to_one(outputs, _LIKELY_ROUNDING):
                self._check_activation(self.activation)
            return
        outside = outputs[(outputs < 0) | (outputs > 1 + ROUNDING)]
        if outside.size:
            raise ValueError(
                f"With from_logits=False the network must end in a {self.activation}: its outputs are probabilities. "
                f"Received: an output of {outside.flat[0]}"
            )

    def _sums_to_one(self, outputs: np.ndarray, rounding: float) -> bool:
        """Returns whether these are, beyond doubt, probabilities of classes."""
        return False

    def _check_activation(self, activation: str | None) -> None:
        name = type(self).__name__
        if activation is None:
            return
        if self.from_logits:
            raise ValueError(
                f"{name} takes logits, but the network ends in a {activation}, and predictions would apply it twice. "
                f"Remove the activation of the last layer, or write {name}(from_logits=False). "
                f"Received: outputs of a {activation}"
            )
        if activation not in (self.activation, heads.UNKNOWN):
            raise ValueError(
                f"{name}(from_logits=False) takes the probabilities that a {self.activation} makes. "
                f"Received: outputs of a {activation}"
            )

    def get_config(self) -> dict[str, Any]:
        """Returns what the constructor takes."""
        return {**super().get_config(), "from_logits": self.from_logits}
