"""Figures: what stands in them is what they are given, and drawing them leaves no trace."""

import itertools
import math
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from matplotlib.colors import to_hex

from tests.support.figures import images, no_warning_and_no_trace, of_a_target, of_classes, rendered, rng, texts, titles
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn import Predictive, layers, likelihoods, plots, posteriors, priors
from tfp_bnn.plots import weights

pytestmark = on_tensorflow_alone


@pytest.fixture(autouse=True)
def _same_random_numbers():
    # In place of the fixture of all tests, whose search for garbage takes longer than drawing a figure.
    keras.utils.set_random_seed(20_151)


_no_warning_and_no_trace = pytest.fixture(autouse=True)(no_warning_and_no_trace)


# weight_posteriors


def small_model():
    """Returns a model with three tensors of random weights: 1,200, 30 and 93."""
    return keras.Sequential(
        [
            keras.Input((40,)),
            layers.DenseFlipout(30, bias_posterior=posteriors.MeanFieldNormal(0.1), name="hidden"),
            layers.DenseVariational(3, name="joint"),
        ]
    )


def assign(layer, name, mean, stddev):
    layer.random_weights[name][0].assign(mean, stddev)


def test_weights_have_one_line_a_tensor_in_each_panel():
    figure = rendered(plots.weight_posteriors(small_model()))
    assert titles(figure) == ["Posterior means", "Posterior standard deviations"]
    assert [texts(legend) for legend in figure.legends] == [["hidden", "hidden/bias", "joint", "Prior, stddev 1"]]
    colors = [to_hex(line.get_color()) for line in figure.legends[0].get_lines()][:3]
    for axes in figure.axes:
        assert [to_hex(line.get_color()) for line in axes.lines][:3] == colors
        assert axes.get_xlabel().endswith("(units of the weights)")
    assert len(set(colors)) == 3


def test_densities_are_those_of_the_weights():
    model = small_model()
    mean, stddev = rng.normal(2.0, 0.5, (40, 30)), rng.uniform(0.3, 0.4, (40, 30))
    assign(model.layers[0], "kernel", mean, stddev)
    for axes, expected in zip(plots.weight_posteriors(model).axes, (mean, stddev), strict=True):
        x, density = axes.lines[0].get_data()
        step = x[1] - x[0]
        assert density.sum() * step == pytest.approx(1.0, abs=0.02)
        assert (x * density).sum() * step == pytest.approx(expected.mean(), rel=0.03)


def test_no_standard_deviation_below_0_is_drawn():
    model = small_model()
    assign(model.layers[0], "kernel", 0.0, np.abs(rng.normal(size=(40, 30))) + 1e-6)
    _, stddevs = plots.weight_posteriors(model).axes
    assert stddevs.lines[0].get_xdata().min() == 0


def test_equal_weights_are_a_vertical_line():
    means, stddevs = rendered(plots.weight_posteriors(small_model())).axes
    np.testing.assert_array_equal(means.lines[1].get_xdata(), [0, 0])
    lines = [line.get_xdata() for line in stddevs.lines]
    np.testing.assert_allclose(lines, [[0.05, 0.05], [0.1, 0.1], [0.05, 0.05]], rtol=1e-5)
    assert len(stddevs.get_yticks()) == 0
    assert len(means.get_yticks()) > 2


def test_a_single_weight_is_a_vertical_line():
    model = keras.Sequential([keras.Input((1,)), layers.DenseFlipout(1)])
    means, stddevs = rendered(plots.weight_posteriors(model)).axes
    assert (len(means.lines), len(stddevs.lines)) == (2, 1)  # beside the means, the prior


def test_of_many_weights_the_same_ones_are_drawn_each_time(monkeypatch):
    monkeypatch.setattr(weights, "_MAX_WEIGHTS", 100)
    seen = []
    monkeypatch.setattr(weights.seaborn, "kdeplot", lambda x, **_: seen.append(x))
    model = small_model()
    plots.weight_posteriors(model)
    plots.weight_posteriors(model)
    assert [len(x) for x in seen] == [100, 93] * 2  # the means; standard deviations and biases are equal
    for first, second in zip(seen[:2], seen[2:], strict=True):
        np.testing.assert_array_equal(first, second)


