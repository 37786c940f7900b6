"""One pass over a source of inputs: each batch through all drawn networks, with the heads of the model beside it."""

from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tfp_bnn._checks import check_count
from tfp_bnn.prediction import draws
from tfp_bnn.prediction.heads import Heads, check_outputs, heads_of
from tfp_bnn.prediction.mixture import Mixture, members_of
from tfp_bnn.prediction.sources import Batch, source_of

Tensor = Any


class Pass:
    """A pass over inputs, in batches.

    Args:
        model: the model, an ensemble, or a list of models.
        x, y, sample_weight, batch_size, steps: see `sources.source_of`.
        num_draws: how many weight draws.
        likelihood: see `heads.heads_of`.
        seed: integer that makes the draws repeatable; None draws one.
        verbose: whether a progress bar appears if it takes more than two seconds.
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        num_draws: int,
        batch_size: int,
        steps: int | None,
        likelihood: Any,
        seed: int | None,
        verbose: bool,
    ):
        self._mixture = Mixture(members_of(model), likelihood)
        self.model, self._likelihood = self._mixture.first, likelihood
        self._num_draws, self._seed, self._verbose = check_count("num_draws", num_draws), seed, verbose
        check_count("batch_size", batch_size)
        self._heads = self._mixture.heads
        self._source = source_of(self.model, x, y, sample_weight, batch_size=batch_size, steps=steps)
        self._has_checked_draws = False
        self.seeds: np.ndarray = np.zeros((0, 3), "int32")

    def batches(self) -> Iterator[tuple[Batch, Any]]:
        """Yields each batch once, with a progress bar that counts inputs; `seeds` are there from the first on."""
        from tqdm import auto as tqdm  # Slow to import.

        with tqdm.tqdm(
            total=self._source.num_inputs,
            desc=f"{self._num_draws} draws",
            unit="input",
            delay=draws.BAR_DELAY_SECONDS,
            disable=not self._verbose,
        ) as bar:
            for batch in self._source.batches:
                if not len(self.seeds):
                    self.seeds = self._mixture.seeds(batch.inputs, self._num_draws, self._seed)
                yield batch, bar

    def draw(self, batch: Any, seeds: np.ndarray) -> draws.DrawnOutputs:
        """Returns the outputs of networks drawn with some of the seeds; raises ValueError as the likelihoods do."""

        def check(outputs: Any) -> None:
            heads = self._heads or heads_of(self.model, outputs, self._likelihood)
            flat = keras.tree.flatten(outputs)
            check_outputs(heads, flat)
            for output, each in zip(flat, heads.likelihoods, strict=True):
                if each is not None and output.ndim in (0, 1):
                    raise ValueError(
                        "The outputs of a network must be [n, outputs], with positions between where there are: give "
                        f"them a last axis. Received: outputs of shape {tuple(output.shape)}"
                    )

        drawn = self._mixture.draw(batch, seeds, check)
        if self._heads is None:
            self._heads = heads_of(self.model, drawn.structure, self._likelihood)
        if not self._has_checked_draws:
            self._has_checked_draws = True
            for outputs, likelihood in zip(drawn.outputs, self.heads.likelihoods, strict=True):
                if likelihood is not None:
                    likelihood.check_drawn_outputs(outputs)
        return drawn

    @property
    def heads(self) -> Heads:
        """The model's outputs and their likelihoods, known from the first draw on."""
        return self._heads


def joined(parts: Sequence[np.ndarray | None], axis: int) -> np.ndarray | None:
    """Returns what batches gave as one array; None if they gave none.

    Raises:
        ValueError: if their shapes differ, as those of sequences of several lengths.
    """
    if parts[0] is None:
        return None
    try:
        return np.concatenate(parts, axis=axis)
    except ValueError as error:
        shapes = sorted({part.shape[axis + 1 :] for part in parts})
        raise ValueError(
            "The outputs of all batches must have one shape to be one array: pad the inputs to one length, or predict "
            f"each length by itself. Received: outputs of shapes {', '.join(map(str, shapes))}"
        ) from error
