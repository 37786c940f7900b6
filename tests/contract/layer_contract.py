"""The cases that the contract of `tfp_bnn.testing` is checked on: all layers, with their estimators and geometries.

Layer classes are found, not listed: a new one is checked, with each estimator, as soon as `tfp_bnn.layers` has it. A
new family of layers adds its geometries to `GEOMETRIES`.
"""

import inspect
from collections.abc import Callable
from typing import Any

import tfp_bnn as bnn
from tfp_bnn.layers import VariationalLayer
from tfp_bnn.testing import layer_checks
from tfp_bnn.testing.case import Case
from tfp_bnn.testing.on_backends import TENSORFLOW

EVERY_CHECK_ON_EVERY_GEOMETRY = False

# By the name of the Keras layer whose weights are random: arguments and the shape of the inputs.
DENSE = {"matrix": ((3,), {}, (4, 5)), "sequences": ((3,), {}, (3, 3, 4))}
GEOMETRIES: dict[str, dict[str, tuple[tuple, dict[str, Any], tuple[int, ...]]]] = {
    "Dense": DENSE,
    "DenseVariational": DENSE,
    "Conv1D": {
        "strides, same": ((4, 3), {"strides": 2, "padding": "same"}, (3, 7, 2)),
        "dilation, causal": ((4, 2), {"dilation_rate": 2, "padding": "causal"}, (3, 6, 3)),
        "groups, valid": ((4, 2), {"groups": 2}, (3, 4, 4)),
        "channels first": ((2, 3), {"data_format": "channels_first"}, (3, 2, 5)),
    },
    "Conv2D": {
        "valid": ((3, 3), {}, (3, 5, 4, 2)),
        "groups, same": ((4, (2, 3)), {"groups": 2, "padding": "same"}, (3, 3, 4, 4)),
        "strides": ((2, 2), {"strides": (2, 1), "padding": "same"}, (3, 5, 3, 1)),
        "dilation": ((2, (2, 1)), {"dilation_rate": (2, 1)}, (3, 4, 3, 2)),
        "channels first": ((2, 3), {"data_format": "channels_first", "padding": "same"}, (3, 2, 4, 3)),
    },
    "Conv3D": {
        "strides": ((2, 2), {"strides": 2}, (3, 4, 4, 4, 1)),
        "groups, same": ((2, (1, 2, 2)), {"groups": 2, "padding": "same"}, (3, 2, 3, 2, 2)),
        "dilation": ((1, 2), {"dilation_rate": 2}, (3, 3, 4, 3, 1)),
        "channels first": ((2, 2), {"data_format": "channels_first"}, (3, 2, 2, 3, 3)),
    },
    "DepthwiseConv1D": {
        "multiplier": ((2,), {"depth_multiplier": 2}, (3, 5, 2)),
        "one channel, same": ((3,), {"padding": "same", "depth_multiplier": 2}, (3, 4, 1)),
        "channels first": ((2,), {"data_format": "channels_first"}, (3, 2, 5)),
    },
    "DepthwiseConv2D": {
        "strides, same": ((3,), {"strides": 2, "padding": "same"}, (3, 4, 4, 2)),
        "dilation": (((2, 1),), {"dilation_rate": (2, 2), "depth_multiplier": 2}, (3, 4, 3, 2)),
    },
    "SeparableConv1D": {
        "multiplier": ((3, 2), {"depth_multiplier": 2}, (3, 5, 2)),
        "strides, same": ((2, 3), {"strides": 2, "padding": "same"}, (3, 5, 1)),
        "channels first": ((2, 2), {"data_format": "channels_first"}, (3, 2, 4)),
    },
    "SeparableConv2D": {"valid": ((3, 2), {}, (3, 3, 3, 2)), "dilation": ((2, 2), {"dilation_rate": 2}, (3, 4, 3, 2))},
    "Conv1DTranspose": {
        "strides": ((3, 3), {"strides": 2}, (3, 4, 2)),
        "one channel, same": ((2, 3), {"padding": "same"}, (3, 4, 1)),
        "channels first": ((2, 2), {"data_format": "channels_first"}, (3, 2, 4)),
    },
    "Conv2DTranspose": {
        "strides, same": ((2, 3), {"strides": 2, "padding": "same"}, (3, 3, 2, 2)),
        "output padding": ((2, 2), {"strides": 2, "output_padding": 1}, (3, 2, 2, 1)),
    },
    "Conv3DTranspose": {"valid": ((2, 2), {}, (3, 2, 2, 2, 2))},
    "SimpleRNN": {"sequences": ((2,), {}, (3, 3, 2))},
    "LSTM": {"sequences": ((2,), {}, (3, 3, 2)), "antithetic": ((2,), {"estimator": "antithetic"}, (3, 2, 2))},
    "GRU": {"all steps": ((2,), {"return_sequences": True}, (3, 2, 2))},
    "EinsumDense": {
        "positions": (("abc,cd->abd", (None, 3)), {"bias_axes": "d"}, (4, 2, 5)),
        "a kernel each": (("abc,bcd->abd", (2, 3)), {"bias_axes": "bd"}, (4, 2, 3)),
        "two outputs": (("...x,xyz->...yz", (2, 3)), {"bias_axes": "yz"}, (4, 3, 4)),
    },
}
# Families differ in their operations and shapes alone: these have each estimator checked, and those every check made;
# on all estimators where the operation is the plainest, a matrix product.
WITH_EACH_ESTIMATOR = ("Dense", "Conv2D")
WITH_EVERY_CHECK = ("Dense", "Conv2D", "DenseVariational", "EinsumDense", "SeparableConv1D", "Conv2DTranspose", "LSTM")
# They take integers, two inputs, or another layer: see tests/layers/test_wrapper.py.
WITHOUT_CASES = ("Embedding", "MultiHeadAttention", "Bayesian")
# Their outputs are not linear in all weights together.
NOT_LINEAR = ("SeparableConv1D", "SeparableConv2D", "SimpleRNN", "LSTM", "GRU")