def test_many_layers_have_different_lines_even_of_one_name():
    model = keras.Sequential([keras.Input((3,)), *(layers.DenseFlipout(3, name=f"layer_{n}") for n in range(12))])
    for layer in model.layers:
        layer.name = "same"
    lines = plots.weight_posteriors(model).axes[0].lines
    assert len({(to_hex(line.get_color()), line.get_linestyle()) for line in lines}) == 12 + 1  # and the prior


def test_posteriors_that_are_not_gaussian_are_left_out():
    model = small_model()
    model.layers[1].random_weights["weights"][0].read = object
    assert texts(plots.weight_posteriors(model).legends[0])[:2] == ["hidden", "hidden/bias"]


def test_each_prior_is_drawn_beside_the_posteriors_once():
    learned = priors.ScaleMixture(sigma_1=0.5, sigma_2=0.05, pi=0.25, trainable=True)
    learned.trainable_variables[0].assign(math.log(0.4))
    fixed = priors.ScaleMixture(sigma_1=0.3, sigma_2=0.06, pi=0.25)
    both = {"bias_posterior": posteriors.MeanFieldNormal(0.1), "bias_prior": priors.Normal(0.08, loc=0.2)}
    model = keras.Sequential(
        [
            keras.Input((40,)),
            layers.DenseFlipout(30, prior=learned, name="first"),
            layers.DenseFlipout(30, prior=learned, name="second"),
            layers.DenseFlipout(3, prior=fixed, name="third", **both),
        ]
    )
    figure = rendered(plots.weight_posteriors(model))
    spreads = [(0.25 * scale**2 + 0.75 * narrow**2) ** 0.5 for scale, narrow in ((0.4, 0.05), (0.3, 0.06))]
    assert texts(figure.legends[0])[4:] == [
        f"Prior of first and 1 more, stddev {spreads[0]:.2g}",
        f"Prior of third, stddev {spreads[1]:.2g}",
        "Prior of third/bias, stddev 0.08",
    ]
    means, stddevs = figure.axes
    mixture = [
        share * scipy.stats.norm.pdf(means.lines[4].get_xdata(), scale=scale)
        for share, scale in ((0.25, 0.4), (0.75, 0.05))
    ]
    np.testing.assert_allclose(means.lines[4].get_ydata(), sum(mixture), rtol=1e-4)
    expected = scipy.stats.norm.pdf(means.lines[6].get_xdata(), loc=0.2, scale=0.08)
    np.testing.assert_allclose(means.lines[6].get_ydata(), expected, rtol=1e-4, atol=1e-6)
    # Standard deviations stand beside those of the posteriors, 0.05 and 0.1, where they are near.
    assert [line.get_xdata()[0] for line in stddevs.lines[4:]] == pytest.approx([*spreads, 0.08], rel=1e-5)


def test_a_narrow_prior_does_not_hide_the_posteriors():
    model = keras.Sequential([keras.Input((40,)), layers.DenseFlipout(30, prior=priors.ScaleMixture(1.0, 1e-4))])
    means, _ = rendered(plots.weight_posteriors(model)).axes
    assert means.lines[1].get_ydata().max() > 100 * means.get_ylim()[1]
    assert means.get_ylim()[1] < 2 * means.lines[0].get_ydata().max()


def test_priors_that_differ_from_weight_to_weight_are_left_out():
    class Of(priors.Prior):
        def log_prob(self, weights):
            return -keras.ops.square(weights - np.arange(3.0, dtype="float32"))

        def distribution(self, shape=()):
            raise NotImplementedError

    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(3, prior=Of(), name="hidden")])
    assert texts(plots.weight_posteriors(model).legends[0]) == ["hidden"]


@pytest.mark.parametrize("spread", [1e-7, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 1e-2])
def test_the_labels_of_ticks_do_not_overlap_however_alike_the_standard_deviations(spread):
    model = keras.Sequential([keras.Input((40,)), layers.DenseFlipout(30, name="first_convolution")])
    own = np.random.default_rng(0)
    near = 0.05 + spread * own.normal(size=(40, 30)).clip(-3, 3)
    assign(model.layers[0], "kernel", own.normal(0, 0.3, (40, 30)), near)
    for axes in rendered(plots.weight_posteriors(model)).axes:
        left, right = axes.get_xlim()
        shown = [tick.label1 for tick in axes.xaxis.get_major_ticks() if left <= tick.get_loc() <= right]
        boxes = [label.get_window_extent() for label in shown]
        assert len(boxes) >= 2
        assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))


