"""Tables of predictions, one row an input: what `Predictive.to_frame` and `PredictiveSummary.to_frame` return."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tfp_bnn._extras import needed

if TYPE_CHECKING:
    import pandas as pd


def places(indices: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the columns that say which input and position a row is of; none if there are no positions.

    Args:
        indices: of the input and of its position, [n, axes].
    """
    axes = indices.shape[1] - 1
    names = ["position"] if axes == 1 else [f"position_{axis}" for axis in range(axes)]
    return dict(zip(["input", *names], indices.T, strict=True)) if axes else {}


def of_classes(
    probabilities: np.ndarray, nats: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]
) -> "pd.DataFrame":
    """Returns the likeliest class of each input, how sure that is, and the probabilities of all.

    Args:
        probabilities: of the classes, [n, classes].
        nats: entropies by their names, [n] each.
        places: those of `places`.
    """
    with needed("data"):
        import pandas as pd  # Slow to import.

    columns = {**places, "label": probabilities.argmax(axis=-1), "probability": probabilities.max(axis=-1), **nats}
    return pd.DataFrame(columns | {f"p_{label}": column for label, column in enumerate(probabilities.T)})


def of_targets(kinds: Mapping[str, np.ndarray], places: Mapping[str, np.ndarray]) -> "pd.DataFrame":
    """Returns a column for each kind of number and each target; the target's number ends the name if there are several.

    Args:
        kinds: numbers by their names, [n, targets] each.
        places: those of `places`.
    """
    with needed("data"):
        import pandas as pd

    targets = next(iter(kinds.values())).shape[-1]
    endings = [""] if targets == 1 else [f"_{target}" for target in range(targets)]
    columns = {
        f"{kind}{ending}": values[:, target] for kind, values in kinds.items() for target, ending in enumerate(endings)
    }
    return pd.DataFrame({**places, **columns})
