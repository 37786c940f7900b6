"""Bayesian models in files: the public function, which checks its arguments before any work."""

import math
import numbers
import os
from collections.abc import Sequence
from typing import Any, Literal

import keras

from tfp_bnn._checks import check_count
from tfp_bnn.exports import files
from tfp_bnn.exports.draws import FreshWeights, stored_weights
from tfp_bnn.exports.network import SEED, Network, inputs_of, shape_of_outputs
from tfp_bnn.exports.statistics import DECISION, Decision, Statistics
from tfp_bnn.layers.base import built_variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.prediction.draws import likelihood_of
from tfp_bnn.prediction.mixture import members_of

Format = Literal["tf_saved_model", "onnx", "litert"]

_WRITERS = {"tf_saved_model": files.write_saved_model, "onnx": files.write_onnx, "litert": files.write_litert}
_SUFFIXES = {"onnx": ".onnx", "litert": ".tflite"}
# Both formats, and the graphs of SavedModels, are protocol buffers or alike, which end at 2 GiB.
_MOST_BYTES = 1.9 * 2**30


def export(
    model: keras.Model,
    path: str | os.PathLike,
    format: Format = "tf_saved_model",
    num_draws: int = 50,
    *,
    outputs: Sequence[str] | None = None,
    draws: Literal["fixed", "fresh"] = "fixed",
    seed: int | None = None,
    likelihood: Likelihood | None = None,
    temperature: float = 1.0,
    cutoff: float | None = None,
    abstain: int = -1,
) -> None:
    """Writes a model into a file that gives mean and doubt without Keras, and without this package.

    The file takes inputs and returns what `predict` says of them, by name:

    | name                                              | of classes                                               |
    | ------------------------------------------------- | -------------------------------------------------------- |
    | `probabilities`                                   | [n, classes]; of one yes or no, [n, 2]                   |
    | `entropy`, its two parts `expected_entropy` and   | in nats, [n]                                             |
    | `mutual_information`                              |                                                          |
    | `decision`                                        | likeliest class or `abstain`, int32 [n]; with a `cutoff` |

    | name                                              | of other targets                                         |
    | ------------------------------------------------- | -------------------------------------------------------- |
    | `mean`, `stddev`                                  | [n, d], in units of the targets                          |
    | `epistemic_stddev`, `aleatoric_stddev`            | their squares add up to that of `stddev`                 |

    Positions, such as time steps or pixels, stand between n and the last axis. Inputs have the names that they were
    given, as in `keras.Input(..., name="image")`; otherwise `inputs`, or `inputs_0`, `inputs_1`, ...

    Args:
        model: a built model of one output.
        path: of the file; ends in ".onnx" or ".tflite" for these formats. Of a SavedModel it is a folder.
        format: "tf_saved_model" for TensorFlow, "onnx" for onnxruntime, "litert" for LiteRT.
        num_draws: how many weight draws.
        outputs: names of what the file returns, of those above; None for all.
        draws: "fixed": the file holds the weights of all draws, and says the same of an input each time. "fresh": it
            holds the posterior, takes one more input, `seed`, an int32 scalar, and draws by itself.
        seed: integer that makes fixed draws repeatable: those of `predict` with this seed. None draws one.
        likelihood: what turns outputs into distributions; None takes the one that the model was compiled with.
        temperature: what the logits of classes are divided by; see `tfp_bnn.calibrate_temperature`.
        cutoff: least probability of the likeliest class for a decision; see `tfp_bnn.calibrate_cutoff`.
        abstain: the decision below the cut-off; none of the classes.

    Raises:
        ValueError: if an argument is wrong; if the model has several outputs, is not built, or has operations that the
            format does not have; on Keras's JAX backend, if the format is another than "tf_saved_model".
        ImportError: if a package is missing that writes the format.

    Example:

    >>> import tempfile
    >>> import tfp_bnn as bnn
    >>> model = keras.Sequential([keras.Input((4,)), bnn.layers.Dense(2)])
    >>> folder = tempfile.mkdtemp()
    >>> export(model, folder, num_draws=3, likelihood=bnn.likelihoods.Categorical())
    >>> "saved_model.pb" in os.listdir(folder)
    True

    Source: Depeweg et al. 2018, "Decomposition of Uncertainty in Bayesian Deep Learning for Efficient and
    Risk-sensitive Learning", section 2 (the parts of entropy and variance).
    """
    _check_one_of("format", format, tuple(_WRITERS))
    _check_one_of("draws", draws, ("fixed", "fresh"))
    _check_path(path, format)
    _check_backend(format)
    check_count("num_draws", num_draws)
    _check_seed(seed, draws)
    _check_is_one(model)
    likelihood = likelihood_of(model, likelihood)
    _check_built(model)
    statistics = _statistics(model, likelihood, temperature, cutoff, abstain)
    names = _names(outputs, statistics)
    files.check_installed(format)
    if draws == "fresh":
        _check_fresh(model)
        weights: Any = FreshWeights(model, portable=format != "tf_saved_model")
    else:
        _check_size(model, num_draws)
        weights = stored_weights(model, num_draws, seed)
    _WRITERS[format](Network(model, statistics, names, weights, num_draws), model, os.fspath(path))


