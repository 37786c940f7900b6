"""What likelihoods of real targets, of counts and of yes-or-no targets have in common."""

import abc
import math
from types import ModuleType
from typing import Any

import keras
import numpy as np

from tfp_bnn import _tfp
from tfp_bnn.likelihoods.likelihood import Likelihood

Tensor = Any


class IndependentLikelihood(Likelihood):
    """Targets whose dimensions are independent given the outputs, `p(y | outputs) = prod_i p(y_i | parameters_i)`.

    The outputs are blocks of one size, the number of targets: first one parameter of all targets, then the next.

    A family says what its parameters are, `_parameters`, and what it is in them: the abstract methods below, `mean`,
    `variance` and, where it has a closed form, `entropy`. All of them are elementwise but the entropy, which is summed.
    """

    _plural: str
    """The family's distributions, as errors call them."""

    _targets_expected = "Targets must be finite."

    # What a family is.

    @abc.abstractmethod
    def _parameters(self, outputs: Tensor) -> tuple[Tensor, ...]:
        """Returns the parameters of the family, each [..., n, targets] or with further axes behind."""

    @abc.abstractmethod
    def _log_densities(self, y: Tensor, *parameters: Tensor) -> Tensor:
        """Returns the log-density, or of counts the log-probability, of each target, [..., n, targets]."""

    @abc.abstractmethod
    def _distributions(self, tfd: ModuleType, *parameters: Tensor) -> Any:
        """Returns the distribution of TFP's `tfd` of each target; its batch shape is [..., n, targets]."""

    def _allowed(self, y: Tensor) -> Tensor:
        """Returns where a target can be had. Operators alone, so that it takes arrays and tensors."""
        return abs(y) < math.inf

    # What follows from it.

    def _blocks(self, outputs: Tensor, count: int, expected: str | None = None) -> list[Tensor]:
        """Returns the outputs as `count` blocks, [..., n, targets] each; raises ValueError if they cannot be."""
        outputs = keras.ops.convert_to_tensor(outputs)
        if outputs.shape[-1] % count:
            name = type(self).__name__
            expected = expected or f"{name} needs {count} outputs for each target, so {count} or a multiple of it."
            raise ValueError(f"{expected} Received: outputs of shape {tuple(outputs.shape)}")
        return keras.ops.split(outputs, count, axis=-1)

    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns the log-probability (of real targets the log-density) in nats, summed over the targets' dimensions.

        Raises:
            ValueError: if there are not as many targets as the outputs have parameters for.
        """
        ops = keras.ops
        outputs = ops.convert_to_tensor(outputs)
        parameters = self._parameters(outputs)
        targets = parameters[0].shape[len(outputs.shape) - 1]
        y = ops.cast(y, parameters[0].dtype)
        if len(y.shape) == 1:
            # Targets [n] beside outputs [n, 1] would broadcast to [n, n].
            y = ops.expand_dims(y, -1)
        if y.shape[-1] != targets or len(y.shape) > len(outputs.shape):
            raise ValueError(
                f"The likelihood expects targets of shape [n, {targets}]. Received: targets of shape "
                f"{tuple(y.shape)} beside outputs of shape {tuple(outputs.shape)}"
            )
        log_density = self._log_densities(y, *parameters)
        return ops.sum(log_density, axis=-1)

    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y`; raises ValueError if a target cannot be had, or if there is not a row of them for each input."""
        if y.ndim > 2:
            raise ValueError(f"Targets must be of shape [n] or [n, targets]. Received: shape {y.shape}")
        with np.errstate(invalid="ignore"):
            allowed = self._allowed(y)
        if not allowed.all():
            raise ValueError(f"{self._targets_expected} Received: {y[~allowed].flat[0]}")
        return y

    def entropy(self, outputs: Tensor) -> Tensor:
        """Raises ValueError: the entropy has no closed form."""
        raise self._no_closed_form(self._plural)

    def predictive_entropy(self, draws: Tensor) -> Tensor:
        """Raises ValueError: the entropy of a mixture of the draws has no closed form."""
        raise self._no_closed_form(f"a mixture of {self._plural}")

    def _no_closed_form(self, of: str) -> ValueError:
        return ValueError(
            f"The entropy of {of} has no closed form; see `epistemic_stddev` and `aleatoric_stddev`. "
            f"Received: likelihood={type(self).__name__}"
        )

    def distribution(self, outputs: Tensor) -> Any:
        """Returns the distributions of the targets' dimensions as one `tfd.Independent`."""
        parameters = self._parameters(outputs)
        tfd = _tfp.distributions(*parameters)
        return tfd.Independent(self._distributions(tfd, *parameters), reinterpreted_batch_ndims=1)

    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns the equal mixture of the draws' distributions as a `tfd.MixtureSameFamily`."""
        draws = keras.ops.swapaxes(draws, 0, 1)
        logits = keras.ops.zeros(draws.shape[:2], draws.dtype)
        tfd = _tfp.distributions(draws)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), self.distribution(draws))


def positive(outputs: Tensor) -> Tensor:
    """Returns `softplus(outputs)`, for what the network predicts and must be positive, such as a scale."""
    # A scale of exactly 0 would make one example's loss infinite.
    return keras.ops.softplus(outputs) + keras.config.epsilon()