def test_a_model_without_gaussian_posterior_gets_one_clear_error():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match=r"nothing to draw.*Received: model="):
        plots.weight_posteriors(model)


def test_diverged_weights_get_one_clear_error():
    model = small_model()
    assign(model.layers[0], "bias", math.nan, 0.1)
    with pytest.raises(ValueError, match=r"finite.*Received: 'hidden/bias' with 30 of 30"):
        plots.weight_posteriors(model)


# predictions


def test_predictions_have_a_row_for_each_image():
    predictive = of_classes()
    figure = rendered(plots.predictions(images(), predictive, labels=[0, 1, 2, 3]))
    assert len(figure.axes) == 12
    information, entropy = predictive.mutual_information(), predictive.entropy()
    for row in range(4):
        picture, each_draw, together = figure.axes[3 * row : 3 * row + 3]
        assert picture.get_title() == f"true {row}"
        assert picture.get_xlabel() == f"predicted {predictive.mean()[row].argmax()}"
        assert each_draw.get_title("left") == f"Mutual information {information[row]:.2f} nats"
        assert together.get_title("left") == f"Entropy {entropy[row]:.2f} nats"
        for axes in (each_draw, together):
            assert axes.get_ylim() == (0, 1)
            assert [tick.get_text() for tick in axes.get_xticklabels()] == list("01234")


def test_bars_are_the_mean_and_whiskers_the_standard_deviation():
    predictive = of_classes()
    figure = plots.predictions(images(), predictive)
    for row, axes in enumerate(figure.axes[2::3]):
        (bars,) = axes.containers[1:]
        mean, stddev = predictive.mean()[row], predictive.epistemic_stddev()[row]
        np.testing.assert_allclose([bar.get_height() for bar in bars], mean, rtol=1e-6)
        whiskers = np.array(bars.errorbar.lines[2][0].get_segments())[:, :, 1]
        np.testing.assert_allclose(whiskers, np.stack([mean - stddev, mean + stddev], axis=1), atol=1e-6)


def test_points_are_the_draws_and_boxes_their_quartiles():
    predictive = of_classes()
    figure = plots.predictions(images(), predictive)
    for row, axes in enumerate(figure.axes[1::3]):
        points, boxes = axes.collections
        x, y = points.get_offsets().T
        np.testing.assert_allclose(y, predictive.draws[:, row].ravel(), rtol=1e-6)
        np.testing.assert_array_equal(np.round(x), np.tile(np.arange(5), 50))
        corners = np.array(boxes.get_segments())
        np.testing.assert_allclose(corners[:, :, 0].mean(axis=1), np.arange(5), atol=0.1)
        quartiles = np.quantile(predictive.draws[:, row], [0.25, 0.5, 0.75], axis=0).T
        np.testing.assert_allclose([np.unique(box) for box in corners[:, :, 1]], quartiles, rtol=1e-6)


def test_the_true_class_is_shaded_and_an_error_coloured():
    predictive = Predictive(np.tile([9.0, 0.0, 0.0, 0.0, 0.0], (50, 4, 1)), likelihoods.Categorical())
    labels = np.array([[0], [2], [0], [0]])
    figure = rendered(plots.predictions(images(), predictive, labels))
    for row, label in enumerate(labels[:, 0]):
        for axes in figure.axes[3 * row + 1 : 3 * row + 3]:
            shade = axes.patches[-1]
            assert (shade.get_x(), shade.get_width()) == (label - 0.5, 1)
    colors = [axes.xaxis.label.get_color() for axes in figure.axes[::3]]
    assert colors[1] not in (colors[0], colors[2], colors[3])


def test_without_labels_nothing_is_called_true():
    figure = rendered(plots.predictions(images(), of_classes()))
    assert titles(figure)[::3] == [""] * 4
    assert all(len(axes.patches) == 0 for axes in figure.axes[1::3])