def layer_classes() -> list[type[VariationalLayer]]:
    """Returns the classes of layers that users make, but for TFP's names, which fix an estimator and nothing else."""
    public = [getattr(bnn.layers, name) for name in bnn.layers.__all__]
    return [
        layer
        for layer in public
        if inspect.isclass(layer)
        and issubclass(layer, VariationalLayer)
        and not inspect.isabstract(layer)
        and getattr(layer, "fixed_estimator", None) is None
        and layer.__name__ not in WITHOUT_CASES
    ]


def set_thorough(thorough: bool) -> None:
    """Sets how much is checked; thorough is twenty times the draws, and each check on each geometry."""
    global EVERY_CHECK_ON_EVERY_GEOMETRY
    layer_checks.NUM_DRAWS = 100_000 if thorough else 5_000
    EVERY_CHECK_ON_EVERY_GEOMETRY = thorough


def cases(every_geometry: bool = True) -> list[Case]:
    """Returns the cases of all layers: every geometry, or the first one of each class unless it is thorough."""
    found = []
    for layer_class in layer_classes():
        estimators = list(bnn.estimators.NAMES) if hasattr(layer_class, "default_estimator") else [None]
        geometries = list(GEOMETRIES[layer_class.__name__].items())
        for number, (geometry, (arguments, keywords, shape)) in enumerate(geometries):
            # TensorFlow's CPU kernels have no channels-first convolutions.
            if TENSORFLOW and geometry == "channels first":
                continue
            for estimator in estimators:
                if EVERY_CHECK_ON_EVERY_GEOMETRY or _is_due(layer_class, number, estimator, every_geometry):
                    linear = layer_class.__name__ not in NOT_LINEAR
                    found.append(Case(layer_class, geometry, arguments, keywords, shape, estimator, linear))
    return found


def shows_little_new(case: Case, check: Callable[[Case], None]) -> bool:
    """Returns whether JAX shows little in a check that TensorFlow makes on the same geometry.

    What JAX computes otherwise are convolutions. Without noise they are compared with Keras's on every geometry; with
    noise on the first of each class, and on those that TensorFlow does not have.
    """
    first = next(iter(GEOMETRIES[case.layer_class.__name__]))
    elsewhere = case.geometry not in (first, "channels first")
    return elsewhere and check is not layer_checks.check_without_noise_it_is_the_keras_layer


def is_the_same_for_each_estimator(case: Case, check: Callable[[Case], None]) -> bool:
    """Returns whether JAX shows nothing in a check with this estimator that it does not with Flipout."""
    return case.estimator not in (None, "flipout") and check in (
        layer_checks.check_divergence,
        layer_checks.check_divergence_is_zero_from_an_equal_prior,
        layer_checks.check_divergence_counts_once,
        layer_checks.check_seeds,
        layer_checks.check_config,
        layer_checks.check_clone,
    )


def _is_due(layer_class: type[VariationalLayer], number: int, estimator: str | None, every_geometry: bool) -> bool:
    """Returns whether a case shows something new: an estimator sees a geometry as signs alone, which Flipout has."""
    name = layer_class.__name__
    with_each = WITH_EACH_ESTIMATOR if every_geometry else WITH_EACH_ESTIMATOR[:1]
    is_due = estimator in (None, "flipout") or (number == 0 and name in with_each)
    return is_due if every_geometry else is_due and number == 0 and name in WITH_EVERY_CHECK
