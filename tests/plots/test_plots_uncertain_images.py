"""The least sure images: which, in which order, and what is said of them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tests.support.figures import images, no_warning_and_no_trace, of_a_target, of_classes, rendered, titles
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import Predictive, likelihoods, plots

pytestmark = on_tensorflow_alone

_no_warning_and_no_trace = pytest.fixture(autouse=True)(no_warning_and_no_trace)


def test_images_come_in_the_order_of_their_entropy():
    shown, predictive = images(12), of_classes(inputs=12)
    figure = rendered(plots.least_sure(shown, predictive, max_images=7))
    order = sorted(range(12), key=lambda index: -predictive.entropy()[index])[:7]
    assert len(figure.axes) == 7
    for axes, index in zip(figure.axes, order, strict=True):
        np.testing.assert_allclose(np.squeeze(axes.images[0].get_array()), shown[index, ..., 0])


def test_captions_are_likeliest_class_probability_and_entropy():
    predictive = of_classes(inputs=6)
    figure = rendered(plots.least_sure(images(6), predictive, class_names="abcde"))
    mean, entropy = predictive.mean(), predictive.entropy()
    expected = [
        f"predicted {'abcde'[mean[index].argmax()]}\np = {mean[index].max():.2f}, {entropy[index]:.2f} nats"
        for index in np.argsort(-entropy)
    ]
    assert [axes.get_xlabel() for axes in figure.axes] == expected


def test_errors_are_red_and_the_true_class_stands_above():
    probabilities = np.array([[0.5, 0.5 - 1e-3], [0.4, 0.6], [0.8, 0.2]])
    predictive = Predictive(np.log([probabilities]), likelihoods.Categorical())
    figure = rendered(plots.least_sure(images(3), predictive, labels=[[0], [0], [0]], class_names="ab"))
    assert titles(figure) == ["true a"] * 3
    right, wrong, also_right = (to_hex(axes.xaxis.label.get_color()) for axes in figure.axes)
    assert right == also_right != wrong


def test_without_labels_nothing_is_true_or_wrong():
    figure = rendered(plots.least_sure(images(8), of_classes(inputs=8)))
    assert titles(figure) == [""] * 8
    assert len({to_hex(axes.xaxis.label.get_color()) for axes in figure.axes}) == 1


def test_of_equally_unsure_images_the_first_are_drawn():
    shown = images(30)
    figure = plots.least_sure(shown, Predictive(np.zeros((5, 30, 2)), likelihoods.Categorical()), max_images=3)
    for axes, image in zip(figure.axes, shown, strict=False):
        np.testing.assert_allclose(np.squeeze(axes.images[0].get_array()), image[..., 0])


@pytest.mark.parametrize("count", [1, 5, 6])
def test_the_figure_is_no_larger_than_its_images_need(count):
    figure = rendered(plots.least_sure(images(count), of_classes(inputs=count)))
    width, height = figure.get_size_inches()
    assert len(figure.axes) == count
    assert width < 2 * min(count, 5)
    assert height < 2.5 * (1 + count // 6)


@pytest.mark.parametrize("names", ["abcde", ["T-shirt/top"] * 5], ids=["short", "long"])
def test_no_text_overlaps_another_or_leaves_the_figure(names):
    figure = rendered(plots.least_sure(images(12), of_classes(inputs=12), [0] * 12, names))
    drawn = [text for axes in figure.axes for text in (axes.title.get_bbox_patch(), axes.xaxis.label)]
    boxes = [text.get_window_extent() for text in drawn]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((3, 8, 8))}, r"`images` must be \[4, height, width\].* Received: shape \(3, 8, 8\)"),
        ({"predictive": of_a_target(inputs=4)}, "Predictive of classes.* Received: Predictive.*Normal"),
        ({"labels": [0, 1, 2, 5]}, "Labels must be integers from 0 to 4. Received: 5"),
        ({"class_names": ["a", "b"]}, "`class_names` must name 5 classes. Received: 2 names"),
        ({"max_images": 0}, "`max_images` must be a positive integer. Received: max_images=0"),
    ],
)
def test_least_sure_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.least_sure(**{"images": images(), "predictive": of_classes(), **arguments})
