"""What can be wrong with a trained Bayesian network: one function for each, which looks at the evidence.

A check returns a `Finding`, or `NotChecked` if it lacks something, or None if all is well. Its name is the finding's.
A new one is a function more, and a line in `CHECKS`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import keras
import numpy as np

from tfp_bnn.layers.base import variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.posteriors import MeanFieldNormal, Posterior
from tfp_bnn.prediction.base import BasePredictive
from tfp_bnn.transforms.random_weights import RandomTensor

Severity = Literal["error", "warning", "note"]

_KL_TIMES_GAIN = 10.0
"""The KL term may well be several times what the data have gained in a good training that stops early. Not so often."""

_LOST_GAIN = 0.5
"""Of what the nll had gained; as the warning of `callbacks.KLWeight` has it."""

_SMOOTHED_EPOCHS = 5
"""The nll of an epoch is that of noisy draws: the median of so many counts."""

_MOST_AT_PRIOR = 0.95
"""Share of a layer's weights whose posterior may still be the prior: of a network that is too wide, many are."""

_SAME_STDDEV = 0.02
"""By what share of itself a standard deviation must change to count as moved."""

_MOST_UNMOVED = 0.95
"""Share of a layer's standard deviations that may be where they started."""

_LEAST_STEPS = 100
"""Of the optimizer, before standard deviations can be expected to have moved: Adam at 0.001 moves rho by 0.1 then."""

_TOLERATED_PROBABILITY = 0.02
"""Monte Carlo standard error of a probability: less than what reliability diagrams tell apart."""

_TOLERATED_SHARE_OF_STDDEV = 0.1
"""Monte Carlo standard error of a mean, as a share of the predictive standard deviation of y."""

_INPUTS_BEYOND = 0.05
"""Share of the inputs whose error may be greater."""

_USUAL_DRAWS = 50
"""What `tfp_bnn.predict` takes unless it is told otherwise."""

_LAST_EPOCHS = 0.1
"""Share of the epochs that is compared with as many before it."""

_FEWEST_LAST_EPOCHS = 5
"""With fewer epochs the noise of their losses is not known."""

_STANDARD_ERRORS = 3.0
"""By how many standard errors the loss must have fallen to count as falling."""

_LEAST_FALL = 0.01
"""And by what share of its whole fall: the last hundredth is not worth the wait."""


class Finding(NamedTuple):
    """Something that is wrong, or may be."""

    name: str
    """A stable name, for programs: that of the function which found it."""
    severity: Severity
    """Of the numbers that the network gives: they are worthless ("error"), may mislead, or could be better ("note")."""
    what: str
    """What was seen, in numbers."""
    why: str
    """Why that matters, or where it comes from."""
    what_to_do: str
    """What helps."""


