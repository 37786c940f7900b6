import math
import warnings

import keras
import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from tfp_bnn import Predictive, layers, likelihoods, plots, posteriors

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _strict_and_leaving_no_trace():
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


def legend_texts(holder):
    return [text.get_text() for text in holder.get_texts()]


def tick_texts(axes):
    return [tick.get_text() for tick in axes.get_xticklabels()]


def classes(draws=50, inputs=4, num_classes=5, scale=2.0):
    return Predictive(rng.normal(scale=scale, size=(draws, inputs, num_classes)), likelihoods.Categorical())


def normal(draws=50, inputs=30, scale=0.1):
    return Predictive(rng.normal(size=(draws, inputs, 1)), likelihoods.Normal(scale=scale))


def images(count=4, channels=(1,)):
    return rng.uniform(size=(count, 8, 8, *channels))


class TestWeightPosteriors:
    def model(self):
        return keras.Sequential(
            [
                keras.Input((40,)),
                layers.DenseFlipout(30, bias_posterior=posteriors.MeanFieldNormal(0.1), name="hidden"),
                layers.DenseVariational(3, name="joint"),
            ]
        )

    def assign(self, layer, name, mean, stddev):
        layer.random_weights[name][0].assign(mean, stddev)

    def test_one_line_for_each_tensor_in_each_panel(self):
        figure = rendered(plots.weight_posteriors(self.model()))
        assert titles(figure) == ["Posterior means", "Posterior standard deviations"]
        assert [len(axes.lines) for axes in figure.axes] == [3, 3]
        assert [legend_texts(legend) for legend in figure.legends] == [["hidden", "hidden/bias", "joint"]]
        for axes in figure.axes:
            assert axes.get_xlabel().endswith("(units of the weights)")
            assert len({to_hex(line.get_color()) for line in axes.lines}) == 3

    def test_densities_are_those_of_the_weights(self):
        model = self.model()
        mean, stddev = rng.normal(2.0, 0.5, (40, 30)), rng.uniform(0.3, 0.4, (40, 30))
        self.assign(model.layers[0], "kernel", mean, stddev)
        figure = plots.weight_posteriors(model)
        for axes, expected in zip(figure.axes, (mean, stddev), strict=True):
            x, density = axes.lines[0].get_data()
            step = x[1] - x[0]
            assert density.sum() * step == pytest.approx(1.0, abs=0.02)
            assert (x * density).sum() * step == pytest.approx(expected.mean(), rel=0.03)

    def test_equal_weights_are_a_vertical_line(self):
        figure = rendered(plots.weight_posteriors(self.model()))
        means, stddevs = figure.axes
        np.testing.assert_array_equal(means.lines[1].get_xdata(), [0, 0])
        lines = [line.get_xdata() for line in stddevs.lines]
        np.testing.assert_allclose(lines, [[0.05, 0.05], [0.1, 0.1], [0.05, 0.05]], rtol=1e-5)
        assert list(stddevs.get_yticks()) == []
        assert len(means.get_yticks()) > 2

    def test_a_single_weight_is_a_vertical_line(self):
        model = keras.Sequential([keras.Input((1,)), layers.DenseFlipout(1)])
        figure = rendered(plots.weight_posteriors(model))
        assert [len(axes.lines) for axes in figure.axes] == [1, 1]

    def test_many_weights_are_subsampled_the_same_way_each_time(self, monkeypatch):
        monkeypatch.setattr(plots, "_MAX_WEIGHTS", 100)
        seen = []
        monkeypatch.setattr(plots.seaborn, "kdeplot", lambda x, **_: seen.append(x))
        model = self.model()
        plots.weight_posteriors(model)
        plots.weight_posteriors(model)
        assert {len(x) for x in seen} == {93, 100}  # The joint layer has 31 * 3 weights.
        half = len(seen) // 2
        for first, second in zip(seen[:half], seen[half:], strict=True):
            np.testing.assert_array_equal(first, second)

    def test_many_layers_have_different_lines(self):
        model = keras.Sequential([keras.Input((3,)), *(layers.DenseFlipout(3) for _ in range(12))])
        lines = plots.weight_posteriors(model).axes[0].lines
        assert len({(to_hex(line.get_color()), line.get_linestyle()) for line in lines}) == 12

    def test_layers_of_one_name_are_all_drawn(self):
        inner = keras.Sequential([keras.Input((3,)), layers.DenseFlipout(3, name="dense")])
        model = keras.Sequential([keras.Input((3,)), inner, layers.DenseFlipout(3, name="dense")])
        figure = plots.weight_posteriors(model)
        assert len(figure.axes[0].lines) == len(legend_texts(figure.legends[0])) == 2

    def test_other_posteriors_are_left_out(self):
        class NotNormal(posteriors.WeightPosterior):
            def sample(self, noise):
                raise NotImplementedError

            def distribution(self):
                raise NotImplementedError

        model = self.model()
        model.layers[1].random_weights["weights"][0].read = NotNormal
        assert legend_texts(plots.weight_posteriors(model).legends[0]) == ["hidden", "hidden/bias"]

    def test_nothing_to_draw(self):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        with pytest.raises(ValueError, match=r"nothing to draw.*Received: model="):
            plots.weight_posteriors(model)

    def test_diverged_weights(self):
        model = self.model()
        self.assign(model.layers[0], "bias", math.nan, 0.1)
        with pytest.raises(ValueError, match=r"finite.*Received: 'hidden/bias' with 30 of 30"):
            plots.weight_posteriors(model)


