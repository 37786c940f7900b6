"""The loss of a Bayesian model, put together and logged: `nll`, what the data say, and `kl`, what the weights cost.

Training minimises, for each minibatch, `mean over observations of -log p(y | x, w) + factor * kl_weight * KL[q || p]`.
Keras shows only the sum. The halves become metrics of the model beside its own, so that they reach the progress bar,
`History`, `EarlyStopping` and `evaluate` in the way of any metric.
"""

from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import keras

from tfp_bnn import _backend, _keras
from tfp_bnn.layers.base import built_variational_layers, variational_layers
from tfp_bnn.likelihoods import Likelihood
from tfp_bnn.objective import observations, outputs

Tensor = Any


def kl_divergence(model: keras.layers.Layer) -> Tensor:
    """Returns KL[q(w) || p(w)] of all random weights of a model in nats: what a training loop of your own adds.

        loss = mean of -log p(y | x, w) over a minibatch + kl_divergence(model) / number of training examples

    The sum over layers and weights, each layer once. Where no closed form is known, an unbiased estimate at a draw of
    its own. It can be differentiated, on TensorFlow within `tf.GradientTape`, on JAX within `keras.StatelessScope`.

    Args:
        model: a built Keras model or layer.

    Returns:
        A scalar tensor, 0 if there are no Bayesian layers. Divide it by the number of examples, and also by the number
        of positions (time steps, pixels) if the loss is a mean over those.

    Raises:
        ValueError: if a Bayesian layer of the model is not built.

    Example:

    >>> from tfp_bnn import layers, posteriors, priors
    >>> posterior = posteriors.MeanFieldNormal(initial_stddev=1.0, mean_initializer="zeros")
    >>> model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3, posterior=posterior)])
    >>> round(float(kl_divergence(model)), 4)  # the posterior is the prior, N(0, 1)
    0.0

    Source: Blundell et al. 2015, "Weight Uncertainty in Neural Networks", equation 1.
    """
    layers = built_variational_layers(model)
    return _total(layer.kl_divergence() for layer in layers)


