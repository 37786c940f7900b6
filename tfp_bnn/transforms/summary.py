"""What the random weights of a model have become: a table with one row for each tensor of them, layer by layer."""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import keras
import numpy as np

from tfp_bnn._extras import needed
from tfp_bnn.transforms.random_weights import RandomTensor, random_tensors

if TYPE_CHECKING:
    import pandas as pd

_MAX_WIDTH = 120
"""Of the table, in characters."""


class WeightsSummary(NamedTuple):
    """A row of the table: one tensor of random weights, or all of them.

    Pruned weights are not counted. NaN stands for what is not known: of posteriors that are not Gaussian, and the last
    one also where the prior is one distribution over all weights of a tensor.
    """

    layer: str
    """Name of the layer."""
    weights: str
    """What the weights are, such as "kernel"."""
    shape: tuple[int, ...]
    """Shape of the tensor."""
    num_weights: int
    """How many weights it has."""
    mean_abs_mean: float
    """Mean of `|mean|`, in units of the weights."""
    mean_stddev: float
    """Mean of the posterior standard deviations, in units of the weights."""
    snr_25: float
    """First quartile of the signal-to-noise ratios `|mean| / stddev`."""
    snr_50: float
    """Their median."""
    snr_75: float
    """Their third quartile."""
    kl: float
    """KL[q || p] of all of these weights, in nats."""
    kl_per_weight: float
    """The same divided by their number."""
    share_at_prior: float
    """Share of the weights whose posterior is still the prior."""


@dataclasses.dataclass(frozen=True, repr=False)
class ModelSummary:
    """The random weights of a model in numbers; printed, a table of at most 120 columns.

    Args:
        model_name: name of the model.
        rows: one for each tensor of random weights, grouped by layer.
        total: the same of all weights of the model together.
    """

    model_name: str
    rows: tuple[WeightsSummary, ...]
    total: WeightsSummary

    def to_frame(self) -> "pd.DataFrame":
        """Returns a table with one row a tensor, its columns named as the fields of `WeightsSummary`.

        The total is not a row: its numbers would be counted twice.
        """
        with needed("data"):
            import pandas as pd  # Slow to import.

        # Not of the rows alone, whose shapes pandas would take apart.
        return pd.DataFrame({name: [getattr(row, name) for row in self.rows] for name in WeightsSummary._fields})

    def __str__(self) -> str:
        tensors = "1 tensor" if len(self.rows) == 1 else f"{len(self.rows)} tensors"
        title = f'Random weights of "{self.model_name}": {self.total.num_weights:,} in {tensors}'
        return "\n".join([title, "", *_table(self.rows, self.total), "", _LEGEND])

    def __repr__(self) -> str:
        return str(self)


def summary(model: keras.layers.Layer) -> ModelSummary:
    """Returns, for each tensor of random weights of a model, how sure it is and what it costs.

    A weight's posterior counts as still the prior if its own KL[q || p] is less than 0.01 nats; for the scale-mixture
    prior, which no Gaussian posterior can equal, if it is within 0.01 nats of the least that a Gaussian can have. Where
    nearly all weights of a layer are like that, the data have not taught them anything.

    The divergence is in closed form where one is known. Else it is estimated, with a fixed seed: for priors over single
    weights at 64 draws of each weight, one from each 64th of its probability; for priors over all weights of a tensor
    together, and for posteriors that are not Gaussian, at 100 draws.

    Args:
        model: a built Keras model or layer. A layer that is called twice counts once; pruned weights do not count.

    Returns:
        A `ModelSummary`: print it, or take its `rows`, its `total`, or `to_frame()`.

    Raises:
        ValueError: if the model has no random weights, or a Bayesian layer is not built.

    Example:

    >>> from tfp_bnn import layers, posteriors
    >>> posterior = posteriors.MeanFieldNormal(initial_stddev=0.5, mean_initializer="ones")
    >>> model = keras.Sequential([keras.Input((4,)), layers.Dense(3, posterior=posterior)])
    >>> (row,) = summary(model).rows
    >>> row.weights, row.shape, round(row.snr_50, 3), round(row.kl_per_weight, 3), row.share_at_prior
    ('kernel', (4, 3), 2.0, 0.818, 0.0)

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", section 5.1 (the signal-to-noise ratio).
    """
    return summary_of(model, random_tensors(model))