@pytest.mark.parametrize("names", [list("abcde"), ["Ankle boot", "b", "c", "d", "e"]], ids=["short", "long"])
def test_no_text_overlaps_another_or_leaves_the_figure(names):
    figure = rendered(plots.predictions(images(), of_classes(), [0] * 4, names))
    drawn = [text for axes in figure.axes for text in (axes.title, axes._left_title, axes.xaxis.label, *axes.texts)]
    boxes = [text.get_window_extent() for text in drawn if text.get_text()]
    assert len(boxes) == 4 * 4 + 3
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
    ticks = [tick for axes in figure.axes for tick in axes.get_xticklabels() + axes.get_yticklabels()]
    for box in boxes + [tick.get_window_extent() for tick in ticks if tick.get_visible()]:
        assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 <= box.y1 <= figure.bbox.y1


def test_long_names_of_classes_stand_below_the_last_row_alone():
    names = ["a long name", "b", "c", "d", "e"]
    figure = rendered(plots.predictions(images(), of_classes(), labels=[0, 0, 0, 0], class_names=names))
    assert figure.axes[0].get_title() == "true a long name"
    labelled = [axes.xaxis.get_tick_params()["labelbottom"] for axes in figure.axes[1::3]]
    assert labelled == [False, False, False, True]
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()] == names


def test_a_hundred_classes_are_not_all_named():
    figure = rendered(plots.predictions(images(1), of_classes(inputs=1, classes=100)))
    assert len(figure.axes[1].get_xticks()) < 20


def test_at_most_max_images_are_drawn():
    predictive = of_classes(inputs=12)
    assert len(plots.predictions(images(12), predictive).axes) == 30
    assert len(plots.predictions(images(12), predictive, max_images=4).axes) == 12


def test_one_draw_of_one_image_can_be_drawn():
    rendered(plots.predictions(images(1), of_classes(draws=1, inputs=1)))


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_pictures_are_the_images(channels):
    pictures = images(4, channels)
    figure = rendered(plots.predictions(pictures, of_classes()))
    np.testing.assert_allclose(np.squeeze(figure.axes[3].images[0].get_array()), np.squeeze(pictures[1]))


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[0, 51], [102, 255]], "uint8"), [[0, 0.2], [0.4, 1]]),
        (np.array([[-2.0, 0.0], [1.0, 2.0]]), [[0, 0.5], [0.75, 1]]),
        (np.full((2, 2), 7.0), [[0, 0], [0, 0]]),
        (np.eye(2, dtype=bool), [[1, 0], [0, 1]]),
    ],
    ids=["bytes", "stretched", "constant", "bool"],
)
def test_pixels_are_scaled_to_0_and_1(image, expected):
    figure = rendered(plots.predictions(image[np.newaxis], of_classes(inputs=1)))
    np.testing.assert_allclose(np.asarray(figure.axes[0].images[0].get_array(), float), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"images": np.zeros((3, 8, 8))}, r"`images` must be \[4, height, width\].* Received: shape \(3, 8, 8\)"),
        ({"images": np.zeros((4, 8))}, r"`images` must be .* Received: shape \(4, 8\)"),
        ({"images": np.zeros((4, 8, 8, 2))}, r"Received: shape \(4, 8, 8, 2\)"),
        ({"labels": [0, 1]}, r"`labels` must be \[4\] or \[4, 1\]. Received: shape \(2,\)"),
        ({"labels": [0, 1, 2, 5]}, "Labels must be integers from 0 to 4. Received: 5"),
        ({"class_names": ["a", "b"]}, "`class_names` must name 5 classes. Received: 2 names"),
        ({"max_images": 0}, "`max_images` must be a positive integer. Received: max_images=0"),
        ({"max_images": 2.5}, "`max_images` must be a positive integer. Received: max_images=2.5"),
        ({"predictive": of_a_target(inputs=4)}, "Predictive of classes.* Received: Predictive.*Normal"),
        ({"predictive": of_classes(inputs=0)}, "at least one input. Received: Predictive.* 0 inputs"),
    ],
)
def test_predictions_refuse_what_does_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        plots.predictions(**{"images": images(), "predictive": of_classes(), **arguments})


# regression

X_TEST = np.linspace(-2, 2, 30)


def data(size=20):
    x = rng.uniform(-1, 1, size)
    return x, np.sin(x)