class NotChecked(NamedTuple):
    """What could not be looked for."""

    name: str
    """The finding's."""
    needs: str
    """What is missing."""


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What the checks look at.

    Args:
        model: the built model.
        tensors: its random weights.
        history: for each quantity its values by epoch; None if there is no history.
        predictives: predictive distributions of some inputs, one for each output; none if there are none.
        initial_stddev: what all standard deviations were at the start; None asks the layers.
    """

    model: keras.layers.Layer
    tensors: Sequence[RandomTensor]
    history: Mapping[str, Sequence[float]] | None = None
    predictives: Sequence[BasePredictive] = ()
    initial_stddev: float | None = None

    @property
    def num_steps(self) -> int | None:
        """Optimizer steps so far; None if the model has no optimizer."""
        optimizer = getattr(self.model, "optimizer", None)
        return None if optimizer is None else int(optimizer.iterations)

    @property
    def kl_weights(self) -> list[float | None]:
        """The KL weight of each layer."""
        return [layer.kl_weight for layer in variational_layers(self.model)]

    def curve(self, name: str) -> np.ndarray:
        """Returns a quantity by epoch, [epochs]; empty if the history has none."""
        return np.asarray((self.history or {}).get(name, ()), "float64")


# Is it trained at all?


def loss_not_finite(evidence: Evidence) -> Finding | NotChecked | None:
    """The loss, a half of it or a weight is not a finite number."""
    seen = []
    for name in ("loss", "nll", "kl"):
        (bad,) = np.nonzero(~np.isfinite(evidence.curve(name)))
        if bad.size:
            seen.append(f"{name} is {evidence.curve(name)[bad[0]]} in epoch {bad[0] + 1}")
    for weight in evidence.model.weights:
        if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(weight.dtype)):
            continue
        values = keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))
        if not np.isfinite(values).all():
            seen.append(f"{np.count_nonzero(~np.isfinite(values)):,} of {values.size:,} numbers of {weight.path}")
    if not seen:
        return None
    return Finding(
        "loss_not_finite",
        "error",
        f"Not finite: {_some(seen)}.",
        "The training diverged, or inputs or labels are out of range. What the network says is worthless.",
        "Look for numbers that are not finite in inputs and targets, and for labels out of range. Then build the model "
        "anew and train it at a lower learning rate, or with the optimizer's `clipnorm`.",
    )


def untrained(evidence: Evidence) -> Finding | NotChecked | None:
    """No optimizer step so far."""
    if not _is_untrained(evidence):
        return None
    steps = "The model is not compiled" if evidence.num_steps is None else "The optimizer has made no step"
    return Finding(
        "untrained",
        "error",
        f"{steps}, and the standard deviations of the weights are those of a start.",
        "The posterior is where it started: neither means nor doubts come from data.",
        "Train it with model.fit, or load the weights of a trained one with model.load_weights.",
    )


def _is_untrained(evidence: Evidence) -> bool:
    """Whether there was no step, and nothing in the weights says that there was one elsewhere, before a copy or file.

    Standard deviations start equal or as shares of the means, and no training leaves them so.
    """
    tensors = [tensor for tensor in evidence.tensors if tensor.stddev is not None and tensor.size > 1]
    if evidence.num_steps is None and not tensors:
        return False
    return not evidence.num_steps and all(map(_is_at_a_start, tensors))


def _is_at_a_start(tensor: RandomTensor) -> bool:
    if np.ptp(tensor.stddev) <= 1e-6 * tensor.stddev.max():
        return True
    recipe = _recipe(tensor)
    if not isinstance(recipe, MeanFieldNormal) or recipe.relative_stddev is None:
        return False
    return np.allclose(tensor.stddev, recipe.initial_stddevs(tensor.mean, tensor.shape), rtol=1e-4)


def still_falling(evidence: Evidence) -> Finding | NotChecked | None:
    """The loss still falls at the end of the history."""
    loss = evidence.curve("loss")
    count = max(_FEWEST_LAST_EPOCHS, math.ceil(_LAST_EPOCHS * loss.size))
    if loss.size < 2 * count:
        return NotChecked("still_falling", f"a history with the loss of {2 * _FEWEST_LAST_EPOCHS} epochs at least")
    before, last = loss[-2 * count : -count], loss[-count:]
    fall = before.mean() - last.mean()
    # From one epoch to the next, so that the fall itself is not taken for noise.
    noise = math.sqrt(np.mean([np.square(np.diff(part)).mean() for part in (before, last)]) / 2)
    if not fall > max(_STANDARD_ERRORS * noise * math.sqrt(2 / count), _LEAST_FALL * (loss[0] - last.mean())):
        return None
    return Finding(
        "still_falling",
        "note",
        f"The loss of the last {count} epochs is {last.mean():.4g} on average, that of the {count} before "
        f"{before.mean():.4g}: it falls by more than its noise.",
        "The posterior has not settled. Standard deviations take longer than means, so it is doubts that are off.",
        "Train for more epochs, or at a higher learning rate that decays at the end. Watch val_nll: where it rises "
        "while the loss falls, it is the KL term that gains.",
    )


# Is the KL term what it should be?


def kl_weight_missing(evidence: Evidence) -> Finding | NotChecked | None:
    """The KL term has no weight, or the weight 0."""
    if evidence.history is None:
        return NotChecked("kl_weight_missing", "`history`")
    # Files do not hold the weight, but a history with the KL divergence is that of a training with one.
    without = [weight for weight in evidence.kl_weights if not weight]
    if not without or (None in without and evidence.curve("kl").size):
        return None
    return Finding(
        "kl_weight_missing",
        "warning",
        f"{len(without)} of {len(evidence.kl_weights)} Bayesian layers have kl_weight={without[0]}.",
        "Nothing says how much the KL term counts beside the data. Without it standard deviations fall to 0, and the "
        "network is as sure of itself as a plain one.",
        "Write model.fit(..., callbacks=[tfp_bnn.callbacks.KLWeight(num_examples=len(x_train))]). A training loop of "
        "your own that adds tfp_bnn.kl_divergence(model) / num_examples to its loss needs no kl_weight.",
    )


def kl_drowns_data(evidence: Evidence) -> Finding | NotChecked | None:
    """The KL term is far more than the data can pay for."""
    balance = _balance(evidence)
    if balance is None:
        needs = f"a history with nll and kl of {_SMOOTHED_EPOCHS} epochs at least, as callbacks.KLWeight logs it"
        return NotChecked("kl_drowns_data", needs)
    if not balance.kl_term > abs(balance.last):
        return None
    if balance.lost > _LOST_GAIN * balance.most_gained > 0:
        what = (
            f"The nll fell to {balance.best:.3g} nats and rose again to {balance.last:.3g}, while the KL term is "
            f"{balance.kl_term:,.3g} nats an observation."
        )
    elif balance.kl_term > _KL_TIMES_GAIN * balance.gained:
        what = (
            f"The KL term is {balance.kl_term:,.3g} nats an observation, and what the network has learned of the data "
            f"is worth {balance.gained:.3g} of nll."
        )
    else:
        return None
    return Finding("kl_drowns_data", "warning", what, _why_kl_is_large(evidence), _what_makes_kl_less(evidence))


class _Balance(NamedTuple):
    """Both halves of the loss, in nats an observation."""

    kl_term: float  # at the end
    start: float  # nll of the first epoch, or of a network that knows nothing if that is known and greater
    best: float  # the least nll
    last: float  # nll at the end

    @property
    def gained(self) -> float:
        """What the data have gained in the end."""
        return max(self.start - self.last, 0.0)

    @property
    def most_gained(self) -> float:
        """What the data had gained at best."""
        return self.start - self.best

    @property
    def lost(self) -> float:
        """What of that was lost again."""
        return self.last - self.best


def _balance(evidence: Evidence) -> _Balance | None:
    nll, kl = evidence.curve("nll"), evidence.curve("kl")
    if min(nll.size, kl.size) < _SMOOTHED_EPOCHS:
        return None
    kl_term = _kl_term(evidence, nll[-1], kl[-1])
    if kl_term is None:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(nll, _SMOOTHED_EPOCHS)
    smooth = np.median(windows, axis=-1)
    start = max(float(nll[0]), _nll_of_chance(evidence.model))
    return _Balance(kl_term, start, float(smooth.min()), float(smooth[-1]))


def _kl_term(evidence: Evidence, nll: float, kl: float) -> float | None:
    """Returns the KL term of the last epoch as the loss had it."""
    share = evidence.curve("kl_share")
    # It knows of positions, over which the weight is spread. Too near to 1, too few digits are left of the rest.
    if share.size and nll and share[-1] < 1 - 1e-5:
        return abs(nll) * share[-1] / (1 - share[-1])
    weights = evidence.kl_weights
    return None if None in weights else kl * max(weights)


def _nll_of_chance(model: keras.layers.Layer) -> float:
    """Returns the nll of a network that gives all classes the same probability; -inf if it predicts no classes."""
    likelihood, shape = getattr(model, "loss", None), getattr(model, "output_shape", None)
    if not isinstance(likelihood, Likelihood) or not isinstance(shape, tuple) or not isinstance(shape[-1], int):
        return -math.inf
    return math.log(max(shape[-1], 2)) if likelihood.predicts_classes(shape[-1]) else -math.inf


def _why_kl_is_large(evidence: Evidence) -> str:
    size, kl = sum(tensor.size for tensor in evidence.tensors), sum(tensor.kl for tensor in evidence.tensors)
    weights = [weight for weight in evidence.kl_weights if weight]
    # With tempering, beta / N, it is not the number of examples.
    examples = f"for {1 / max(weights):,.0f} examples (kl_weight is 1 over that)" if weights else "for the examples"
    scales = sorted({f"{scale:.3g}" for scale in map(_prior_scale, evidence.tensors) if scale is not None}, key=float)
    under = f" under priors of standard deviation {', '.join(scales[:3])}" if scales else ""
    return (
        f"{size:,} random weights cost {kl:,.0f} nats together, {kl / max(size, 1):.3g} each{under}, {examples}. The "
        "loss is then least where the posterior is the prior, and the longer the training, the more of the data is "
        "lost."
    )


def _what_makes_kl_less(evidence: Evidence) -> str:
    advice = ["Take fewer weights."]
    better = _better_prior(evidence.tensors)
    if better is not None:
        advice.append(
            f"Or take a prior that fits them: priors.Normal(scale={better[0]:.2g}) in all layers would cost "
            f"{better[1]:,.0f} nats. Let it fall with the root of the number of a layer's inputs, or learn it with "
            "priors.ScaleMixture(trainable=True)."
        )
    advice.append(
        "Wider posteriors at the start, MeanFieldNormal(initial_stddev=...), lie nearer to the prior. A warm-up, "
        "KLWeight(warmup_epochs=...), lets the data speak first, but does not change the end. KLWeight(beta=0.1) "
        "tempers the KL term: the posterior is then a colder one than Bayes', so say that you did it."
    )
    return " ".join(advice)


def _better_prior(tensors: Sequence[RandomTensor]) -> tuple[float, float] | None:
    """Returns the scale of the Gaussian prior that costs the current posteriors least, and that cost; None if not less.

    The divergence from N(0, s^2) is least at s^2 = mean of mean^2 + stddev^2, where it is the sum of log(s / stddev).
    """
    if not all(tensor.size and tensor.mean is not None for tensor in tensors):
        return None
    mean, stddev = (np.concatenate([getattr(tensor, part) for tensor in tensors]) for part in ("mean", "stddev"))
    with np.errstate(divide="ignore"):
        scale = float(np.sqrt(np.mean(np.square(mean) + np.square(stddev))))
        cost = float(np.sum(np.log(scale / stddev)))
    return (scale, cost) if cost < 0.9 * sum(tensor.kl for tensor in tensors) else None


def _prior_scale(tensor: RandomTensor) -> float | None:
    scale = tensor.layer.random_weights[tensor.name][1].stddev()
    return None if scale is None else float(scale)


# Has the posterior left where it was?


def posterior_is_prior(evidence: Evidence) -> Finding | NotChecked | None:
    """Nearly all weights of a layer still have the prior for their posterior."""
    if _is_untrained(evidence):
        return NotChecked("posterior_is_prior", "a model that is trained")
    shares = _shares(evidence.tensors, [tensor.is_still_prior() for tensor in evidence.tensors])
    if not shares:
        return NotChecked("posterior_is_prior", "posteriors whose divergence is known weight by weight")
    found = {label: share for label, share in shares.items() if share > _MOST_AT_PRIOR}
    if not found:
        return None
    every = len(found) == len(shares)
    return Finding(
        "posterior_is_prior",
        "warning" if every else "note",
        f"{'In every layer' if every else 'In a layer or more'} nearly all posteriors are the prior: "
        f"{_some([f'{share:.0%} of {label}' for label, share in found.items()])}.",
        "The data have told these weights nothing. "
        + (
            "The network predicts what its prior predicts."
            if every
            else "The network is wider than the data call for, or the layer does not reach the outputs."
        ),
        "Fewer weights, more data or a KL term of less weight let the data count: see `kl_drowns_data`. If predictions "
        "are good, tfp_bnn.prune takes these weights away at no cost.",
    )


def stddev_not_moved(evidence: Evidence) -> Finding | NotChecked | None:
    """Nearly all standard deviations of a layer are where they started."""
    if (evidence.num_steps or 0) < _LEAST_STEPS:
        return NotChecked("stddev_not_moved", f"a model with an optimizer that has made {_LEAST_STEPS} steps")
    started = [(tensor, _start(evidence, tensor)) for tensor in evidence.tensors if tensor.layer.trainable]
    known = [(tensor, start) for tensor, start in started if start is not None and tensor.stddev is not None]
    if not known:
        return NotChecked("stddev_not_moved", "`initial_stddev`, and Gaussian posteriors that are trained")
    unmoved = [np.abs(tensor.stddev / start - 1) < _SAME_STDDEV for tensor, start in known]
    shares = _shares([tensor for tensor, _ in known], unmoved)
    found = {label: share for label, share in shares.items() if share > _MOST_UNMOVED}
    if not found:
        return None
    starts = sorted({f"{start:.3g}" for tensor, start in known if tensor.label in found}, key=float)
    return Finding(
        "stddev_not_moved",
        "warning",
        f"After {evidence.num_steps:,} steps the standard deviations are where they started, at "
        f"{', '.join(starts[:3])}: {_some([f'{share:.0%} of {label}' for label, share in found.items()])}.",
        "How sure the network is of these weights was then said by whoever set `initial_stddev`, not by the data.",
        "Train longer, or at a higher learning rate: rho, of which the standard deviation is the softplus, needs "
        "larger steps than means do. A start nearer to the end, MeanFieldNormal(initial_stddev=...), helps as well.",
    )


def _start(evidence: Evidence, tensor: RandomTensor) -> float | None:
    """Returns the standard deviation that a tensor's weights had at the start, or None if nobody knows."""
    if evidence.initial_stddev is not None:
        return evidence.initial_stddev
    recipe = _recipe(tensor)
    # Those that started as shares of means did so at means that are gone.
    if not isinstance(recipe, MeanFieldNormal) or recipe.relative_stddev is not None:
        return None
    return recipe.initial_stddevs(tensor.mean, tensor.shape)


