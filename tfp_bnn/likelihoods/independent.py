"""What likelihoods of real targets, of counts and of yes-or-no targets have in common."""

import abc
import math
from types import ModuleType
from typing import Any

import keras
import numpy as np

from tfp_bnn._backend import tfp
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

    @property
    def _num_parameters(self) -> int:
        """Of how many outputs for each target the parameters are made."""
        return 1

    def num_targets(self, num_outputs: int) -> int:
        """Returns how many targets so many outputs predict; raises ValueError if it cannot be."""
        count = self._num_parameters
        if num_outputs % count:
            name = type(self).__name__
            raise ValueError(
                f"{name} needs {count} outputs for each target, so {count} or a multiple of it. "
                f"Received: {num_outputs} outputs"
            )
        return num_outputs // count

    def _blocks(self, outputs: Tensor) -> list[Tensor]:
        """Returns the outputs as blocks, [..., n, targets] each; raises ValueError if they cannot be."""
        outputs = keras.ops.convert_to_tensor(outputs)
        self.num_targets(outputs.shape[-1])
        return keras.ops.split(outputs, self._num_parameters, axis=-1)

    def log_prob(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Returns the log-probability (of real targets the log-density) in nats, summed over the targets' dimensions.

        Raises:
            ValueError: if there are not as many targets as the outputs have parameters for.
        """
        ops = keras.ops
        parameters = self._parameters(outputs)
        y = self._rows_beside(ops.cast(y, parameters[0].dtype), np.shape(outputs))
        return ops.sum(self._log_densities(y, *parameters), axis=-1)

    def check_targets(self, outputs: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Returns `y`; raises ValueError if a target cannot be had."""
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
        tfd = tfp.distributions(*parameters)
        return tfd.Independent(self._distributions(tfd, *parameters), reinterpreted_batch_ndims=1)

    def predictive_distribution(self, draws: Tensor) -> Any:
        """Returns the equal mixture of the draws' distributions as a `tfd.MixtureSameFamily`."""
        draws = keras.ops.swapaxes(draws, 0, 1)
        logits = keras.ops.zeros(draws.shape[:2], draws.dtype)
        tfd = tfp.distributions(draws)
        return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), self.distribution(draws))