def test_regression_draws_the_data_the_draws_their_mean_and_the_truth():
    x, y = data()
    predictive, x_test = of_a_target(), rng.permutation(X_TEST)
    (axes,) = rendered(plots.regression(x, y, x_test, predictive, truth=np.sin(x_test))).axes
    order = np.argsort(x_test)
    *draws, mean, truth = axes.lines
    assert len(draws) == 10
    for line in axes.lines:
        np.testing.assert_array_equal(line.get_xdata(), X_TEST)
    for line, draw in zip(draws, predictive.draws, strict=False):
        np.testing.assert_allclose(line.get_ydata(), draw[order, 0])
    np.testing.assert_allclose(mean.get_ydata(), predictive.mean()[order, 0])
    np.testing.assert_allclose(truth.get_ydata(), np.sin(X_TEST))
    np.testing.assert_allclose(axes.collections[-1].get_offsets(), np.stack([x, y], axis=1))


def test_bands_are_the_mean_and_two_standard_deviations():
    predictive = of_a_target(scale=0.5)
    axes = plots.regression(*data(), X_TEST, predictive).axes[0]
    epistemic = predictive.epistemic_stddev()[:, 0]
    for band, stddev in zip(axes.collections, (np.hypot(epistemic, 0.5), epistemic), strict=False):
        corners = band.get_paths()[0].vertices
        for sign in (-1, 1):
            edge = np.stack([X_TEST, predictive.mean()[:, 0] + sign * 2 * stddev], axis=1)
            assert all(np.isclose(corners, corner, atol=1e-5).all(axis=1).any() for corner in edge)


def test_a_learnt_scale_is_in_the_outer_band():
    predictive = Predictive(np.zeros((5, 30, 2)), likelihoods.Normal())
    outer, inner, _ = rendered(plots.regression(*data(), X_TEST, predictive)).axes[0].collections
    assert outer.get_paths()[0].vertices[:, 1].max() == pytest.approx(2.0, rel=1e-5)  # a scale of 1
    assert inner.get_paths()[0].vertices[:, 1].max() == 0


def test_a_regression_says_what_is_drawn():
    figure = rendered(plots.regression(*data(), X_TEST, of_a_target()))
    expected = [
        "± 2 standard deviations, with the data's noise",
        "± 2 standard deviations, epistemic",
        "Draws of the network",
        "Predictive mean",
        "Data",
    ]
    assert [texts(legend) for legend in figure.legends] == [expected]
    assert figure.axes[0].get_legend() is None
    assert figure.axes[0].get_xlabel() == "x (units of the input)"
    assert figure.axes[0].get_ylabel() == "y (units of the target)"
    with_truth = plots.regression(*data(), X_TEST, of_a_target(), np.zeros(30))
    assert "Truth" in texts(with_truth.legends[0])


def test_columns_are_as_good_as_vectors():
    columns = [values[:, np.newaxis] for values in (*data(), X_TEST)]
    figure = rendered(plots.regression(*columns, of_a_target(draws=3), np.zeros((30, 1))))
    assert len(figure.axes[0].lines) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": np.zeros((20, 2))}, r"`x` must be \[n\] or \[n, 1\]. Received: shape \(20, 2\)"),
        ({"y": np.zeros(19)}, r"`y` must be \[20\] or \[20, 1\]. Received: shape \(19,\)"),
        ({"x_test": np.zeros((29, 1))}, r"`x_test` must be \[30\] or \[30, 1\]. Received: shape \(29, 1\)"),
        ({"truth": np.zeros(31)}, r"`truth` must be \[30\] or \[30, 1\]. Received: shape \(31,\)"),
        ({"predictive": of_classes(inputs=30)}, "one real target. Received: Predictive.*Categorical"),
        ({"predictive": np.zeros((30, 1))}, "one real target. Received: array"),
        ({"predictive": Predictive(np.zeros((5, 30, 2)), likelihoods.Normal(scale=1.0))}, "one real target. Received"),
    ],
)
def test_a_regression_refuses_what_does_not_fit(arguments, message):
    x, y = data()
    good = {"x": x, "y": y, "x_test": X_TEST, "predictive": of_a_target()}
    with pytest.raises(ValueError, match=message):
        plots.regression(**{**good, **arguments})


# training_curves