def _recipe(tensor: RandomTensor) -> Posterior | None:
    """Returns the recipe of a tensor's posterior, as its layer was made with it."""
    recipe = getattr(tensor.layer, "bias_posterior", None) if tensor.name.endswith("bias") else None
    recipe = recipe or getattr(tensor.layer, "posterior", None)
    # That of weights which can be pruned holds another recipe.
    while isinstance(recipe, Posterior) and isinstance(getattr(recipe, "posterior", None), Posterior):
        recipe = recipe.posterior
    return recipe


def _shares(tensors: Sequence[RandomTensor], flags: Sequence[np.ndarray | None]) -> dict[str, float]:
    """Returns the share of the weights for which a flag is set, by layer; without layers of which nothing is known."""
    by_layer: dict[str, list[np.ndarray]] = {}
    for tensor, flag in zip(tensors, flags, strict=True):
        if flag is not None and flag.size:
            by_layer.setdefault(tensor.label, []).append(flag)
    return {label: float(np.concatenate(flags).mean()) for label, flags in by_layer.items()}


# Are there draws enough?


def too_few_draws(evidence: Evidence) -> Finding | NotChecked | None:
    """The predictive means still depend on which networks were drawn."""
    if not evidence.predictives:
        return NotChecked("too_few_draws", "`predictive`, of tfp_bnn.predict")
    found = [_too_few_draws(predictive) for predictive in evidence.predictives]
    # Of several outputs, that which needs the most.
    return max(filter(None, found), key=lambda pair: pair[0], default=(0, None))[1]


