"""The model that is served, with all that its answers depend on."""

import dataclasses

import keras
import numpy as np

import tfp_bnn as bnn
from scripts.common.reporting import ScriptError

# Of axes that a model leaves open, such as time, in the prediction that is made to try it.
OPEN_SIZE = 32


@dataclasses.dataclass(frozen=True, eq=False)
class ServedModel:
    """A Bayesian model of one input and one output, and how it is asked.

    Args:
        model: with Bayesian layers, compiled with a likelihood.
        name: what it is called in answers.
        num_draws: weight draws of a prediction.
        seed: of the draws: all requests are answered by the same ones.
        cutoff: of classes: refuse to choose one below this probability of the likeliest.
        temperature: of classes: what each draw's logits are divided by.
        class_names: what the classes are called; none if empty.
    """

    model: keras.Model
    name: str = "model"
    num_draws: int = 50
    seed: int = 0
    cutoff: float = 0.5
    temperature: float = 1.0
    class_names: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """The shape of one example; None where any size will do."""
        return tuple(self.model.input_shape[1:])

    @property
    def dtype(self) -> str:
        """The type of the input's numbers."""
        return keras.backend.standardize_dtype(self.model.inputs[0].dtype)

    @property
    def num_tokens(self) -> int | None:
        """How many tokens there are, if examples are tokens that the model looks up in a table; otherwise None."""
        tables = [
            layer.input_dim
            for layer in self.model.layers
            if isinstance(layer, keras.layers.Embedding | bnn.layers.Embedding)
            and tuple(layer.input.shape) == tuple(self.model.inputs[0].shape)
        ]
        return min(tables, default=None)

    def takes_images(self) -> bool:
        """Returns whether an example is an image [height, width, 1 or 3] of one size."""
        return len(self.input_shape) == 3 and None not in self.input_shape and self.input_shape[-1] in (1, 3)

    def predict(self, inputs: np.ndarray) -> bnn.Predictive:
        """Returns the predictive distribution of examples [n, ...]; several threads may ask at once."""
        predictive = bnn.predict(self.model, inputs, self.num_draws, seed=self.seed, verbose=False)
        return predictive if self.temperature == 1 else predictive.at_temperature(self.temperature)

    def tried(self) -> bnn.Predictive:
        """Returns a prediction of zeros, which compiles the model before the first request.

        Raises:
            ScriptError: if the model cannot be served as it is asked for.
        """
        if len(self.model.inputs) != 1 or len(self.model.outputs) != 1:
            raise ScriptError(
                "Expected a model of one input and one output. "
                f"Received: {len(self.model.inputs)} inputs and {len(self.model.outputs)} outputs"
            )
        if not self.dtype.startswith(("float", "bfloat", "int", "uint")):
            raise ScriptError(f"Expected a model of numbers. Received: an input of {self.dtype}")
        shape = [OPEN_SIZE if size is None else size for size in self.input_shape]
        predictive = self.predict(np.zeros((1, *shape), self.dtype))
        if len(predictive.shape_of_targets) > 1:
            raise ScriptError(f"Expected a model with one output row for each example. Received: {predictive!r}")
        classes = predictive.class_probabilities().shape[-1] if predictive.predicts_classes() else 0
        if self.class_names and len(self.class_names) != classes:
            raise ScriptError(
                f"--class-names must name each of {classes} classes. Received: {len(self.class_names)} names"
            )
        return predictive