def summary_of(model: keras.layers.Layer, tensors: Sequence[RandomTensor]) -> ModelSummary:
    """Returns the summary of a model whose random weights were read already."""
    rows = tuple(_row(tensor.label, tensor.name, tensor.shape, [tensor]) for tensor in tensors)
    return ModelSummary(model.name, rows, _row("total", "", (), tensors))


def _row(layer: str, weights: str, shape: tuple[int, ...], tensors: Sequence[RandomTensor]) -> WeightsSummary:
    num_weights = sum(tensor.size for tensor in tensors)
    divergence = sum(tensor.kl for tensor in tensors)
    return WeightsSummary(
        layer,
        weights,
        shape,
        num_weights,
        _mean([np.abs(tensor.mean) for tensor in tensors if tensor.mean is not None]),
        _mean([tensor.stddev for tensor in tensors if tensor.stddev is not None]),
        *_quartiles([tensor.signal_to_noise() for tensor in tensors if tensor.mean is not None]),
        divergence,
        divergence / num_weights if num_weights else math.nan,
        _mean([tensor.is_still_prior() for tensor in tensors if tensor.kl_of_weights is not None]),
    )


def _mean(arrays: Sequence[np.ndarray]) -> float:
    values = np.concatenate([np.empty(0), *arrays])
    return float(values.mean()) if values.size else math.nan


def _quartiles(arrays: Sequence[np.ndarray]) -> list[float]:
    values = np.concatenate([np.empty(0), *arrays])
    if not values.size or np.isnan(values).any():
        return [math.nan] * 3
    # Of an infinite ratio, that of a certain weight, no share can be taken: the next lower value stands for it.
    method = "linear" if np.isfinite(values).all() else "lower"
    return [float(quartile) for quartile in np.quantile(values, (0.25, 0.5, 0.75), method=method)]


# The table in characters.

_HEADS = (
    ("", "layer"),
    ("", "weights"),
    ("", "shape"),
    ("", "number"),
    ("mean", "|mu|"),
    ("mean", "sigma"),
    ("|mu|/sigma", "25 %"),
    ("", "50 %"),
    ("", "75 %"),
    ("KL", "nats"),
    ("KL a", "weight"),
    ("still", "prior"),
)
_NUM_TEXTS = 3  # The first columns are texts, which stand on the left and may be cut.
_LEGEND = "still prior: share of the weights whose posterior has not left the prior, within 0.01 nats."


def _table(rows: Sequence[WeightsSummary], total: WeightsSummary) -> list[str]:
    layers = [row.layer for row in rows]
    # A layer's name stands in its first row alone.
    cells = [
        _cells(row._replace(layer="") if row.layer == before else row)
        for before, row in zip([None, *layers], rows, strict=False)
    ]
    lines = [[head[0] for head in _HEADS], [head[1] for head in _HEADS], *cells, _cells(total)]
    widths = _widths(lines)
    printed = [_line(line, widths) for line in lines]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return [*printed[:2], rule, *printed[2:-1], rule, printed[-1]]


def _cells(row: WeightsSummary) -> list[str]:
    shape = "x".join(map(str, row.shape))
    share = "-" if math.isnan(row.share_at_prior) else f"{row.share_at_prior:.0%}"
    return [row.layer, row.weights, shape, f"{row.num_weights:,}", *map(_number, row[4:-1]), share]


def _number(value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def _widths(lines: Sequence[Sequence[str]]) -> list[int]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    while sum(widths) + 2 * (len(widths) - 1) > _MAX_WIDTH:
        widest = max(range(_NUM_TEXTS), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    cut = [cell if len(cell) <= width else f"{cell[: width - 1]}…" for cell, width in zip(cells, widths, strict=True)]
    sides = ["<"] * _NUM_TEXTS + [">"] * (len(cut) - _NUM_TEXTS)
    return "  ".join(f"{c:{side}{width}}" for c, side, width in zip(cut, sides, widths, strict=True)).rstrip()
