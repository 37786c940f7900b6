"""Priors in copies of models: a copy gets priors of its own, shared by its layers as in the original.

Keras copies layer by layer, through configs: `clone_model`, `from_config`, JSON and `.h5` files. A config says which
prior it is of (its `identity`), but nothing says which layers belong to one copy, so what was made for a copy is noted
in the call that makes it.
"""

import json
import uuid
import weakref
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, TypeVar

import keras

from tfp_bnn._call_stack import calls_of, code_of

P = TypeVar("P", bound=keras.layers.Layer)

_COPYING = (
    keras.models.clone_model,
    keras.saving.load_model,
    keras.saving.deserialize_keras_object,
    keras.Model.from_config,
    keras.Sequential.from_config,
    keras.layers.Bidirectional.__init__,
)
_BIDIRECTIONAL = code_of(keras.layers.Bidirectional.__init__)
_COPIES = "tfp_bnn_copied_priors"

_living: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def new_identity(prior: keras.layers.Layer) -> str:
    """Returns an identity for a new prior, one that no other prior has in any process."""
    identity = uuid.uuid4().hex
    _living[identity] = prior
    return identity


def shared(config: Mapping[str, Any], make: Callable[[], P]) -> P:
    """Returns the prior that the copy under way has for a config, made if it has none; a new one if none is under way.

    Args:
        config: what the prior's `get_config` returned, its identity included.
        make: makes the prior.
    """
    call = _call_under_way()
    if call is None:
        return make()
    if call.f_code is _BIDIRECTIONAL and config.get("identity") in _living:
        # It copies the layer that it is given, once for each direction, and the model is still the one model.
        return _living[config["identity"]]
    copies: dict[str, P] = call.f_locals.setdefault(_COPIES, {})
    # Not the identity alone: whoever edits the config of one layer means one layer.
    if (key := _key(config)) not in copies:
        copies[key] = copy = make()
        # A layer of the copy may be copied in its turn before the call ends: `Bidirectional` does so.
        copies[_key(copy.get_config())] = copy
    return copies[key]


def is_copying() -> bool:
    """Returns whether a copy of a model, or of a layer that holds others, is being made."""
    return _call_under_way() is not None


def _key(config: Mapping[str, Any]) -> str:
    return json.dumps(config, sort_keys=True, default=repr)


def _call_under_way() -> FrameType | None:
    """Returns the outermost call that makes a copy: these calls may call each other, for models inside models."""
    *_, outermost = None, *calls_of(*_COPYING)
    return outermost