def _too_few_draws(predictive: BasePredictive) -> tuple[int, Finding] | None:
    """Returns how many draws would be enough, and the finding; None if there are enough."""
    num_draws = _num_draws(predictive)
    classes = predictive.predicts_classes()
    tolerated = _TOLERATED_PROBABILITY if classes else _TOLERATED_SHARE_OF_STDDEV
    unit = "in probability" if classes else "of the predictive standard deviation"
    if num_draws == 1:
        what, enough = "There is one draw, whose error is not known.", _USUAL_DRAWS
    else:
        errors = _monte_carlo_errors(predictive, num_draws, classes)
        beyond = np.mean(errors > tolerated)
        if not beyond > _INPUTS_BEYOND:
            return None
        error = np.quantile(errors, 1 - _INPUTS_BEYOND)
        what = (
            f"With {num_draws} draws the standard error of the predictive mean is more than {tolerated:g} {unit} for "
            f"{beyond:.0%} of the inputs, and {error:.2g} or more for {_INPUTS_BEYOND:.0%}."
        )
        enough = math.ceil(num_draws * (error / tolerated) ** 2)
    return enough, Finding(
        "too_few_draws",
        "note",
        what,
        "Other draws would give other predictions, and a draw's noise counts as doubt or as a mistake of the network.",
        f"Take {_rounded_up(enough):,} draws: predict(..., num_draws={_rounded_up(enough)}); tfp_bnn.summarize "
        "takes no more memory for many.",
    )


