"""The KL weight in other programs: whose N it has, what it warns of, and that it is no weight of the network."""

import itertools
import pickle
import warnings

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED, on_tensorflow_alone
from tfp_bnn.callbacks.balance import Balance

N, BATCH = 40, 16  # the last batch is partial


def data(num_examples=N, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(num_examples, 4)).astype("float32"), rng.integers(0, 3, num_examples)


def make_model():
    layer = bnn.layers.DenseFlipout(3, prior=bnn.priors.Normal(0.5))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.Adam(0.01), loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    return model


class Spy(keras.callbacks.Callback):
    """Notes the KL weight that each batch met."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        bnn.callbacks.sync_state(self.model)
        self.seen.append(self.model.layers[0].kl_weight)


def weights_seen(weight, *data, model=None, **arguments):
    spy = Spy()
    (model or make_model()).fit(*data, verbose=0, callbacks=[weight, spy], **arguments)
    return spy.seen


# The number of examples.


def test_n_is_that_of_the_arrays_less_what_is_held_out():
    seen = weights_seen(bnn.callbacks.KLWeight(), *data(), batch_size=BATCH, validation_split=0.25)
    np.testing.assert_allclose(seen, 1 / 30, rtol=1e-6)


def test_a_warmup_in_steps_goes_on_where_the_optimizer_is():
    model = make_model()
    warmup = {"warmup_steps": 5}
    seen = weights_seen(bnn.callbacks.KLWeight(**warmup), *data(), model=model, batch_size=BATCH)
    # Another callback and another `fit`, over data of unknown length: the optimizer has done three steps.
    stream = ((np.zeros((14, 4), "float32"), np.zeros(14)) for _ in itertools.count())
    fit = {"model": model, "steps_per_epoch": 3, "shuffle": False}
    seen += weights_seen(bnn.callbacks.KLWeight(N, **warmup), stream, **fit)
    np.testing.assert_allclose(seen, np.minimum(np.arange(1, 7) / 5, 1) / N, rtol=1e-6)
    assert model.layers[0].kl_weight == pytest.approx(1 / N)


def test_a_warmup_in_steps_counts_updates_not_batches_of_accumulated_gradients():
    model = make_model()
    model.compile(
        keras.optimizers.Adam(0.01, gradient_accumulation_steps=2), bnn.likelihoods.Categorical(), **UNCOMPILED
    )
    weight = bnn.callbacks.KLWeight(warmup_steps=4)
    seen = weights_seen(weight, *data(), model=model, batch_size=10, epochs=2)
    np.testing.assert_allclose(seen, np.repeat(np.arange(1, 5) / 4, 2) / N, rtol=1e-6)


class Batches(keras.utils.PyDataset):
    """Batches of 16, 16 and 8."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return tuple(array[index * BATCH : (index + 1) * BATCH] for array in data())


def tf_dataset(drop_remainder=False):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(data()).shuffle(N).batch(BATCH, drop_remainder=drop_remainder)
    return dataset.map(lambda x, y: (2 * x, y)).prefetch(1)


@pytest.mark.parametrize(
    ("make_data", "num_examples"),
    [(tf_dataset, N), (lambda: tf_dataset(drop_remainder=True), 32), (Batches, N)],
    ids=["tf.data", "tf.data without the rest", "PyDataset"],
)
def test_n_is_that_of_data_of_known_length(make_data, num_examples):
    seen = weights_seen(bnn.callbacks.KLWeight(), make_data())
    np.testing.assert_allclose(seen, 1 / num_examples, rtol=1e-6)


def endless():
    while True:
        yield from (Batches()[index] for index in range(3))


def test_data_of_unknown_length_ask_for_n():
    with pytest.raises(ValueError, match=r"Write KLWeight\(num_examples=...\)"):
        make_model().fit(endless(), steps_per_epoch=3, verbose=0, callbacks=[bnn.callbacks.KLWeight()])


def of_unknown_length():
    return tf_dataset().filter(lambda x, y: True)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (bnn.kl_schedules.linear_warmup(1), [1 / 2] * 3 + [1] * 3),
        (bnn.kl_schedules.cyclical(1, rising=1), [1 / 2] * 3 + [0, 1 / 3, 2 / 3]),
    ],
    ids=["warm-up", "cyclical"],
)
def test_a_schedule_learns_the_length_of_an_epoch(schedule, expected):
    weight = bnn.callbacks.KLWeight(N, schedule=schedule)
    seen = weights_seen(weight, of_unknown_length(), epochs=2)
    np.testing.assert_allclose(np.array(seen) * N, expected, rtol=1e-5)


