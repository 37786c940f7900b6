"""Data as users have it: arrays, and streams of batches."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import TENSORFLOW, on_tensorflow_alone
from tfp_bnn import layers, likelihoods
from tfp_bnn.prediction.batch_sizes import BatchSizes
from tfp_bnn.prediction.sources import source_of

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(23, 4)).astype("float32"), RNG.normal(size=23).astype("float32")
NORMAL = likelihoods.Normal(scale=1.0)
QUIET = {"num_draws": 3, "seed": 1, "verbose": False}


class Batches(keras.utils.PyDataset):
    def __init__(self, size=5, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def __len__(self):
        return -(-len(X) // self.size)

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        return X[rows], Y[rows]


class Tensor:
    """As PyTorch's: on a device, with gradients."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    def cpu(self):
        return self.array


class Loader:
    """As PyTorch's, whose batches are lists."""

    def __iter__(self):
        return iter([[Tensor(X[:10]), Tensor(Y[:10])], [Tensor(X[10:]), Tensor(Y[10:])]])

    def __len__(self):
        return 2


def generator():
    for start in range(0, 23, 4):
        yield X[start : start + 4], Y[start : start + 4]


STREAMS = {
    "PyDataset": Batches,
    "PyDataset with workers": lambda: Batches(workers=2, use_multiprocessing=False),
    "DataLoader": Loader,
    "generator": generator,
    "inputs alone": lambda: iter([X[:20], X[20:]]),
    "inputs in tuples": lambda: iter([(X[:20],), (X[20:],)]),
}
if TENSORFLOW:
    import tensorflow as tf

    STREAMS["tf.data"] = lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(7)
    STREAMS["tf.data of inputs"] = lambda: tf.data.Dataset.from_tensor_slices(X).batch(7)


@pytest.fixture(scope="module")
def model():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(1)])
    model.compile("sgd", NORMAL)
    return model


@pytest.fixture(scope="module")
def expected(model):
    return bnn.predict(model, X, **QUIET).outputs


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_predicted_as_its_arrays_are(name, model, expected):
    np.testing.assert_allclose(bnn.predict(model, STREAMS[name](), **QUIET).outputs, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [name for name in STREAMS if "inputs" not in name])
def test_targets_come_with_a_stream(name, model):
    figures = bnn.evaluate(model, X, Y, **QUIET)
    assert bnn.evaluate(model, STREAMS[name](), **QUIET) == pytest.approx(figures, rel=1e-4)
    summary = bnn.summarize(model, STREAMS[name](), **QUIET)
    assert -summary.log_prob().mean() == pytest.approx(figures["nll"], rel=1e-4)


@on_tensorflow_alone
def test_weights_come_with_a_stream(model):
    weights = RNG.uniform(1, 2, 23)
    stream = iter([(X[:9], Y[:9], weights[:9]), (X[9:], Y[9:], weights[9:])])
    expected = bnn.evaluate(model, X, Y, sample_weight=weights, **QUIET)
    assert bnn.evaluate(model, stream, **QUIET) == pytest.approx(expected, rel=1e-4)
    assert expected["nll"] != pytest.approx(bnn.evaluate(model, X, Y, **QUIET)["nll"])


@on_tensorflow_alone
def test_streams_of_several_inputs_have_them_by_name_or_in_order():
    left, right = keras.Input((4,), name="left"), keras.Input((2,), name="right")
    model = keras.Model([left, right], layers.DenseFlipout(1)(keras.layers.Concatenate()([left, right])))
    arguments = {"likelihood": NORMAL, **QUIET}
    expected = bnn.predict(model, [X, X[:, :2]], **arguments).outputs
    by_name = iter([({"right": X[:8, :2], "left": X[:8]}, Y[:8]), ({"left": X[8:], "right": X[8:, :2]}, Y[8:])])
    in_order = iter([((X[:8], X[:8, :2]), Y[:8]), ((X[8:], X[8:, :2]), Y[8:])])
    for stream in (by_name, in_order):
        np.testing.assert_allclose(bnn.predict(model, stream, **arguments).outputs, expected, rtol=1e-5, atol=1e-6)


@on_tensorflow_alone
def test_batches_are_cut_and_merged_to_one_size_in_order(model):
    stream = ((X[start : start + 4], Y[start : start + 4]) for start in range(0, 23, 4))
    batches = list(source_of(model, stream, batch_size=10).batches)
    assert [batch.size for batch in batches] == [10, 10, 3]
    np.testing.assert_array_equal(np.concatenate([batch.inputs for batch in batches]), X)
    np.testing.assert_array_equal(np.concatenate([batch.targets for batch in batches]), Y)


