"""A page that says in words what is wrong with a trained Bayesian network, why, and what to do."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import keras

from tfp_bnn.prediction.base import BasePredictive
from tfp_bnn.transforms.findings import CHECKS, Evidence, Finding, NotChecked
from tfp_bnn.transforms.random_weights import random_tensors

_WIDTH = 100
"""Of the page, in characters."""

_SEVERITIES = ("error", "warning", "note")
"""The worst first."""


@dataclasses.dataclass(frozen=True, repr=False)
class Diagnosis:
    """What was found wrong with a model; true if anything was. Printed, a page in words.

    Args:
        model_name: name of the model.
        findings: what is wrong, the worst first.
        not_checked: what could not be looked for, and what that needs.
        well: names of the findings that were looked for and not found.
    """

    model_name: str
    findings: tuple[Finding, ...]
    not_checked: tuple[NotChecked, ...]
    well: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.findings)

    def __str__(self) -> str:
        count = {0: "nothing found", 1: "1 finding"}.get(len(self.findings), f"{len(self.findings)} findings")
        lines = [f'Diagnosis of "{self.model_name}": {count}']
        for number, finding in enumerate(self.findings, start=1):
            lines += ["", f"{number}. {finding.name} ({finding.severity})"]
            lines += _paragraph("What", finding.what) + _paragraph("Why", finding.why)
            lines += _paragraph("Do", finding.what_to_do)
        lines += ["", *_wrapped(f"Looked for and not found: {', '.join(self.well) or 'nothing'}.")]
        if self.not_checked:
            lines += ["Not checked:"]
        for missing in self.not_checked:
            lines += _wrapped(f"  {missing.name}, which needs {missing.needs}.", "    ")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)


def diagnose(
    model: keras.layers.Layer,
    history: keras.callbacks.History | Mapping[str, Sequence[float]] | None = None,
    *,
    predictive: Any = None,
    initial_stddev: float | None = None,
) -> Diagnosis:
    """Returns what is wrong with a trained Bayesian network, in words and in numbers, and what to do about it.

    It looks for

    - `loss_not_finite`: the loss or a weight is not a finite number;
    - `untrained`: there was no optimizer step so far;
    - `kl_weight_missing`: layers have no KL weight, or 0;
    - `kl_drowns_data`: the KL term is far more than what the data gain, or the training gave that gain away again;
    - `posterior_is_prior`: more than 95 % of a layer's weights have learned nothing (see `tfp_bnn.summary`);
    - `stddev_not_moved`: more than 95 % of a layer's standard deviations are within 2 % of their start;
    - `still_falling`: the loss of the last 10 % of the epochs is less, beyond noise, than that of the 10 % before;
    - `too_few_draws`: the Monte Carlo standard error of the predictive mean is more than 0.02 in probability, or 10 %
      of the predictive standard deviation, for more than 5 % of the inputs.

    What it is not given it cannot look at; the page says so.

    Args:
        model: a built Keras model.
        history: what `fit` returned, or its `history`: loss, nll, kl and kl_share by epoch.
        predictive: what `tfp_bnn.predict` or `summarize` returned for some inputs, also of several outputs.
        initial_stddev: what the posterior standard deviations were at the start, in units of the weights; None takes
            that of each layer's posterior recipe.

    Returns:
        A `Diagnosis`: print it, or take its `findings`. It is true if there are any.

    Raises:
        ValueError: if the model has no random weights or is not built, or if an argument is of another kind.

    Example:

    >>> from tfp_bnn import models
    >>> diagnosis = diagnose(models.mlp((4,), units=(8,), num_outputs=2))
    >>> [(finding.name, finding.severity) for finding in diagnosis.findings]
    [('untrained', 'error')]
    """
    evidence = Evidence(
        model,
        random_tensors(model),
        _by_epoch(history),
        _predictives(predictive),
        _check_stddev(initial_stddev),
    )
    results = {check.__name__: check(evidence) for check in CHECKS}
    findings = [result for result in results.values() if isinstance(result, Finding)]
    return Diagnosis(
        model.name,
        tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity))),
        tuple(result for result in results.values() if isinstance(result, NotChecked)),
        tuple(name for name, result in results.items() if result is None),
    )


def _by_epoch(history: Any) -> Mapping[str, Sequence[float]] | None:
    values = history.history if isinstance(history, keras.callbacks.History) else history
    if values is not None and not isinstance(values, Mapping):
        raise ValueError(
            f"`history` must be what `fit` returned, or a dict of lists. Received: history={type(history).__name__}"
        )
    return values


def _predictives(predictive: Any) -> list[BasePredictive]:
    found = [each for each in keras.tree.flatten(predictive) if each is not None]
    if not all(isinstance(each, BasePredictive) for each in found):
        raise ValueError(
            f"`predictive` must be what tfp_bnn.predict or summarize returned. Received: predictive={predictive!r}"
        )
    return found


def _check_stddev(initial_stddev: float | None) -> float | None:
    if initial_stddev is not None and not 0 < initial_stddev < math.inf:
        raise ValueError(f"`initial_stddev` must be positive and finite. Received: initial_stddev={initial_stddev}")
    return initial_stddev


def _paragraph(head: str, text: str) -> list[str]:
    return _wrapped(f"   {head + ':':<6}{text}", " " * 9)


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=indent)