def test_the_number_of_batches_is_not_the_number_of_examples():
    model = make_model()
    with pytest.warns(UserWarning, match=r"KLWeight\(num_examples=3\) does not fit the data, 40 examples.*13.3 times"):
        weights_seen(bnn.callbacks.KLWeight(3), *data(), batch_size=BATCH, model=model)
    # Data whose length Keras does not know are counted.
    with pytest.warns(UserWarning, match=r"KLWeight\(num_examples=3\) does not fit the data, 40 examples"):
        weights_seen(bnn.callbacks.KLWeight(3), of_unknown_length(), model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message="KLWeight")
        weights_seen(bnn.callbacks.KLWeight(3), *data(), batch_size=BATCH, model=model)
        # An epoch of some steps may be less than the data.
        weights_seen(bnn.callbacks.KLWeight(1000), endless(), steps_per_epoch=2, shuffle=False, model=model)


# A state of the training, not of the network.


def test_the_kl_weight_is_no_weight():
    model = make_model()
    fresh = model.get_weights()
    assert len(fresh) == len(model.weights) == 3
    assert np.isfinite(np.concatenate([weight.ravel() for weight in fresh])).all()
    trained = make_model()
    weights_seen(bnn.callbacks.KLWeight(), *data(), model=trained)
    trained.set_weights(fresh)
    assert trained.layers[0].kl_weight == pytest.approx(1 / N)


def test_no_file_brings_the_kl_weight_of_another_training(tmp_path):
    model = make_model()
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    best = keras.callbacks.EarlyStopping("loss", patience=1, restore_best_weights=True)
    weight = bnn.callbacks.KLWeight(warmup_epochs=10)
    model.fit(*data(), epochs=3, verbose=0, callbacks=[weight, checkpoint, best])
    # The loss rises with the KL weight, so that the first epoch was the best.
    assert model.layers[0].kl_weight == pytest.approx(1 / N)
    model.save_weights(tmp_path / "model.weights.h5")
    other = make_model()
    other.load_weights(tmp_path / "model.weights.h5")
    loaded = keras.saving.load_model(tmp_path / "1.keras")
    for each in (other, loaded):
        assert each.layers[0].kl_weight is None
        with pytest.raises(ValueError, match="KLWeight"):
            each.fit(*data(), verbose=0)


def test_a_constructors_kl_weight_is_loaded(tmp_path):
    model = keras.Sequential([keras.Input((4,)), bnn.layers.DenseFlipout(3, kl_weight=0.25)])
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").layers[0].kl_weight == 0.25


def test_weights_saved_by_version_0_1_load():
    layer, saved = make_model().layers[0], {}
    layer.save_own_variables(saved)
    weights = {name: np.array(saved[name]) + 1 for name in ("0", "1", "2")}
    layer.load_own_variables(weights | {"3": np.float32(0.01), "seed_state": saved["seed_state"]})
    for name, weight in zip("012", layer.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, weights[name])


def test_the_callback_and_its_schedules_can_be_pickled():
    for schedule in (bnn.kl_schedules.cyclical(3), bnn.kl_schedules.blundell, bnn.kl_schedules.constant):
        again = pickle.loads(pickle.dumps(bnn.callbacks.KLWeight(5, schedule=schedule)))
        assert (again.num_examples, again.schedule) == (5, schedule)
    assert pickle.loads(pickle.dumps(bnn.callbacks.KLWeight(5, warmup_epochs=2))).schedule(0, 0, 1) == 0.5


# The halves.


def test_the_halves_have_a_direction():
    callbacks = [bnn.callbacks.KLWeight(), *(keras.callbacks.EarlyStopping(name) for name in ("val_nll", "kl_share"))]
    history = make_model().fit(*data(), epochs=2, validation_data=data(seed=1), verbose=0, callbacks=callbacks)
    assert {"nll", "kl", "kl_share", "val_nll", "val_kl", "val_kl_share"} <= history.history.keys()
    loss, nll, share = (history.history[name][-1] for name in ("val_loss", "val_nll", "val_kl_share"))
    assert share == pytest.approx(1 - nll / loss, rel=1e-4)


