"""The two halves of the loss, logged: `nll`, what the data say, and `kl`, what the weights cost.

Training minimises `nll + kl_weight * kl`. Keras shows only the sum. The halves become metrics of the model beside its
own, so that they reach the progress bar, `History`, `EarlyStopping` and `evaluate` in the way of any metric.
"""

from typing import Any

import keras

from tfp_bnn import _backend
from tfp_bnn.layers.variational_layer import variational_layers

Tensor = Any


def track_halves(model: keras.Model) -> None:
    """Gives a model the metrics `nll` and `kl`, both in nats, `kl` of the whole network; once, however often called.

    The hook is `compute_loss`, the one place where every backend has the loss, the KL terms and the metrics' state
    at hand; a layer's own metrics do not reach the trainer of Keras's JAX backend.
    """
    if hasattr(model, "_tfp_bnn_halves"):
        return
    # Keras locks a built model against new state, and metrics are state; its own trackers bypass the lock as well.
    nll, kl = keras.metrics.Mean(name="nll"), keras.metrics.Mean(name="kl")
    model._metrics.extend([nll, kl])
    model._tfp_bnn_halves = True
    compute_loss = model.compute_loss

    def compute_and_track(x: Any = None, y: Any = None, y_pred: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        loss = compute_loss(x, y, y_pred, *args, **kwargs)
        examples = keras.ops.shape(keras.tree.flatten(y_pred)[0])[0]
        # As Keras does it: with several replicas each has its share of the loss, and metrics want the whole.
        costs = [keras.ops.cast(model._aggregate_additional_loss(cost), "float32") for cost in model.losses]
        nll.update_state((loss - sum(costs, 0.0)) * _backend.num_replicas(), sample_weight=examples)
        kl.update_state(_network_kl(model), sample_weight=examples)
        return loss

    model.compute_loss = compute_and_track
    # Functions traced before have neither metric.
    model.train_function = model.test_function = None


def _network_kl(model: keras.Model) -> Tensor:
    kls = [layer.take_kl() for layer in variational_layers(model)]
    return sum((keras.ops.cast(kl, "float32") for kl in kls if kl is not None), keras.ops.zeros(()))