def _statistics(
    model: keras.Model, likelihood: Likelihood, temperature: float, cutoff: float | None, abstain: int
) -> Statistics:
    """Returns what is computed; raises ValueError if it is of classes alone and the targets are others."""
    num_outputs = shape_of_outputs(model)[-1]
    likelihood.check_model(model)
    likelihood.num_targets(num_outputs)
    if not isinstance(temperature, numbers.Real) or not 0 < temperature < math.inf:
        raise ValueError(f"`temperature` must be positive and finite. Received: temperature={temperature!r}")
    if cutoff is not None:
        _check_decision(cutoff, abstain, max(num_outputs, 2))
    elif abstain != -1:
        raise ValueError(f"`abstain` is the decision below a `cutoff`. Received: abstain={abstain!r} and cutoff=None")
    decision = None if cutoff is None else Decision(float(cutoff), int(abstain))
    statistics = Statistics(likelihood, num_outputs, float(temperature), decision)
    if not statistics.of_classes and (cutoff is not None or temperature != 1):
        raise ValueError(
            "`temperature` and `cutoff` are of classes: of a Categorical likelihood, or Bernoulli of one target. "
            f"Received: temperature={temperature!r}, cutoff={cutoff!r} and likelihood={type(likelihood).__name__}"
        )
    return statistics


def _check_decision(cutoff: Any, abstain: Any, classes: int) -> None:
    if not isinstance(cutoff, numbers.Real) or not 0 <= cutoff <= 1:
        raise ValueError(f"`cutoff` must be a number from 0 to 1. Received: cutoff={cutoff!r}")
    if not isinstance(abstain, numbers.Integral) or 0 <= abstain < classes:
        raise ValueError(
            f"`abstain` must be an integer, and not one of the {classes} classes. Received: abstain={abstain!r}"
        )


def _names(outputs: Sequence[str] | None, statistics: Statistics) -> tuple[str, ...]:
    if outputs is None:
        return statistics.names
    names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    if DECISION in names and statistics.of_classes and DECISION not in statistics.names:
        raise ValueError(f"A decision needs a `cutoff`. Received: outputs={outputs!r} and cutoff=None")
    if not names or len(set(names)) != len(names) or not set(names) <= set(statistics.names):
        raise ValueError(
            f"`outputs` must be names of {', '.join(map(repr, statistics.names))}, each once. "
            f"Received: outputs={outputs!r}"
        )
    return names


def _check_one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"`{name}` must be one of {', '.join(map(repr, allowed))}. Received: {name}={value!r}")


def _check_path(path: Any, format: str) -> None:
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"`path` must be a path. Received: path={path!r}")
    suffix = _SUFFIXES.get(format, "")
    if not os.fspath(path).endswith(suffix):
        raise ValueError(f"`path` must end in {suffix!r} with format={format!r}. Received: path={os.fspath(path)!r}")


def _check_backend(format: str) -> None:
    backend = keras.backend.backend()
    if format != "tf_saved_model" and backend != "tensorflow":
        raise ValueError(
            f'format="{format}" is written on Keras\'s TensorFlow backend: save the model, model.save("model.keras"), '
            "and in a process with KERAS_BACKEND=tensorflow load it, keras.saving.load_model, and export it. "
            f"Received: format={format!r} with backend={backend!r}"
        )


def _check_seed(seed: Any, draws: str) -> None:
    if seed is None:
        return
    if draws == "fresh":
        raise ValueError(f'With draws="fresh" the file takes the seed, as an input. Received: seed={seed!r}')
    if not isinstance(seed, numbers.Integral) or isinstance(seed, bool):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")


def _check_is_one(model: Any) -> None:
    members = members_of(model)
    if members != [model]:
        raise ValueError(
            "A file holds the draws of one model: export each member of an ensemble by itself. "
            f"Received: {len(members)} models"
        )


def _check_built(model: keras.Model) -> None:
    if not model.built:
        raise ValueError(
            f"A model has no weights before it is built; call it once. Received: {model.name!r}, not built"
        )
    built_variational_layers(model)


def _check_fresh(model: keras.Model) -> None:
    if SEED in [spec.name for spec in inputs_of(model)]:
        raise ValueError(f"Fresh draws have an input {SEED!r} of their own. Received: a model with an input {SEED!r}")
    unknown = shape_of_outputs(model)[1:]
    if None in unknown:
        raise ValueError(
            'With draws="fresh" the model must know its positions: give `keras.Input` their number, or write '
            f'draws="fixed". Received: outputs of shape {(None, *unknown)}'
        )


def _check_size(model: keras.Model, num_draws: int) -> None:
    sizes = [
        math.prod(variables.read().mean.shape)
        for layer in built_variational_layers(model)
        for variables, _ in layer.random_weights.values()
    ]
    needed = 4 * num_draws * sum(sizes)
    if needed > _MOST_BYTES:
        raise ValueError(
            f'Files end at 2 GiB: take fewer draws, or write draws="fresh", which stores none. '
            f"Received: num_draws={num_draws}, whose weights take {needed / 2**30:.1f} GiB"
        )
