"""Layers whose product is given by an equation, as in attention and in mixers."""

import re
import string
from collections.abc import Sequence
from typing import Any, Unpack

import keras

from tfp_bnn.estimators import LinearMap, LocalReparameterization, SignShapes
from tfp_bnn.layers.linear import BayesianArguments, LinearVariationalLayer

Tensor = Any


@keras.saving.register_keras_serializable("tfp_bnn")
class EinsumDense(LinearVariationalLayer):
    """A Bayesian product of inputs and a kernel by an equation: Keras's `EinsumDense` with random weights.

    Example:

    >>> layer = EinsumDense("abc,cd->abd", output_shape=(None, 10), bias_axes="d", kl_weight=1 / 60_000)
    >>> tuple(layer(keras.ops.ones((2, 5, 4))).shape)
    (2, 5, 10)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 3.2; of the estimators see
    `tfp_bnn.estimators`.
    """

    def __init__(
        self,
        equation: str,
        output_shape: int | Sequence[int | None],
        activation: Any = None,
        bias_axes: str | None = None,
        **kwargs: Unpack[BayesianArguments],
    ):
        """Makes the layer; its weights are made when it sees an input.

        Where inputs are summed over an axis that neither kernel nor outputs have, as in "abc,cd->ad", local
        reparameterization is an error: noise of a sum of inputs is not the sum of noises of single inputs.

        Args:
            equation: such as "abc,cd->abd": inputs, kernel, outputs; the first axis is the batch. Or with "...".
            output_shape: of the outputs without the batch; None where it is the inputs' size.
            activation: Keras activation, or None.
            bias_axes: the axes of the outputs along which biases differ, such as "d"; None adds no bias.
            estimator: how noise reaches the outputs: "flipout", "reparameterization", "local_reparameterization",
                "antithetic", or a `tfp_bnn.estimators.Estimator`; None stands for "flipout".
            prior: a `tfp_bnn.priors.Prior` of the weights; None stands for `Normal(scale=1.0)`.
            posterior: a `tfp_bnn.posteriors.Posterior` of the weights; None stands for `MeanFieldNormal()`.
            bias_prior: prior of the bias; None stands for `Normal(scale=1.0)`. Only with `bias_posterior`.
            bias_posterior: posterior of the bias; None trains the bias as a plain weight, as TFP's layers do.
            kl_weight: what the KL divergence is multiplied by in the loss; None leaves it to `callbacks.KLWeight`.
            seed: integer seed of the noise; None draws one.
            kernel_initializer: where the means start; None leaves it to the posterior.
            bias_initializer, bias_regularizer, bias_constraint: of a bias that is a plain weight.
            name, dtype, trainable, activity_regularizer: of `keras.layers.Layer`.

        Raises:
            ValueError: if an argument or the inputs' shape is wrong, or if it is trained with no KL weight set.
        """
        arguments = {
            "equation": equation,
            "output_shape": output_shape,
            "activation": activation,
            "bias_axes": bias_axes,
        }
        super().__init__(keras.layers.EinsumDense, arguments, **kwargs)
        if isinstance(self.estimator, LocalReparameterization) and (summed := self._summed_alone()):
            raise ValueError(
                f"Where inputs are summed over an axis alone, here {summed!r}, local reparameterization is wrong. "
                'Take estimator="flipout", "reparameterization" or "antithetic". '
                f"Received: equation={equation!r}"
            )

    @property
    def use_bias(self) -> bool:
        """Whether the layer has a bias."""
        return self.bias_axes is not None

    def linear_maps(self, input_shape: Sequence[int | None]) -> Sequence[LinearMap]:
        """Returns the product by the equation."""
        sizes = self._sizes(input_shape)
        inputs, kernel, outputs = self._labels(len(input_shape))
        if inputs[0] != outputs[0] or inputs[0] in kernel:
            raise ValueError(
                "The first axis of inputs and outputs must be the batch, which the kernel does not have. "
                f"Received: equation={self.equation!r}"
            )
        shape = tuple(sizes[label] for label in kernel)
        if not all(shape):
            raise ValueError(
                f"All axes of the kernel must have known sizes, at least 1. Received: kernel of shape {shape}, "
                f"equation={self.equation!r}, input_shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=len(input_shape))

        def signs(x: Tensor) -> SignShapes:
            batch = keras.ops.shape(x)[0]
            of_inputs, of_outputs = (
                (batch, *[sizes[label] if label in kernel else 1 for label in labels[1:]])
                for labels in (inputs, outputs)
            )
            return SignShapes(of_inputs, of_outputs)

        return [LinearMap("kernel", shape, self._multiply, signs, output_axis=None)]

    def bias_shape(self, input_shape: Sequence[int | None]) -> tuple[int, ...]:
        """Returns the sizes of the outputs' axes from the first in `bias_axes` on, 1 for those that are not."""
        sizes, (*_, outputs) = self._sizes(input_shape), self._labels(len(input_shape))
        first = min(outputs.index(label) for label in self.bias_axes)
        return tuple(sizes[label] if label in self.bias_axes else 1 for label in outputs[first:])

    def _multiply(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return keras.ops.einsum(self.equation, inputs, kernel)

    def _labels(self, rank: int) -> tuple[str, str, str]:
        """Returns the labels of the axes of inputs, kernel and outputs, with one for each axis of an ellipsis."""
        named = len(self.equation.split(",")[0].replace("...", ""))
        free = [letter for letter in string.ascii_letters if letter not in self.equation]
        terms = re.split(",|->", self.equation.replace(" ", "").replace("...", "".join(free[: rank - named])))
        return terms[0], terms[1], terms[2]

    def _sizes(self, input_shape: Sequence[int | None]) -> dict[str, int | None]:
        inputs, _, outputs = self._labels(len(input_shape))
        output_shape = self.compute_output_shape(input_shape)
        return dict(zip(outputs, output_shape, strict=True)) | dict(zip(inputs, input_shape, strict=True))

    def _summed_alone(self) -> str:
        inputs, kernel, outputs = re.split(",|->", self.equation)
        return "".join(label for label in inputs if label.isalpha() and label not in kernel + outputs)
