"""One image turned through angles: pictures, probabilities and the parts of the entropy."""

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from tests.support.figures import images, no_warning_and_no_trace, of_a_target, of_classes, rendered, rng, texts
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import Predictive, likelihoods, plots

pytestmark = on_tensorflow_alone

_no_warning_and_no_trace = pytest.fixture(autouse=True)(no_warning_and_no_trace)

ANGLES = np.array([0.0, 30.0, 60.0, 90.0])


def of_probabilities(*probabilities):
    """Returns the predictive distribution of one draw, [angles, classes]."""
    return Predictive(np.log([probabilities]), likelihoods.Categorical())


def edges_of(band, angles):
    """Returns the lower and the upper edge of a band at the angles."""
    x, y = band.get_paths()[0].vertices.T
    return tuple(np.array([pick(y[np.isclose(x, angle)]) for angle in angles]) for pick in (min, max))


def test_lines_are_mean_probabilities_and_bands_one_standard_deviation():
    predictive = of_classes(scale=3.0)
    _, probabilities, _ = rendered(plots.rotation(images(), ANGLES, predictive)).axes
    mean, stddev = predictive.mean(), predictive.epistemic_stddev()
    drawn = [int(name) for name in texts(probabilities.get_legend())]
    assert drawn
    for index, line, band in zip(drawn, probabilities.lines, probabilities.collections, strict=True):
        np.testing.assert_allclose(line.get_xydata(), np.stack([ANGLES, mean[:, index]], axis=1), rtol=1e-6)
        expected = mean[:, index] - stddev[:, index], mean[:, index] + stddev[:, index]
        np.testing.assert_allclose(edges_of(band, ANGLES), expected, rtol=1e-5)


def test_classes_that_never_matter_are_left_out_but_the_true_one_is_not():
    predictive = of_probabilities([0.8, 0.05, 0.06, 0.09], [0.6, 0.25, 0.06, 0.09])
    arguments = images(2), [0, 90], predictive
    _, without, _ = rendered(plots.rotation(*arguments, class_names="abcd")).axes
    assert texts(without.get_legend()) == ["a", "b"]
    _, true, _ = rendered(plots.rotation(*arguments, label=2, class_names="abcd")).axes
    assert texts(true.get_legend()) == ["a", "b", "c, true"]
    widths = [line.get_linewidth() for line in true.lines]
    assert widths[2] > widths[0] == widths[1]


def test_a_class_keeps_its_colour_in_every_figure():
    few, many = of_probabilities([0.05, 0.95], [0.05, 0.95]), of_probabilities([0.5, 0.5], [0.5, 0.5])
    of_few, of_many = (plots.rotation(images(2), [0, 90], predictive).axes[1] for predictive in (few, many))
    assert of_few.lines[0].get_color() == of_many.lines[1].get_color() != of_many.lines[0].get_color()


def test_the_parts_of_the_entropy_stand_one_on_the_other():
    predictive = of_classes()
    *_, entropy = rendered(plots.rotation(images(), ANGLES, predictive)).axes
    assert texts(entropy.get_legend()) == ["Epistemic", "Aleatoric"]
    aleatoric, epistemic = entropy.collections
    np.testing.assert_allclose(edges_of(aleatoric, ANGLES), (np.zeros(4), predictive.expected_entropy()), rtol=1e-5)
    expected = predictive.expected_entropy(), predictive.entropy()
    np.testing.assert_allclose(edges_of(epistemic, ANGLES), expected, rtol=1e-5)


def test_pictures_are_the_images_at_their_angles_and_none_covers_another():
    shown = images()
    pictures, *_ = rendered(plots.rotation(shown, ANGLES, of_classes())).axes
    for picture, image, angle in zip(pictures.images, shown, ANGLES, strict=True):
        np.testing.assert_allclose(np.squeeze(picture.get_array()), image[..., 0])
        left, right, *_ = picture.get_extent()
        assert (left + right) / 2 == pytest.approx(angle)
    boxes = [picture.get_window_extent() for picture in pictures.images]
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
    assert [box.width for box in boxes] == pytest.approx([box.height for box in boxes])


