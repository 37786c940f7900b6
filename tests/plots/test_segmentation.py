"""The figure of classified pixels."""

import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn.likelihoods import Categorical, Normal

pytestmark = on_tensorflow_alone

# Two draws of 2 x 2 pixels: sure, both unsure, at odds, hidden.
SURE, UNSURE, OTHER = [0.98, 0.01, 0.01], [0.34, 0.33, 0.33], [0.01, 0.98, 0.01]
LOGITS = np.log([[[[SURE, UNSURE], [SURE, UNSURE]]], [[[SURE, UNSURE], [OTHER, UNSURE]]]])
MASK = np.array([[[True, True], [True, False]]])
IMAGES = np.linspace(0, 1, 4).reshape(1, 2, 2)


def shown(figure, title):
    (axes,) = (axes for axes in figure.axes if axes.get_title() == title)
    return axes.images[0].get_array()


def test_what_is_shown_is_what_the_predictive_says():
    predictive = bnn.Predictive(LOGITS, Categorical(), MASK)
    figure = bnn.plots.segmentation(IMAGES, predictive, np.array([[[0, 1], [2, 0]]]), ["a", "b", "c"])
    np.testing.assert_array_equal(shown(figure, "True class").data, [[0, 1], [2, 0]])
    np.testing.assert_array_equal(shown(figure, "Likeliest class").data[0], [0, 0])
    np.testing.assert_allclose(shown(figure, "Entropy").data, predictive.entropy()[0])
    information = shown(figure, "Mutual information")
    assert information.data[1, 0] > 0.5 > 0.01 > information.data[0].max()
    for title in ("Likeliest class", "Entropy", "Mutual information"):
        np.testing.assert_array_equal(np.ma.getmaskarray(shown(figure, title)), ~MASK[0])
    limits = {axes.images[0].get_clim() for axes in figure.axes[3:5]}
    assert limits == {(0.0, float(predictive.entropy().max()))}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("predictive", "images", "arguments", "message"),
    [
        (
            bnn.Predictive(LOGITS, Categorical()),
            np.zeros((1, 3, 2)),
            {},
            r"\[n, height, width, classes\].*beside images",
        ),
        (bnn.Predictive(LOGITS[..., 0, :], Categorical()), IMAGES, {}, r"a row of classes for each pixel"),
        (bnn.Predictive(LOGITS, Normal(1.0)), IMAGES, {}, "Predictive of classes"),
        (bnn.Predictive(LOGITS, Categorical()), IMAGES, {"targets": [0]}, r"`targets` must be \[n, height, width\]"),
        (bnn.Predictive(LOGITS, Categorical()), IMAGES, {"class_names": ["a"]}, "must name 3 classes. Received: 1"),
    ],
)
def test_what_does_not_fit_gets_one_clear_error(predictive, images, arguments, message):
    with pytest.raises(ValueError, match=message):
        bnn.plots.segmentation(images, predictive, **arguments)