HISTORY = {
    "loss": [3.0, 2.0, 1.0],
    "nll": [2.0, 1.5, 0.8],
    "kl": [1e6, 9e5, 8e5],
    "accuracy": [0.3, 0.6, 0.9],
    "mse": [0.3, 0.2, 0.1],
    "learning_rate": [0.1, 0.1, 0.1],
    "val_loss": [3.1, 2.1, 1.1],
    "val_accuracy": [0.2, 0.5, 0.8],
}
PANELS = ("loss", "nll", "kl", "accuracy", "mse")


def as_history():
    history = keras.callbacks.History()
    history.history, history.epoch = HISTORY, [0, 1, 2]
    return history


@pytest.mark.parametrize(
    ("make_history", "epochs"),
    [
        (lambda: HISTORY, (1, 2, 3)),
        (lambda: pd.DataFrame({**HISTORY, "epoch": [5, 6, 7]}), (6, 7, 8)),
        (as_history, (1, 2, 3)),
    ],
    ids=["dict", "table", "History"],
)
def test_training_curves_are_the_history(make_history, epochs):
    figure = rendered(plots.training_curves(make_history()))
    for axes, name in zip(figure.axes, PANELS, strict=True):
        if name == "nll":
            continue  # beside the other half of the loss, below
        expected = [HISTORY[column] for column in (name, f"val_{name}") if column in HISTORY]
        for line, values in zip(axes.lines, expected, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), epochs)
            np.testing.assert_array_equal(line.get_ydata(), values)
        assert texts(axes.get_legend()) == ["training", "validation"][: len(expected)]
        assert axes.get_xlabel() == "Epoch"


@pytest.mark.parametrize("make", [dict, pd.DataFrame])
def test_both_halves_of_the_loss_stand_on_one_axis(make):
    halves = {"val_nll": [2.2, 1.6, 1.0], "kl_share": [0.3, 0.2, 0.1], "val_kl_share": [0.3, 0.2, 0.1]}
    figure = rendered(plots.training_curves(make({**HISTORY, **halves})))
    assert titles(figure)[:3] == [
        "Loss, nll + kl_weight · kl",
        "Halves of the loss, nll and kl_weight · kl",
        "KL divergence, kl",
    ]
    axes = figure.axes[1]
    found = dict(zip(texts(axes.get_legend()), (line.get_ydata() for line in axes.lines), strict=True))
    assert list(found) == ["training, nll", "training, KL term", "validation, nll", "validation, KL term"]
    np.testing.assert_allclose(found["training, nll"], [2.0, 1.5, 0.8])
    np.testing.assert_allclose(found["training, KL term"], [1.0, 0.5, 0.2])
    np.testing.assert_allclose(found["validation, nll"], [2.2, 1.6, 1.0])
    np.testing.assert_allclose(found["validation, KL term"], [0.9, 0.5, 0.1])


def test_a_half_without_the_loss_stands_alone():
    history = {"nll": [2.0, 1.0], "val_loss": [3.0, 2.0]}
    figure = rendered(plots.training_curves(history))
    assert titles(figure) == ["Loss, nll + kl_weight · kl", "Negative log-likelihood, nll"]
    assert texts(figure.axes[1].get_legend()) == ["training"]


def test_training_curves_name_their_units():
    labels = [axes.get_ylabel() for axes in plots.training_curves(HISTORY).axes]
    assert labels[:3] == ["Nats an example", "Nats an example", "Nats, whole network"]
    assert labels[3:] == ["Share of examples", "Squared units of the target"]


