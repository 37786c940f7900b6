"""Who calls a Bayesian layer: one clear error where its noise or its KL term would be lost without a word.

Nobody tells a layer that it is being exported or rematerialized; it can only look at the calls that it is inside of.
"""

from types import FrameType

import keras

from tfp_bnn._call_stack import code_of, frames

_EXPORT, _STATELESS_CALL = code_of(keras.Model.export), code_of(keras.layers.Layer.stateless_call)
_WORKING_FORMATS = ("tf_saved_model",)
_CONVERTERS = ("jax2onnx", "openvino", "tensorflow.lite", "tf2onnx")
_REMATERIALIZERS = {
    "jax._src.ad_checkpoint": "",  # the whole module
    "tensorflow.python.ops.custom_gradient": "recompute_grad",
}


def check_callers(layer: keras.layers.Layer) -> None:
    """Raises ValueError if a layer that draws its weights is called where that cannot work.

    Args:
        layer: the layer, for the message.
    """
    inside_stateless_call = False
    for frame in frames():
        target = _export_target(frame)
        if target is not None:
            raise ValueError(
                f"A model that draws its weights at each call cannot be exported to {target}: the file would not run. "
                "Export the network of the posterior means, tfp_bnn.to_deterministic(model).export(...), or a "
                'SavedModel, which draws, model.export(..., format="tf_saved_model"). '
                f"Received: Bayesian layer {layer.name!r}"
            )
        # What a function that is called without side effects adds and updates is its result: that is not lost.
        inside_stateless_call = inside_stateless_call or frame.f_code is _STATELESS_CALL
        if not inside_stateless_call and _rematerializes(frame):
            raise ValueError(
                "A Bayesian layer cannot work inside of a layer, a model or a function that is rematerialized: its KL "
                "term could not leave it. Make the model itself outside of `keras.RematScope`, and inside of it the "
                f"layers to be rematerialized. Received: Bayesian layer {layer.name!r}"
            )


def _export_target(frame: FrameType) -> str | None:
    """Returns what a call exports to, or None if it exports nothing, or to a format that works."""
    if frame.f_code is _EXPORT and frame.f_locals["format"] not in _WORKING_FORMATS:
        return f"format={frame.f_locals['format']!r}"
    module = frame.f_globals.get("__name__", "")
    return next((name for name in _CONVERTERS if module == name or module.startswith(f"{name}.")), None)


def _rematerializes(frame: FrameType) -> bool:
    function = _REMATERIALIZERS.get(frame.f_globals.get("__name__"))
    return function is not None and frame.f_code.co_qualname.startswith(function)