@on_tensorflow_alone
def test_no_more_of_a_stream_is_held_than_a_batch(model):
    taken = []

    def stream():
        for index in range(8):
            taken.append(index)
            yield X[:10]

    batches = source_of(model, stream(), batch_size=20).batches
    next(batches)
    assert len(taken) == 2
    assert sum(batch.size for batch in batches) == 60


@on_tensorflow_alone
def test_steps_end_what_is_endless(model):
    def forever():
        while True:
            yield X, Y

    assert len(bnn.predict(model, forever(), steps=2, **QUIET)) == 46
    expected = bnn.evaluate(model, X, Y, **QUIET)
    assert bnn.evaluate(model, forever(), steps=1, **QUIET) == pytest.approx(expected, rel=1e-4)
    if TENSORFLOW:
        endless = tf.data.Dataset.from_tensor_slices((X, Y)).batch(7).repeat()
        with pytest.raises(ValueError, match=r"never ends.*steps=.*Received: an endless"):
            bnn.predict(model, endless, **QUIET)
        assert len(bnn.predict(model, endless, steps=3, **QUIET)) == 21


@on_tensorflow_alone
def test_what_a_stream_cannot_give_gets_one_clear_error(model):
    used_up = generator()
    list(used_up)
    with pytest.raises(ValueError, match=r"at least one input\. Received: generator without a batch"):
        bnn.predict(model, used_up, **QUIET)
    with pytest.raises(ValueError, match=r"come with the batches.*Received: x=generator and y"):
        bnn.evaluate(model, generator(), Y, **QUIET)
    with pytest.raises(ValueError, match=r"`steps` must be a positive integer"):
        bnn.predict(model, generator(), steps=0, **QUIET)
    with pytest.raises(ValueError, match=r"one target for each of 5 inputs\. Received: shape \(4,\)"):
        bnn.evaluate(model, iter([(X[:5], Y[:4])]), **QUIET)
    with pytest.raises(ValueError, match=r"read after each epoch.*Received: generator"):
        bnn.callbacks.PredictiveMetrics(generator())
    with pytest.raises(ValueError, match="PredictiveMetrics"):
        model.fit(X, Y, verbose=0, callbacks=[bnn.callbacks.KLWeight(), bnn.callbacks.PredictiveMetrics(X)])


@on_tensorflow_alone
def test_sequences_of_several_lengths_are_summarized_but_are_not_one_array():
    model = keras.Sequential([keras.Input((None, 4)), layers.DenseFlipout(2)])
    batches = [X[None, :5], X[None, :5], X[None, :9]]
    arguments = {"likelihood": NORMAL, **QUIET}
    with pytest.raises(
        ValueError, match=r"pad the inputs to one length.*Received: outputs of shapes \(5, 2\), \(9, 2\)"
    ):
        bnn.predict(model, iter(batches), **arguments)
    pooled = keras.Sequential([*model.layers, keras.layers.GlobalAveragePooling1D()])
    pooled.build((None, None, 4))
    assert len(bnn.predict(pooled, iter(batches), **arguments)) == 3


def test_the_callback_takes_a_data_set():
    model = keras.Sequential([keras.Input((4,)), layers.DenseFlipout(1)])
    model.compile("sgd", NORMAL)
    callback = bnn.callbacks.PredictiveMetrics(Batches(), num_draws=3)
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[bnn.callbacks.KLWeight(), callback]).history
    assert len(history["val_predictive_rmse"]) == 2


def test_a_model_of_one_batch_size_gets_it():
    entry = keras.Input(batch_shape=(4, 3, 2))
    model = keras.Model(entry, layers.DenseFlipout(1)(layers.GRU(3, stateful=True)(entry)))
    x = np.concatenate([X[:, :3, None], X[:, 1:, None]], axis=-1)[:10]
    arguments = {"likelihood": NORMAL, **QUIET}
    predicted = bnn.predict(model, x, **arguments)
    assert predicted.outputs.shape == (3, 10, 1)
    one = bnn.predict(model, x[8:], **arguments)
    np.testing.assert_allclose(predicted.outputs[:, 8:], one.outputs, rtol=1e-5)


def test_few_sizes_serve_all():
    sizes = BatchSizes()
    found = {size: sizes.fitting(size) for size in [7, 100, 3, 999, *range(1, 1001)]}
    assert all(size <= fitting <= max(1.25 * size, size + 1) for size, fitting in found.items())
    assert len(set(found.values())) <= 45
    assert [found[size] for size in (7, 100, 3, 999)] == [7, 100, 3, 999]
    assert BatchSizes(4).fitting(2) == 4


def test_filled_up_batches_are_cut_again(model, expected):
    for size in (1, 2, 3, 5, 9, 11, 13, 17, 23):
        outputs = bnn.predict(model, X[:size], **QUIET).outputs
        np.testing.assert_allclose(outputs, expected[:, :size], rtol=1e-5, atol=1e-6)