def _num_draws(predictive: BasePredictive) -> int:
    """Returns how many draws it is of, whether these are at hand or not; the fewest if inputs differ in it."""
    return int(np.min(predictive.num_draws)) if hasattr(predictive, "num_draws") else len(predictive.draws)


def _monte_carlo_errors(predictive: BasePredictive, num_draws: int, classes: bool) -> np.ndarray:
    """Returns the standard error of the mean over draws for each input, [n]: of the output whose error is greatest."""
    # The standard deviation over draws is that of these draws: one degree of freedom less.
    errors = np.asarray(predictive.epistemic_stddev()) / math.sqrt(num_draws - 1)
    if not classes:
        errors = np.divide(errors, np.asarray(predictive.stddev()), out=np.zeros_like(errors), where=errors > 0)
    return predictive.rows_of(errors.max(axis=-1))


def _rounded_up(count: int) -> int:
    """Returns the count in two digits."""
    unit = 10 ** max(len(str(count)) - 2, 0)
    return math.ceil(count / unit) * unit


def _some(names: Sequence[str]) -> str:
    """Returns the first few in a line."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


CHECKS: tuple[Callable[[Evidence], Finding | NotChecked | None], ...] = (
    loss_not_finite,
    untrained,
    kl_weight_missing,
    kl_drowns_data,
    posterior_is_prior,
    stddev_not_moved,
    still_falling,
    too_few_draws,
)
"""All of them."""