def test_the_table_of_csv_logger_draws_as_the_history_does(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mse"])
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    x, y = np.zeros((8, 2)), np.ones((8, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        history = model.fit(x, y, epochs=2, validation_data=(x, y), callbacks=[logger], verbose=0)
    figures = plots.training_curves(pd.read_csv(tmp_path / "log.csv")), plots.training_curves(history)
    assert titles(figures[0]) == titles(figures[1]) == ["Loss, nll + kl_weight · kl", "Mean squared error"]
    for from_table, from_history in zip(*(figure.axes for figure in figures), strict=True):
        assert len(from_table.lines) == 2
        for one, other in zip(from_table.lines, from_history.lines, strict=True):
            np.testing.assert_allclose(one.get_xydata(), other.get_xydata(), rtol=1e-6)


def test_epochs_without_validation_are_skipped():
    table = pd.DataFrame({"epoch": [0, 1, 2, 3], "loss": [4, 3, 2, 1], "val_loss": [np.nan, 3.5, np.nan, 1.5]})
    (axes,) = rendered(plots.training_curves(table)).axes
    np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[2, 3.5], [4, 1.5]])


def test_the_given_table_stays_as_it_is():
    table = pd.DataFrame({"epoch": [0, 1], "loss": [2.0, 1.0]})
    copy = table.copy()
    plots.training_curves(table)
    pd.testing.assert_frame_equal(table, copy)


def test_one_value_is_a_dot():
    (axes,) = rendered(plots.training_curves({"val_loss": [1.0]})).axes
    assert texts(axes.get_legend()) == ["validation"]
    assert axes.lines[0].get_marker() == "o"


@pytest.mark.parametrize(
    ("history", "message"),
    [
        ({}, "nothing to draw.*Received: values of nothing"),
        ({"learning_rate": [0.1]}, "nothing to draw.*Received: values of learning_rate"),
        ({"loss": [math.nan]}, "nothing to draw"),
        ({"loss": [1.0, 2.0], "val_loss": [1.0]}, "one length.*Received: lengths {'loss': 2, 'val_loss': 1}"),
        ("log.csv", "`history` must be a History, a dict or a DataFrame. Received: str"),
    ],
)
def test_training_curves_refuse_what_is_no_history(history, message):
    with pytest.raises(ValueError, match=message):
        plots.training_curves(history)


# uncertainty


def test_uncertainty_is_drawn_as_cumulative_shares():
    named = {"held-out": of_classes(scale=5.0), "noise": of_classes(inputs=1500, scale=0.5)}
    figure = rendered(plots.uncertainty(named))
    assert titles(figure) == ["Predictive entropy", "Greatest class probability"]
    assert texts(figure.legends[0]) == ["held-out (4)", "noise (1,500)"]
    for curve, predictive in enumerate(named.values()):
        expected = predictive.entropy(), predictive.mean().max(axis=-1)
        for axes, values in zip(figure.axes, expected, strict=True):
            x, share = axes.lines[curve].get_data()
            np.testing.assert_allclose(x[1:], np.sort(values), rtol=1e-6)
            np.testing.assert_allclose(share, np.arange(len(values) + 1) / len(values))


def test_axes_reach_from_certain_to_uniform():
    entropy, probability = plots.uncertainty({"noise": of_classes(classes=5)}).axes
    assert entropy.get_xlabel() == "Entropy (nats, at most log 5)"
    assert entropy.get_xlim()[0] < 0
    assert math.log(5) < entropy.get_xlim()[1] < 1.1 * math.log(5)
    assert probability.get_xlim()[0] < 0.2
    assert probability.get_xlim()[1] > 1


def test_equal_uncertainties_can_be_drawn():
    logits = np.tile([100.0, 0.0, 0.0, 0.0, 0.0], (50, 4, 1))
    rendered(plots.uncertainty({"certain": Predictive(logits, likelihoods.Categorical())}))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({}, "at least one predictive distribution. Received: none"),
        ({"a": of_a_target()}, r"`named\['a'\]` must be a Predictive of classes.* Received: Predictive"),
        ({"a": np.zeros(3)}, r"`named\['a'\]` must be a Predictive.*Received: array"),
        ({"a": of_classes(inputs=0)}, r"`named\['a'\]` must be of at least one input. Received"),
    ],
)
def test_uncertainty_refuses_what_has_none(named, message):
    with pytest.raises(ValueError, match=message):
        plots.uncertainty(named)


# All of them


def test_the_style_stays_when_the_figure_is_drawn_later():
    axes = rendered(plots.training_curves(HISTORY)).axes[0]
    ticks = axes.xaxis.get_major_ticks()
    assert len({tick.label1.get_fontsize() for tick in ticks}) == 1
    assert not any(tick.tick1line.get_visible() for tick in ticks)
    assert all(tick.gridline.get_visible() for tick in ticks)


def test_no_random_numbers_are_taken_from_training():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    plots.predictions(images(1), of_classes(inputs=1))
    plots.weight_posteriors(keras.Sequential([keras.Input((9,)), layers.DenseFlipout(2)]))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_notebooks_show_the_figure_without_pyplot():
    assert plots.training_curves(HISTORY)._repr_png_().startswith(b"\x89PNG")


# Weights of several networks, signal-to-noise ratios, one weight.


