"""Priors in `keras.models.clone_model`: the clone gets priors of its own, shared by its layers as in the original.

Keras clones layer by layer, through configs that hold the original's prior itself (or, in nested models, its config).
Nothing in them says which layers belong to one clone, so what was copied is noted in the call of `clone_model`.
"""

import inspect
import json
from types import FrameType

import keras

from tfp_bnn.priors import Prior

_CLONE_MODEL = inspect.unwrap(keras.models.clone_model).__code__
_COPIES = "tfp_bnn_copied_priors"


def prior_of_clone(prior: Prior) -> Prior:
    """Returns the copy of a prior that belongs to the clone being made, or the prior itself if none is made."""
    call = _call_of_clone_model()
    if call is None:
        return prior
    copies: dict[str, Prior] = call.f_locals.setdefault(_COPIES, {})
    # In a nested model the prior is one made anew from its config, so the object does not say which one it is. Names
    # alone do not: Keras gives a loaded prior and a new one the same.
    identity = json.dumps(keras.saving.serialize_keras_object(prior), sort_keys=True)
    if identity not in copies:
        copies[identity] = type(prior).from_config(prior.get_config())
    return copies[identity]


def _call_of_clone_model() -> FrameType | None:
    """Returns the outermost call of `clone_model` that is under way: it may call itself for nested models."""
    found, frame = None, inspect.currentframe()
    while frame is not None:
        if frame.f_code is _CLONE_MODEL:
            found = frame
        frame = frame.f_back
    return found