class TestPredictions:
    def test_a_row_for_each_image(self):
        predictive = classes()
        figure = rendered(plots.predictions(images(), predictive, labels=[0, 1, 2, 3]))
        assert len(figure.axes) == 12
        information, entropy = predictive.mutual_information(), predictive.entropy()
        for row in range(4):
            picture, draws, mean = figure.axes[3 * row : 3 * row + 3]
            assert picture.get_title() == f"true {row}"
            assert picture.get_xlabel() == f"predicted {predictive.mean()[row].argmax()}"
            assert draws.get_title("left") == f"Mutual information {information[row]:.2f} nats"
            assert mean.get_title("left") == f"Entropy {entropy[row]:.2f} nats"
            assert draws.get_ylim() == mean.get_ylim() == (0, 1)
            assert tick_texts(draws) == tick_texts(mean) == list("01234")

    def test_bars_are_the_mean_and_whiskers_the_standard_deviation(self):
        predictive = classes()
        figure = plots.predictions(images(), predictive)
        for row in range(4):
            (bars,) = figure.axes[3 * row + 2].containers[1:]
            mean, stddev = predictive.mean()[row], predictive.epistemic_stddev()[row]
            np.testing.assert_allclose([bar.get_height() for bar in bars], mean, rtol=1e-6)
            whiskers = np.array(bars.errorbar.lines[2][0].get_segments())[:, :, 1]
            np.testing.assert_allclose(whiskers, np.stack([mean - stddev, mean + stddev], axis=1), atol=1e-6)

    def test_points_are_the_draws_beside_their_class(self):
        predictive = classes()
        figure = plots.predictions(images(), predictive)
        for row in range(4):
            x, y = figure.axes[3 * row + 1].collections[0].get_offsets().T
            np.testing.assert_allclose(y, predictive.draws[:, row].ravel(), rtol=1e-6)
            np.testing.assert_array_equal(np.round(x), np.tile(np.arange(5), 50))

    def test_boxes_have_the_medians(self):
        predictive = classes()
        lines = plots.predictions(images(), predictive).axes[1].lines
        medians = np.median(predictive.draws[:, 0], axis=0)
        drawn = [line.get_ydata() for line in lines]
        for median in medians:
            assert any(len(y) == 2 and np.allclose(y, median) for y in drawn)

    def test_the_true_class_is_shaded_and_an_error_coloured(self):
        outputs = np.tile([[9.0, 0.0, 0.0], [9.0, 0.0, 0.0]], (50, 1, 1))
        predictive = Predictive(outputs, likelihoods.Categorical())
        figure = plots.predictions(images(2), predictive, labels=np.array([[0], [2]]))
        for row, label in enumerate((0, 2)):
            for axes in figure.axes[3 * row + 1 : 3 * row + 3]:
                shade = axes.patches[-1]
                assert (shade.get_x(), shade.get_width()) == (label - 0.5, 1)
        right, wrong = (figure.axes[row].xaxis.label.get_color() for row in (0, 3))
        assert right != wrong

    def test_without_labels(self):
        figure = rendered(plots.predictions(images(), classes()))
        assert titles(figure)[::3] == [""] * 4
        assert len(figure.axes[1].patches) == 0

    def test_class_names(self):
        names = ["a long name", "b", "c", "d", "e"]
        figure = rendered(plots.predictions(images(), classes(), labels=[0, 0, 0, 0], class_names=names))
        assert figure.axes[0].get_title() == "true a long name"
        labelled = [axes.xaxis.get_tick_params()["labelbottom"] for axes in figure.axes[1::3]]
        assert labelled == [False, False, False, True]

    def test_many_classes_are_not_all_labelled(self):
        figure = rendered(plots.predictions(images(1), classes(inputs=1, num_classes=100)))
        assert len(figure.axes[1].get_xticks()) < 20

    def test_at_most_max_images(self):
        predictive = classes(inputs=12)
        assert len(plots.predictions(images(12), predictive).axes) == 30
        assert len(plots.predictions(images(12), predictive, max_images=2).axes) == 6

    def test_one_draw(self):
        rendered(plots.predictions(images(1), classes(draws=1, inputs=1)))

    @pytest.mark.parametrize("channels", [(), (1,), (3,)])
    def test_pictures(self, channels):
        pictures = images(4, channels)
        figure = rendered(plots.predictions(pictures, classes()))
        np.testing.assert_allclose(np.squeeze(figure.axes[3].images[0].get_array()), np.squeeze(pictures[1]))

    def test_pictures_are_scaled_from_bytes_and_stretched_from_other_ranges(self):
        def drawn(image):
            return plots.predictions(image[np.newaxis], classes(inputs=1)).axes[0].images[0].get_array()

        image = np.array([[0, 51], [102, 255]], "uint8")
        np.testing.assert_allclose(drawn(image), image / 255)
        np.testing.assert_allclose(drawn(np.array([[-2.0, 0.0], [1.0, 2.0]])), [[0, 0.5], [0.75, 1]])
        np.testing.assert_allclose(drawn(np.full((2, 2), 7.0)), 0)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"images": np.zeros((3, 8, 8))}, "as many images as predictions. Received: 3 images, 4 predictions"),
            ({"images": np.zeros((4, 8))}, r"`images` must be .* Received: shape \(4, 8\)"),
            ({"images": np.zeros((4, 8, 8, 2))}, r"Received: shape \(4, 8, 8, 2\)"),
            ({"labels": [0, 1]}, r"`labels` must be one for each of 4 images. Received: shape \(2,\)"),
            ({"labels": [0, 1, 2, 5]}, "Labels must be integers from 0 to 4. Received: 5"),
            ({"class_names": ["a", "b"]}, "`class_names` must name 5 classes. Received: 2 names"),
            ({"max_images": 0}, "`max_images` must be an integer of at least 1. Received: max_images=0"),
            ({"predictive": normal(inputs=4)}, "Categorical likelihood. Received: Predictive.*Normal"),
            ({"predictive": classes(inputs=0)}, "at least one input. Received: Predictive.* 0 inputs"),
        ],
    )
    def test_errors(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            plots.predictions(**{"images": images(), "predictive": classes(), **arguments})


class TestRegression:
    def data(self, size=20):
        x = rng.uniform(-1, 1, size)
        return x, np.sin(x)

    def test_lines_bands_and_points(self):
        x, y = self.data()
        predictive, x_test = normal(), rng.permutation(np.linspace(-2, 2, 30))
        (axes,) = rendered(plots.regression(x, y, x_test, predictive, truth=np.sin(x_test))).axes
        order = np.argsort(x_test)
        *draws, mean, truth = axes.lines
        assert len(draws) == 10
        for line in (*draws, mean, truth):
            np.testing.assert_array_equal(line.get_xdata(), x_test[order])
        for line, draw in zip(draws, predictive.draws, strict=False):
            np.testing.assert_allclose(line.get_ydata(), draw[order, 0])
        np.testing.assert_allclose(mean.get_ydata(), predictive.mean()[order, 0])
        np.testing.assert_allclose(truth.get_ydata(), np.sin(x_test[order]))
        np.testing.assert_allclose(axes.collections[-1].get_offsets(), np.stack([x, y], axis=1))

    def test_bands_are_two_standard_deviations(self):
        x, y = self.data()
        predictive, x_test = normal(scale=0.5), np.linspace(-2, 2, 30)
        axes = plots.regression(x, y, x_test, predictive).axes[0]
        epistemic = predictive.epistemic_stddev()[:, 0]
        for band, stddev in zip(axes.collections, (np.hypot(epistemic, 0.5), epistemic), strict=False):
            corners = band.get_paths()[0].vertices
            for sign in (-1, 1):
                edge = np.stack([x_test, predictive.mean()[:, 0] + sign * 2 * stddev], axis=1)
                assert all(np.isclose(corners, corner, atol=1e-5).all(axis=1).any() for corner in edge)

    def test_legend_and_labels(self):
        x, y = self.data()
        figure = plots.regression(x, y, np.linspace(-2, 2, 30), normal())
        expected = [
            "± 2 standard deviations, with the data's noise",
            "± 2 standard deviations, epistemic",
            "Draws of the network",
            "Predictive mean",
            "Data",
        ]
        assert [legend_texts(legend) for legend in figure.legends] == [expected]
        assert figure.axes[0].get_legend() is None
        assert figure.axes[0].get_ylabel() == "y (units of the target)"
        with_truth = plots.regression(x, y, np.linspace(-2, 2, 30), normal(), np.zeros(30))
        assert "Truth" in legend_texts(with_truth.legends[0])

    def test_columns_are_as_good_as_vectors(self):
        x, y = self.data()
        columns = [values[:, np.newaxis] for values in (x, y, np.linspace(-2, 2, 30))]
        predictive = normal(draws=3)
        assert len(rendered(plots.regression(*columns, predictive, np.zeros((30, 1)))).axes[0].lines) == 5

    def test_a_learnt_scale_is_in_the_outer_band(self):
        predictive = Predictive(np.zeros((5, 30, 2)), likelihoods.Normal())
        outer, inner, *_ = (
            rendered(plots.regression(*self.data(), np.linspace(-2, 2, 30), predictive)).axes[0].collections
        )
        assert outer.get_paths()[0].vertices[:, 1].max() == pytest.approx(2 * math.log(2), rel=1e-5)
        assert inner.get_paths()[0].vertices[:, 1].max() == 0

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"x": np.zeros((20, 2))}, r"`x` must be \[n\] or \[n, 1\]. Received: shape \(20, 2\)"),
            ({"y": np.zeros(19)}, r"`y` must be \[20\] or \[20, 1\]. Received: shape \(19,\)"),
            ({"x_test": np.zeros((29, 1))}, r"`x_test` must be \[30\] or \[30, 1\]. Received: shape \(29, 1\)"),
            ({"truth": np.zeros(31)}, r"`truth` must be \[30\] or \[30, 1\]. Received: shape \(31,\)"),
            ({"predictive": classes(inputs=30)}, "one real target. Received: predictive=Predictive.*Categorical"),
            (
                {"predictive": Predictive(np.zeros((5, 30, 2)), likelihoods.Normal(scale=1.0))},
                "one real target. Received",
            ),
        ],
    )
    def test_errors(self, arguments, message):
        x, y = self.data()
        good = {"x": x, "y": y, "x_test": np.linspace(-2, 2, 30), "predictive": normal()}
        with pytest.raises(ValueError, match=message):
            plots.regression(**{**good, **arguments})


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


