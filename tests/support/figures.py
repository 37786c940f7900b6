"""What the tests of figures need: predictive distributions to draw, and what stands in a figure."""

import warnings
from collections.abc import Iterator

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.figure import Figure

from tfp_bnn import Predictive, likelihoods

rng = np.random.default_rng(0)


def no_warning_and_no_trace() -> Iterator[None]:
    """A fixture's function: drawing warns of nothing and changes nothing of anyone else's."""
    settings = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Keras's own, when NumPy 2 reads a tensor of TensorFlow.
        warnings.filterwarnings("ignore", message="__array__ implementation")
        yield
    assert pyplot.get_fignums() == []
    assert dict(matplotlib.rcParams) == settings


def rendered(figure):
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    return figure


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def texts(holder):
    return [text.get_text() for text in holder.get_texts()]


def images(count=4, channels=(1,)):
    return rng.uniform(size=(count, 8, 8, *channels))


def of_classes(draws=50, inputs=4, classes=5, scale=2.0):
    return Predictive(rng.normal(scale=scale, size=(draws, inputs, classes)), likelihoods.Categorical())


def of_a_target(draws=50, inputs=30, scale=0.1):
    return Predictive(rng.normal(size=(draws, inputs, 1)), likelihoods.Normal(scale=scale))