def gaussian_layer(mean, stddev, prior=None):
    layer = layers.DenseReparameterization(1, prior=prior)
    layer.build((None, len(mean)))
    layer.random_weights["kernel"][0].assign(np.reshape(mean, (-1, 1)), np.reshape(stddev, (-1, 1)))
    return layer


def test_ratios_are_drawn_in_decibels_with_their_shares():
    ratios = 10 ** np.linspace(-2, 2, 401)
    layer = gaussian_layer(0.1 * ratios, np.full(401, 0.1))
    figure = rendered(plots.signal_to_noise(keras.Sequential([keras.Input((401,)), layer]), cuts=(0.75,)))
    _, cumulative = figure.axes
    curve, cut = cumulative.lines
    at, share = curve.get_data()
    assert np.interp(0.5, share[1:], at[1:]) == pytest.approx(0, abs=0.2)
    assert cut.get_xdata()[0] == pytest.approx(10, abs=0.2)  # three quarters of -20 to 20
    with pytest.raises(ValueError, match="cuts"):
        plots.signal_to_noise(keras.Sequential([keras.Input((401,)), layer]), cuts=(1.5,))
    nothing = keras.Sequential([keras.Input((401,)), gaussian_layer(np.zeros(401), np.full(401, 0.1))])
    with pytest.raises(ValueError, match="no weight left"):
        plots.signal_to_noise(nothing)


def test_weight_densities_have_a_curve_for_each_network():
    figure = rendered(plots.weight_densities({"SGD": rng.normal(0, 0.1, (20, 30)), "dropout": rng.normal(1, 0.1, 600)}))
    (axes,) = figure.axes
    sgd, dropout = (line.get_xdata()[np.argmax(line.get_ydata())] for line in axes.lines)
    assert sgd == pytest.approx(0, abs=0.05)
    assert dropout == pytest.approx(1, abs=0.05)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["SGD", "dropout"]
    with pytest.raises(ValueError, match="at least one network"):
        plots.weight_densities({})
    with pytest.raises(ValueError, match="1 of 2 weights not finite"):
        plots.weight_densities({"SGD": np.array([0, np.nan])})


def test_one_weight_has_its_posterior_and_its_prior():
    layer = gaussian_layer([0.5, -0.2], [0.1, 0.3], prior=priors.Normal(scale=2.0))
    figure = rendered(plots.single_weight(layer, (1, 0)))
    posterior, prior = figure.axes
    x, density = posterior.lines[0].get_data()
    assert x[np.argmax(density)] == pytest.approx(-0.2, abs=0.01)
    assert density.max() == pytest.approx(1 / (0.3 * math.sqrt(2 * math.pi)), rel=1e-3)
    assert prior.lines[0].get_ydata().max() == pytest.approx(1 / (2 * math.sqrt(2 * math.pi)), rel=1e-3)
    with pytest.raises(ValueError, match=r"Received: index=\(2, 0\)"):
        plots.single_weight(layer, (2, 0))
    with pytest.raises(ValueError, match="Received: weights='bias'"):
        plots.single_weight(layer, (0,), weights="bias")


def test_quartiles_are_those_of_the_draws():
    draws = np.arange(101.0).reshape(101, 1, 1) + np.array([0.0, 10.0]).reshape(1, 2, 1)
    many, one = (Predictive(d, likelihoods.Normal(scale=1.0)) for d in (draws, draws[:1]))
    figure = rendered(plots.quartiles([0, 1], [0, 1], [1, 0], {"many": many, "one": one}, truth=[5, 7]))
    panel, plain = figure.axes
    np.testing.assert_allclose(panel.lines[0].get_xydata(), [[0, 60], [1, 50]])
    np.testing.assert_allclose(panel.lines[1].get_xydata(), [[0, 7], [1, 5]])
    bands = [collection.get_paths()[0].vertices[:, 1] for collection in panel.collections[:2]]
    assert [(band.min(), band.max()) for band in bands] == [(5, 105), (25, 85)]
    np.testing.assert_allclose(plain.lines[0].get_xydata(), [[0, 10], [1, 0]])
    assert len(plain.collections) == 1  # the data: one draw has no bands
    with pytest.raises(ValueError, match="at least one predictive"):
        plots.quartiles([0], [0], [0], {})
