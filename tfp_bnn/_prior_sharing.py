"""Priors in copies of models: a copy gets priors of its own, shared by its layers as in the original.

Keras copies layer by layer, through configs. A config says which prior it is of (its `identity`), but nothing says
which layers belong to one copy; so a scope does.
"""

import contextlib
import contextvars
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import keras

P = TypeVar("P", bound=keras.layers.Layer)

_copies: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("copied_priors", default=None)


@contextlib.contextmanager
def kept_shared(*own: keras.layers.Layer) -> Iterator[None]:
    """Keeps priors shared in what is copied or loaded within the scope: one copy of a model, one copy of each prior.

    `tfp_bnn.clone_model`, `.keras` files and pickles do so by themselves. Whatever else copies layers through their
    configs, gives each its own prior: `keras.models.clone_model`, `model_from_json`, `from_config`, `.h5` files,
    `keras.layers.Bidirectional`.

    Args:
        *own: priors that are not to be copied: layers that had them get them.

    Example, a clone whose two layers share a prior:

    >>> from tfp_bnn import layers, priors
    >>> prior = priors.Normal(1.0)
    >>> model = keras.Sequential([keras.Input((4,)), *(layers.Dense(3, prior=prior) for _ in range(2))])
    >>> with priors.kept_shared():
    ...     clone = keras.models.clone_model(model)
    >>> clone.layers[0].prior is clone.layers[1].prior, clone.layers[0].prior is prior
    (True, False)
    """
    # Within a scope it is one copy already.
    around = _copies.get()
    token = _copies.set({} if around is None else around)
    try:
        for prior in own:
            _copies.get()[_key(prior.get_config())] = prior
        yield
    finally:
        _copies.reset(token)


def copy_of(config: Mapping[str, Any], make: Callable[[], P]) -> P:
    """Returns the prior that stands for a config in the copy under way, made if it has none; a new one outside.

    Args:
        config: what the prior's `get_config` returned, its identity included.
        make: makes the prior.
    """
    copies = _copies.get()
    if copies is None:
        return make()
    # Not the identity alone: whoever edits the config of one layer means one layer.
    if (key := _key(config)) not in copies:
        copies[key] = copy = make()
        # A layer of the copy may be copied in its turn: `Bidirectional` does so.
        copies[_key(copy.get_config())] = copy
    return copies[key]


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, default=repr)