def test_the_nll_is_exact_beside_a_large_kl_term():
    posterior = bnn.posteriors.MeanFieldNormal(1e-6, "zeros")
    layer = bnn.layers.DenseFlipout(3, posterior=posterior, prior=bnn.priors.Normal(1e3))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(0.0), loss=bnn.likelihoods.Categorical())
    x, y = data()
    with pytest.warns(UserWarning, match="KLWeight"):
        history = model.fit(x, y, verbose=0, callbacks=[bnn.callbacks.KLWeight(1, beta=1e6)]).history
    assert history["nll"][0] == pytest.approx(np.log(3), rel=1e-5)
    assert history["loss"][0] > 1e8


# What drowns the data.


def balance_of(nlls, kl_terms):
    balance = Balance()
    for nll, kl_term in zip(nlls, kl_terms, strict=True):
        balance.see(nll, kl_term)


FALLING = list(np.geomspace(1000, 30, 40))


def test_a_kl_term_that_wins_over_the_data_is_told_once():
    lost = [*np.geomspace(1.8, 0.1, 15), *np.geomspace(0.1, 2.0, 25)]
    with pytest.warns(UserWarning, match=r"drowns the data: it is \d\d% of the loss") as caught:
        balance_of(lost, FALLING)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "nlls",
    [
        list(np.geomspace(1.8, 0.1, 40)),
        [*np.geomspace(1.8, 0.1, 20), *np.geomspace(0.1, 0.3, 20)],  # a regularized fit
        [*np.geomspace(1.8, 0.1, 20), 5.0, *[0.1] * 19],  # one bad epoch
    ],
)
def test_a_large_kl_term_alone_is_no_fault(nlls):
    balance_of(nlls, FALLING)


def test_an_nll_that_rises_with_the_whole_loss_is_another_fault():
    balance_of([*np.geomspace(1.8, 0.1, 15), *np.geomspace(0.1, 2.0, 25)], [0.01] * 40)


def test_fit_tells_that_the_kl_term_drowns_the_data():
    # While the KL weight rises, the means follow the data; then a prior far too narrow draws them back to 0.
    posterior, prior = bnn.posteriors.MeanFieldNormal(0.01, "zeros"), bnn.priors.Normal(0.2)
    layer = bnn.layers.DenseFlipout(4, use_bias=False, posterior=posterior, prior=prior)
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(), loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    x, y = np.tile(np.eye(4, dtype="float32"), (4, 1)), np.tile(np.arange(4), 4)
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 5.0 if epoch < 4 else 0.5)
    with pytest.warns(UserWarning, match=r"The KL term drowns the data: it is \d+% of the loss"):
        history = model.fit(
            x, y, epochs=30, verbose=0, callbacks=[bnn.callbacks.KLWeight(warmup_epochs=20), rate]
        ).history
    assert min(history["nll"]) < 0.7 < 1.2 < history["nll"][-1]


def test_fit_tells_that_targets_need_to_be_standardized():
    x, _ = data()
    model = keras.Sequential([keras.Input((4,)), bnn.layers.DenseFlipout(2)])
    model.compile(keras.optimizers.SGD(1e-6), loss=bnn.likelihoods.Normal(), **UNCOMPILED)
    with pytest.warns(UserWarning, match=r"standard deviation of \d+.*: standardize them") as caught:
        model.fit(x, 1000 * x[:, 0], epochs=3, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        model.fit(x, x[:, 0], verbose=0, callbacks=[bnn.callbacks.KLWeight()])


# A prior shared by layers.


def test_freezing_one_layer_leaves_the_shared_prior_to_the_others():
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.5, trainable=True)
    model = keras.Sequential([keras.Input((4,)), *(bnn.layers.DenseFlipout(4, prior=prior) for _ in range(2))])
    first, second = model.layers
    parameters = {id(variable) for variable in prior.variables}

    def trained():
        return {id(variable) for variable in model.trainable_variables}

    first.trainable = False
    assert parameters <= trained()
    assert not {id(variable) for variable in first.weights if id(variable) not in parameters} & trained()
    second.trainable = False
    assert not trained()
    second.trainable = True
    assert parameters <= trained()
    model.trainable = False
    assert not trained()
    model.trainable = True
    assert len(trained()) == 3 + 2 * 3


@on_tensorflow_alone
def test_batches_that_are_dropped_are_no_fault_and_more_than_that_is():
    weight = bnn.callbacks.KLWeight(100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seen in (85, 100, 117):
            weight._compare(seen)
    for seen, times in ((84, "0.84"), (119, "1.19")):
        with pytest.warns(UserWarning, match=rf"does not fit the data, {seen} examples.*{times} times"):
            weight._compare(seen)