class Halves(_keras.MetricsList):
    """The halves of the loss as metrics of a model: `nll`, `kl` and `kl_share`; nothing as long as none was counted.

    A list of metrics, since Keras asks lists alone whether more is better (`EarlyStopping`). It has no use for targets
    and outputs, which training steps of one's own may hand to all metrics; `count` is what fills it.
    """

    _TOTALS = ("examples", "nll", "kl", "kl_term", "whole_kl_term", "variance")

    def __init__(self) -> None:
        keras.metrics.Metric.__init__(self, name="halves")
        zeros = keras.initializers.Zeros()
        self._totals = {
            name: self.add_variable(shape=(), initializer=zeros, dtype="float32", name=name) for name in self._TOTALS
        }
        self._has_counted = False

    @property
    def metrics(self) -> Sequence[Any]:
        """What Keras asks for names and directions."""
        return [SimpleNamespace(name=name, _direction="down") for name in ("nll", "kl", "kl_share")]

    def update_state(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing."""

    def count(self, examples: Tensor, **means: Tensor) -> None:
        """Adds a minibatch: how many examples it has, and means over them."""
        self._has_counted = True
        examples = keras.ops.cast(examples, "float32")
        self._totals["examples"].assign_add(examples)
        for name, mean in means.items():
            self._totals[name].assign_add(examples * keras.ops.cast(mean, "float32"))

    def reset_state(self) -> None:
        """Starts anew."""
        keras.metrics.Metric.reset_state(self)

    def result(self) -> dict[str, Tensor]:
        """Returns the means over all examples; `kl_share` is what part the KL term has of both halves."""
        if not self._has_counted:
            return {}
        ops = keras.ops
        nll, kl, kl_term = (self._mean(name) for name in ("nll", "kl", "kl_term"))
        return {"nll": nll, "kl": kl, "kl_share": ops.divide_no_nan(kl_term, kl_term + ops.abs(nll))}

    def _mean(self, name: str) -> Tensor:
        return keras.ops.divide_no_nan(self._totals[name].value, self._totals["examples"].value)

    def mean(self, name: str) -> float:
        """Returns the mean over all examples of `nll`, `kl`, or `whole_kl_term`, that with a KL weight of 1."""
        return float(self._mean(name))

    def num_examples(self) -> int:
        """Returns how many examples were counted since the last reset."""
        # A sum, since the variables of several replicas are not numbers themselves.
        return int(keras.ops.add(self._totals["examples"].value, 0.0))

    def stddev_of_targets(self) -> float:
        """Returns the standard deviation of the targets within a minibatch, of the target that varies most."""
        return self.mean("variance") ** 0.5


def track_halves(model: keras.Model) -> Halves:
    """Returns the halves of a model's loss, which it logs from now on; `kl`, in nats, is that of the whole network.

    The hook is `compute_loss`, the one place where every backend has the loss, the KL terms and the metrics' state
    at hand; a layer's own metrics do not reach the trainer of Keras's JAX backend.
    """
    for layer in variational_layers(model):
        layer.keep_kl()
    if hasattr(model.compute_loss, "halves"):
        return model.compute_loss.halves
    halves = Halves()
    _keras.add_metric(model, halves)
    model.compute_loss = _with_halves(model, model.compute_loss, halves)
    # Functions traced before have none of the metrics.
    model.train_function = model.test_function = None
    return halves


def _with_halves(model: keras.Model, compute_loss: Callable[..., Tensor], halves: Halves) -> Callable[..., Tensor]:
    """Returns the model's `compute_loss` with a KL term that fits the mean over observations, and with `halves`."""

    def compute_and_track(
        x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, *args: Any, **kwargs: Any
    ) -> Tensor:
        outputs.check_outputs(model, y_pred)
        losses = {id(loss): loss for loss in model.losses}
        counted = [
            kl
            for kl in (layer.take_kl() for layer in variational_layers(model))
            # Not of an earlier pass, which this one has left out.
            if kl is not None and losses.pop(id(kl.term), None) is not None
        ]
        others = list(losses.values())
        with _keras.losses_replaced(model, others or [keras.ops.zeros(())]):
            data_and_others = compute_loss(x, y, y_pred, sample_weight, *args, **kwargs)
        scale = observations.kl_scale(model, y_pred, y, sample_weight)
        kl_term = scale * _aggregated(model, [kl.term for kl in counted])
        # Not as the difference of the whole loss and the KL term, which would round it away.
        nll = data_and_others - _aggregated(model, others) if others else data_and_others
        # As Keras does it: with several replicas each has its share of the loss, and metrics want the whole.
        replicas = _backend.num_replicas()
        kl = _total(kl.nats for kl in counted)
        halves.count(
            keras.ops.shape(keras.tree.flatten(y_pred)[0])[0],
            nll=nll * replicas,
            kl=kl,
            kl_term=kl_term * replicas,
            whole_kl_term=scale * kl,
            variance=_variance_of_targets(model, y),
        )
        return data_and_others + keras.ops.cast(kl_term, data_and_others.dtype)

    compute_and_track.halves = halves
    return compute_and_track


def _aggregated(model: keras.Model, losses: Sequence[Tensor]) -> Tensor:
    return _total(_keras.share_of_replica(model, loss) for loss in losses)


def _total(terms: Iterable[Tensor]) -> Tensor:
    floatx = keras.config.floatx()
    return sum((keras.ops.cast(term, floatx) for term in terms), keras.ops.zeros((), floatx))


def _variance_of_targets(model: keras.Model, y: Any) -> Tensor:
    """Returns the variance within the minibatch of the real target that varies most; 0 if there is none."""
    is_real = isinstance(model.loss, Likelihood) and model.loss.target_kind == "real"
    if not is_real or not keras.ops.is_tensor(y):
        return keras.ops.zeros(())
    y = keras.ops.cast(y, "float32")
    return keras.ops.max(keras.ops.var(y, axis=tuple(range(max(1, len(y.shape) - 1)))))
