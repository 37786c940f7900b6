"""Plain Keras networks for images, to be made Bayesian: a small CNN, and those of `keras.applications`."""

import importlib
import inspect
from collections.abc import Callable, Sequence

import keras

SMALL_CNN = "small-cnn"
APPLICATIONS: dict[str, Callable[..., keras.Model]] = dict(
    inspect.getmembers(keras.applications, inspect.isfunction),
)
NAMES = (SMALL_CNN, *APPLICATIONS)
# The least side of images that all of `keras.applications` take.
_LEAST_SIDE = 75


def small_cnn(input_shape: Sequence[int], num_classes: int) -> keras.Model:
    """Returns a CNN of two convolutions and two dense layers, 106,000 weights for images of 28 x 28."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(tuple(input_shape)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(num_classes),
        ],
        name="small_cnn",
    )


def application(
    name: str, input_shape: Sequence[int], num_classes: int, weights: str | None = None, side: int | None = None
) -> keras.Model:
    """Returns a network of `keras.applications` with a new last layer, for images with pixels in [0, 1].

    Args:
        name: of the function in `keras.applications`.
        input_shape: of an image: height, width and one or three channels.
        num_classes: outputs, the logits.
        weights: "imagenet", which Keras downloads, or None: they start at random.
        side: images are resized to this height and width; None: to 75 if they are smaller, else not at all.
    """
    make = APPLICATIONS[name]
    height, width, channels = input_shape
    if side is None and min(height, width) < _LEAST_SIDE:
        side = _LEAST_SIDE
    images = inputs = keras.Input((height, width, channels))
    if side is not None:
        images = keras.layers.Resizing(side, side)(images)
    if channels == 1:
        images = keras.layers.Concatenate()([images] * 3)
    images = keras.layers.Rescaling(255.0)(images)
    preprocess = importlib.import_module(make.__module__).preprocess_input
    body = make(include_top=False, weights=weights, input_shape=(*images.shape[1:3], 3), pooling="avg")
    logits = keras.layers.Dense(num_classes, name="logits")(body(preprocess(images)))
    return keras.Model(inputs, logits, name=name.lower())


def make(
    name: str, input_shape: Sequence[int], num_classes: int, weights: str | None = None, side: int | None = None
) -> keras.Model:
    """Returns the network of one of `NAMES`, not compiled."""
    if name == SMALL_CNN:
        return small_cnn(input_shape, num_classes)
    return application(name, input_shape, num_classes, weights, side)
