"""Tables of predictions, one row an input: what `Predictive.to_frame` and `PredictiveSummary.to_frame` return."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

    from tfp_bnn.prediction.base import BasePredictive


def of_classes(predictive: "BasePredictive") -> "pd.DataFrame":
    """Returns the likeliest class of each input, how sure that is, and the probabilities of all."""
    import pandas as pd  # Slow to import.

    probabilities = predictive.class_probabilities()
    columns = {
        "label": probabilities.argmax(axis=-1),
        "probability": probabilities.max(axis=-1),
        "entropy": predictive.entropy(),
        "expected_entropy": predictive.expected_entropy(),
        "mutual_information": predictive.mutual_information(),
    }
    return pd.DataFrame(columns | {f"p_{label}": column for label, column in enumerate(probabilities.T)})


def of_targets(predictive: "BasePredictive") -> "pd.DataFrame":
    """Returns mean and standard deviations of each target; the target's number ends the name if there are several."""
    import pandas as pd

    kinds = {
        "mean": predictive.mean(),
        "stddev": predictive.stddev(),
        "epistemic_stddev": predictive.epistemic_stddev(),
        "aleatoric_stddev": predictive.aleatoric_stddev(),
    }
    targets = kinds["mean"].shape[-1]
    endings = [""] if targets == 1 else [f"_{target}" for target in range(targets)]
    columns = {
        f"{kind}{ending}": values[:, target] for kind, values in kinds.items() for target, ending in enumerate(endings)
    }
    return pd.DataFrame(columns)
