"""Bayesian neural networks for people who write Keras's `model.fit`.

    import tfp_bnn as bnn

    model = bnn.models.lenet5()
    model.compile("adam", loss=bnn.likelihoods.Categorical(), metrics=["accuracy"])
    model.fit(x, y, batch_size=128, epochs=10, callbacks=[bnn.callbacks.KLWeight(num_examples=len(x))])
    predictive = bnn.predict(model, x_test, num_draws=50)

TFP, SciPy, pandas, scikit-learn and what draws figures are imported when they are first needed.
"""

import importlib
from typing import TYPE_CHECKING, Any

from tfp_bnn import _backend
from tfp_bnn._extras import needed

_backend.warn_of_legacy_keras()

from tfp_bnn import (  # noqa: E402
    callbacks,
    datasets,
    estimators,
    kl,
    kl_schedules,
    layers,
    likelihoods,
    metrics,
    models,
    posteriors,
    priors,
)
from tfp_bnn.exports.export import export  # noqa: E402
from tfp_bnn.objective.loss_halves import kl_divergence  # noqa: E402
from tfp_bnn.prediction.calibration import calibrate_cutoff, calibrate_temperature  # noqa: E402
from tfp_bnn.prediction.conformal import (  # noqa: E402
    ConformalIntervals,
    ConformalSets,
    calibrate_intervals,
    calibrate_sets,
)
from tfp_bnn.prediction.evaluation import evaluate  # noqa: E402
from tfp_bnn.prediction.predict import predict  # noqa: E402
from tfp_bnn.prediction.predictive import Predictive  # noqa: E402
from tfp_bnn.prediction.summary import PredictiveSummary, summarize  # noqa: E402
from tfp_bnn.transforms.clone import clone_model  # noqa: E402
from tfp_bnn.transforms.diagnose import Diagnosis, diagnose  # noqa: E402
from tfp_bnn.transforms.findings import Finding  # noqa: E402
from tfp_bnn.transforms.prune import WeightCount, count_weights, prune, signal_to_noise  # noqa: E402
from tfp_bnn.transforms.summary import ModelSummary, summary  # noqa: E402
from tfp_bnn.transforms.to_bayesian import to_bayesian  # noqa: E402
from tfp_bnn.transforms.to_deterministic import to_deterministic  # noqa: E402
from tfp_bnn.transforms.with_priors import with_priors  # noqa: E402

if TYPE_CHECKING:
    from tfp_bnn import plots, sklearn

__version__ = "0.2.0"

__all__ = [
    "ConformalIntervals",
    "ConformalSets",
    "Diagnosis",
    "Finding",
    "ModelSummary",
    "Predictive",
    "PredictiveSummary",
    "WeightCount",
    "calibrate_cutoff",
    "calibrate_intervals",
    "calibrate_sets",
    "calibrate_temperature",
    "callbacks",
    "clone_model",
    "count_weights",
    "datasets",
    "diagnose",
    "estimators",
    "evaluate",
    "export",
    "kl",
    "kl_divergence",
    "kl_schedules",
    "layers",
    "likelihoods",
    "metrics",
    "models",
    "plots",
    "posteriors",
    "predict",
    "priors",
    "prune",
    "signal_to_noise",
    "sklearn",
    "summarize",
    "summary",
    "to_bayesian",
    "to_deterministic",
    "with_priors",
]


def __getattr__(name: str) -> Any:
    if name == "plots":
        with needed("plots"):
            return importlib.import_module("tfp_bnn.plots")
    if name == "sklearn":
        with needed("sklearn"):
            return importlib.import_module("tfp_bnn.sklearn")
    raise AttributeError(f"module 'tfp_bnn' has no attribute {name!r}")