def test_captions_are_the_predicted_classes_red_where_they_are_wrong():
    predictive = of_probabilities([0.8, 0.2], [0.3, 0.7], [0.9, 0.1])
    arguments = images(3), [0, 45, 90], predictive
    captions = [plots.rotation(*arguments, label=label, class_names="ab").axes[0].texts for label in (None, 0)]
    for texts_of_one in captions:
        assert [text.get_text() for text in texts_of_one] == ["a", "b", "a"]
    without, true = ([to_hex(text.get_color()) for text in texts_of_one] for texts_of_one in captions)
    assert true[1] not in (true[0], true[2])
    assert without == [true[0]] * 3


def test_the_order_of_the_angles_does_not_matter():
    shown, predictive, order = images(), of_classes(), rng.permutation(4)
    one = plots.rotation(shown, ANGLES, predictive, label=1)
    other = plots.rotation(shown[order], ANGLES[order], predictive[order], label=1)
    for axes, expected in zip(other.axes, one.axes, strict=True):
        for line, expected_line in zip(axes.lines, expected.lines, strict=True):
            np.testing.assert_allclose(line.get_xydata(), expected_line.get_xydata(), rtol=1e-5)
        for picture, expected_picture in zip(axes.images, expected.images, strict=True):
            np.testing.assert_array_equal(picture.get_array(), expected_picture.get_array())


def test_of_many_angles_some_pictures_are_drawn_and_all_probabilities():
    angles = np.arange(0, 361, 5)
    pictures, probabilities, _ = rendered(plots.rotation(images(73), angles, of_classes(inputs=73))).axes
    assert 5 < len(pictures.images) <= 13
    assert len(probabilities.lines[0].get_xdata()) == 73


@pytest.mark.parametrize("names", ["abcde", ["Ankle boot", "Sandal", "c", "d", "e"]], ids=["short", "long"])
def test_captions_overlap_neither_each_other_nor_the_edge_of_the_figure(names):
    figure = rendered(plots.rotation(images(13), np.arange(0, 181, 15), of_classes(inputs=13), class_names=names))
    captions = figure.axes[0].texts
    for caption in captions:
        box = caption.get_window_extent()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    for one, other in itertools.pairwise(captions):
        if one.get_rotation() == 0:
            assert one.get_window_extent().x1 < other.get_window_extent().x0
        else:
            # The boxes of slanted captions overlap, though their lines of writing lie side by side.
            (left, _), (right, _) = (figure.axes[0].transData.transform(caption.xy) for caption in (one, other))
            apart = (right - left) * np.sin(np.deg2rad(one.get_rotation()))
            assert apart > 1.2 * one.get_fontsize() / 72 * figure.dpi


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((3, 8, 8))}, r"`images` must be \[4, height, width\].* Received: shape \(3, 8, 8\)"),
        ({"predictive": of_a_target(inputs=4)}, "Predictive of classes.* Received: Predictive.*Normal"),
        ({"angles": ANGLES[:3]}, r"`angles` must be \[4\] or \[4, 1\]. Received: shape \(3,\)"),
        ({"angles": [0, 30, 30, 60]}, r"finite and all different. Received: \[ 0. 30. 30. 60.\]"),
        ({"angles": [0, 30, np.nan, 60]}, "finite and all different. Received: .*nan"),
        ({"images": images(1), "predictive": of_classes(inputs=1), "angles": [0]}, r"at least two.* Received: \[0.\]"),
        ({"label": 5}, "Labels must be integers from 0 to 4. Received: 5"),
        ({"class_names": ["a", "b"]}, "`class_names` must name 5 classes. Received: 2 names"),
    ],
)
def test_a_rotation_refuses_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.rotation(**{"images": images(), "angles": ANGLES, "predictive": of_classes(), **arguments})