class TestTrainingCurves:
    def assert_drawn(self, figure, epochs=(1, 2, 3)):
        panels = zip(rendered(figure).axes, ("loss", "nll", "kl", "accuracy", "mse"), strict=True)
        for axes, name in panels:
            expected = [HISTORY[column] for column in (name, f"val_{name}") if column in HISTORY]
            assert len(axes.lines) == len(expected)
            for line, values in zip(axes.lines, expected, strict=True):
                np.testing.assert_array_equal(line.get_xdata(), epochs)
                np.testing.assert_array_equal(line.get_ydata(), values)
            assert legend_texts(axes.get_legend()) == ["training", "validation"][: len(expected)]
            assert axes.get_xlabel() == "Epoch"

    def test_a_dict(self):
        self.assert_drawn(plots.training_curves(HISTORY))

    def test_units(self):
        loss, nll, kl, *_ = plots.training_curves(HISTORY).axes
        labels = [axes.get_ylabel() for axes in (loss, nll, kl)]
        assert labels == ["Nats an example", "Nats an example", "Nats, whole network"]

    def test_a_history(self):
        history = keras.callbacks.History()
        history.history, history.epoch = HISTORY, [5, 6, 7]
        self.assert_drawn(plots.training_curves(history), epochs=(6, 7, 8))

    def test_a_table_of_csv_logger(self, tmp_path):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.compile("sgd", "mse", metrics=["mse"])
        logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
        x, y = np.zeros((8, 2)), np.ones((8, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            history = model.fit(x, y, epochs=2, validation_data=(x, y), callbacks=[logger], verbose=0)
        from_table = rendered(plots.training_curves(pd.read_csv(tmp_path / "log.csv")))
        from_history = plots.training_curves(history)
        assert titles(from_table) == titles(from_history)
        assert len(from_table.axes) == 2
        for table_axes, history_axes in zip(from_table.axes, from_history.axes, strict=True):
            for one, other in zip(table_axes.lines, history_axes.lines, strict=True):
                np.testing.assert_allclose(one.get_xydata(), other.get_xydata(), rtol=1e-6)

    def test_epochs_without_validation_are_skipped(self):
        table = pd.DataFrame({"epoch": [0, 1, 2, 3], "loss": [4, 3, 2, 1], "val_loss": [np.nan, 3.5, np.nan, 1.5]})
        (axes,) = rendered(plots.training_curves(table)).axes
        np.testing.assert_array_equal(axes.lines[1].get_xydata(), [[2, 3.5], [4, 1.5]])

    def test_the_given_table_stays_as_it_is(self):
        table = pd.DataFrame({"epoch": [0, 1], "loss": [2.0, 1.0]})
        copy = table.copy()
        plots.training_curves(table)
        pd.testing.assert_frame_equal(table, copy)

    def test_one_panel_and_one_epoch(self):
        (axes,) = rendered(plots.training_curves({"val_loss": [1.0]})).axes
        assert legend_texts(axes.get_legend()) == ["validation"]
        assert axes.lines[0].get_marker() == "o"

    @pytest.mark.parametrize(
        ("history", "message"),
        [
            ({}, r"nothing to draw.*Received: the columns \(none\)"),
            ({"learning_rate": [0.1]}, "nothing to draw.*Received: the columns learning_rate"),
            ({"loss": [math.nan]}, "nothing to draw"),
            ({"loss": [1.0, 2.0], "val_loss": [1.0]}, "one length.*Received: lengths {'loss': 2, 'val_loss': 1}"),
            ("log.csv", "`history` must be a History, a dict or a DataFrame. Received: str"),
        ],
    )
    def test_errors(self, history, message):
        with pytest.raises(ValueError, match=message):
            plots.training_curves(history)


class TestUncertainty:
    def test_lines_are_the_cumulative_shares(self):
        named = {"held-out": classes(inputs=40, scale=5.0), "noise": classes(inputs=1500, scale=0.5)}
        figure = rendered(plots.uncertainty(named))
        assert titles(figure) == ["Predictive entropy", "Greatest class probability"]
        assert legend_texts(figure.legends[0]) == ["held-out (40)", "noise (1,500)"]
        for curve, predictive in enumerate(named.values()):
            expected = predictive.entropy(), predictive.mean().max(axis=-1)
            for axes, values in zip(figure.axes, expected, strict=True):
                x, share = axes.lines[curve].get_data()
                np.testing.assert_allclose(x[1:], np.sort(values), rtol=1e-6)
                np.testing.assert_allclose(share, np.arange(len(values) + 1) / len(values))

    def test_axes_reach_from_certain_to_uniform(self):
        entropy, probability = plots.uncertainty({"noise": classes(num_classes=5)}).axes
        assert entropy.get_xlabel() == "Entropy (nats, at most log 5)"
        assert entropy.get_xlim()[0] < 0
        assert math.log(5) < entropy.get_xlim()[1] < 1.1 * math.log(5)
        assert probability.get_xlim()[0] < 0.2
        assert probability.get_xlim()[1] > 1

    def test_equal_uncertainties(self):
        certain = Predictive(np.tile([100.0, 0.0], (5, 3, 1)), likelihoods.Categorical())
        rendered(plots.uncertainty({"certain": certain}))

    @pytest.mark.parametrize(
        ("named", "message"),
        [
            ({}, "at least one predictive distribution. Received: none"),
            ({"a": normal()}, r"`named\['a'\]` must be a Predictive of a Categorical likelihood. Received: Predictive"),
            ({"a": np.zeros(3)}, r"`named\['a'\]` must be a Predictive.*Received: array"),
            ({"a": classes(inputs=0)}, r"`named\['a'\]` must be of at least one input. Received"),
        ],
    )
    def test_errors(self, named, message):
        with pytest.raises(ValueError, match=message):
            plots.uncertainty(named)


def test_the_style_stays_when_the_figure_is_drawn_later():
    axes = rendered(plots.training_curves(HISTORY)).axes[0]
    ticks = axes.xaxis.get_major_ticks()
    assert len({tick.label1.get_fontsize() for tick in ticks}) == 1
    assert not any(tick.tick1line.get_visible() for tick in ticks)
    assert all(tick.gridline.get_visible() for tick in ticks)


def test_no_random_numbers_are_taken_from_training():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    plots.predictions(images(), classes())
    plots.weight_posteriors(keras.Sequential([keras.Input((9,)), layers.DenseFlipout(2)]))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_notebooks_show_the_figure_without_pyplot():
    assert plots.training_curves(HISTORY)._repr_png_().startswith(b"\x89PNG")
