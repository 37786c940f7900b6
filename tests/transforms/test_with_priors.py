"""Models that go on from what they have learned: Bayes's rule, and all that other models can do."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import on_tensorflow_alone
from tfp_bnn.transforms.with_priors import with_priors

X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
NOISE, PRIOR, DAY, FEATURES, STEPS = 0.5, 0.8, 32, 3, 2000


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def read(layer, name="kernel"):
    posterior = layer.random_weights[name][0].read()
    return numpy(posterior.mean), numpy(posterior.stddev)


# Bayes's rule


def day(seed):
    """Returns a day's data, of features that are orthogonal, so that weights are independent after each day."""
    rng = np.random.default_rng(seed)
    x = np.linalg.qr(rng.normal(size=(DAY, FEATURES)))[0] * np.sqrt(DAY) * rng.uniform(0.5, 1.5, FEATURES)
    return x, x @ np.array([[1.0], [-0.7], [0.3]]) + NOISE * rng.normal(size=(DAY, 1))


def learn(model, x, y):
    rate = keras.optimizers.schedules.CosineDecay(0.006, STEPS)
    optimizer = keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.99)
    model.compile(optimizer, loss=bnn.likelihoods.Normal(scale=NOISE), steps_per_execution=50)
    callbacks = [bnn.callbacks.KLWeight(num_examples=DAY)]
    model.fit(*(np.tile(each, (STEPS, 1)) for each in (x, y)), batch_size=DAY, verbose=0, callbacks=callbacks)
    return model


@pytest.mark.filterwarnings("ignore:KLWeight")  # The data are repeated on purpose.
def test_one_day_after_the_other_gives_the_posterior_of_both():
    (x, y), (later_x, later_y) = monday, tuesday = day(0), day(1)
    layer = bnn.layers.DenseLocalReparameterization(1, use_bias=False, prior=bnn.priors.Normal(PRIOR))
    model = learn(keras.Sequential([keras.Input((FEATURES,)), layer]), *monday)
    of_monday = read(layer)
    model = learn(with_priors(model, bnn.priors.from_posterior(model)), *tuesday)
    both_x, both_y = np.concatenate([x, later_x]), np.concatenate([y, later_y])
    variance = 1 / (1 / PRIOR**2 + np.sum(both_x**2, axis=0)[:, None] / NOISE**2)
    mean, stddev = read(model.layers[0])
    exact = variance * (both_x.T @ both_y) / NOISE**2
    assert (np.abs(mean - exact) / np.sqrt(variance)).max() < 0.2
    np.testing.assert_allclose(stddev, np.sqrt(variance), rtol=0.05)
    # Monday's alone is far from that, and still the prior.
    prior = model.layers[0].random_weights["kernel"][1]
    assert (of_monday[1] > 1.1 * stddev).all()
    for value, variable in zip(of_monday, (prior.loc, prior.scale), strict=True):
        np.testing.assert_array_equal(numpy(variable), value)


# What the copy is


def make_model(prior=None, **kwargs):
    names = ("first", "second")
    made = [bnn.layers.Dense(6, prior=prior, name=name, **kwargs) for name in names]
    model = keras.Sequential([keras.Input((6,)), *made, keras.layers.Dense(2)])
    model.compile("adam", loss=bnn.likelihoods.Normal(1.0))
    rng = np.random.default_rng(1)
    for layer in made:
        for variables, _ in layer.random_weights.values():
            shape = tuple(variables.mean.shape)
            variables.assign(rng.normal(size=shape), rng.uniform(0.05, 0.3, size=shape))
    return model


def later_model(**kwargs):
    model = make_model(**kwargs)
    return with_priors(model, bnn.priors.from_posterior(model))


def predicted(model):
    return bnn.predict(model, X, 3, seed=1, verbose=False).outputs


def divergences(model):
    return [float(layer.kl_divergence()) for layer in bnn.layers.variational_layers(model)]


def test_the_copy_is_the_model_with_the_priors_given():
    model = make_model(bias_posterior=bnn.posteriors.MeanFieldNormal(), kl_weight=0.1)
    priors = bnn.priors.from_posterior(model)
    later = with_priors(model, priors)
    np.testing.assert_array_equal(predicted(later), predicted(model))
    assert later.compiled
    assert later.optimizer is not model.optimizer
    for name, prior in priors.items():
        layer = later.get_layer(name)
        assert layer is not model.get_layer(name)
        assert layer.prior is layer.bias_prior is prior
        assert layer.kl_weight == pytest.approx(0.1)
        assert int(layer.seed_generator.state[1]) == int(model.get_layer(name).seed_generator.state[1])
    assert divergences(later) == [0, 0]
    # The model itself is as it was.
    assert isinstance(model.get_layer("first").prior, bnn.priors.Normal)


def test_one_prior_serves_all_layers():
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.3, trainable=True)
    model = make_model()
    later = with_priors(model, prior)
    assert all(later.get_layer(name).prior is prior for name in ("first", "second"))
    assert len(later.trainable_variables) == len(model.trainable_variables) + 3
    np.testing.assert_array_equal(predicted(later), predicted(model))


def test_layers_that_are_not_named_keep_what_their_prior_has_learned():
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.3, trainable=True)
    model = make_model(prior)
    prior.trainable_variables[0].assign(0.7)
    later = with_priors(model, {"first": bnn.priors.Normal(2.0)})
    assert later.get_layer("first").prior.scale == 2
    kept = later.get_layer("second").prior
    assert kept is not prior
    assert float(kept.sigma_1) == pytest.approx(np.exp(0.7))
    np.testing.assert_array_equal(predicted(later), predicted(model))


def test_priors_can_be_replaced_day_after_day():
    model = later_model()
    model.get_layer("first").random_weights["kernel"][0].assign(0.3, 0.2)
    latest = with_priors(model, bnn.priors.from_posterior(model))
    assert divergences(latest) == [0, 0]
    assert divergences(model)[0] > 1
    np.testing.assert_array_equal(numpy(latest.get_layer("first").random_weights["kernel"][1].loc), np.float32(0.3))


def test_models_inside_a_model_get_their_priors_too():
    inner = make_model()
    inputs = keras.Input((6,))
    model = keras.Model(inputs, bnn.layers.DenseFlipout(1, name="head")(inner(inputs)))
    priors = bnn.priors.from_posterior(model)
    later = with_priors(model, priors)
    assert {layer.name: layer.prior for layer in bnn.layers.variational_layers(later)} == priors
    assert divergences(later) == [0, 0, 0]


# What it can do


@pytest.mark.parametrize("file", ["model.keras", "model.weights.h5"])
def test_it_is_the_same_after_saving_and_loading(file, tmp_path, monkeypatch):
    model = later_model(bias_posterior=bnn.posteriors.MeanFieldNormal())
    model.get_layer("first").random_weights["bias"][0].assign(0.3, 0.2)
    path = str(tmp_path / file)
    if file.endswith(".keras"):
        # As in another process, where the prior does not live.
        monkeypatch.setattr("tfp_bnn.priors.prior._living", {})
        model.save(path)
        loaded = keras.saving.load_model(path)
    else:
        model.save_weights(path)
        loaded = later_model(bias_posterior=bnn.posteriors.MeanFieldNormal())
        loaded.get_layer("first").prior.of("bias", (6,)).assign(9.0, 9.0)
        loaded.load_weights(path)
    np.testing.assert_allclose(divergences(loaded), divergences(model), rtol=1e-6)
    assert divergences(loaded)[0] > 1
    layer = loaded.get_layer("first")
    assert layer.prior is layer.bias_prior
    np.testing.assert_array_equal(predicted(loaded), predicted(model))


@on_tensorflow_alone
def test_it_is_the_same_after_a_checkpoint_of_tensorflow(tmp_path):
    import tensorflow as tf

    model, restored = later_model(), later_model()
    for layer in bnn.layers.variational_layers(restored):
        layer.prior.of("kernel", (6, 6)).assign(9.0, 9.0)
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "checkpoint"))
    tf.train.Checkpoint(model=restored).read(path).assert_existing_objects_matched()
    assert divergences(restored) == [0, 0]


def test_a_clone_starts_anew_under_the_same_prior():
    model = later_model()
    clone = bnn.clone_model(model)
    for name in ("first", "second"):
        prior, of_clone = (each.get_layer(name).random_weights["kernel"][1] for each in (model, clone))
        assert prior is not of_clone
        np.testing.assert_array_equal(numpy(of_clone.loc), numpy(prior.loc))
        np.testing.assert_array_equal(numpy(of_clone.scale), numpy(prior.scale))
    assert all(divergence > 1 for divergence in divergences(clone))


def test_it_can_be_made_plain():
    model = make_model()
    later = with_priors(model, bnn.priors.from_posterior(model))
    plain = bnn.to_deterministic(later)
    assert not bnn.layers.variational_layers(plain)
    np.testing.assert_array_equal(numpy(plain(X)), numpy(bnn.to_deterministic(model)(X)))


def test_it_can_be_pruned_before_and_after():
    pruned = bnn.prune(make_model(), 0.5)
    later = with_priors(pruned, bnn.priors.from_posterior(pruned))
    assert bnn.count_weights(later) == bnn.count_weights(pruned)
    assert divergences(later) == [0, 0]
    model = later_model()
    assert divergences(bnn.prune(model, 0.5)) == [0, 0]
    kept = model.get_layer("first").random_weights["kernel"][0]
    kept.assign(read(model.get_layer("first"))[0] * 2, 0.1)
    assert 0 < divergences(bnn.prune(model, 0.5))[0] < divergences(model)[0]


# Errors


def test_priors_must_be_ones_of_the_model_s_layers():
    model = make_model()
    with pytest.raises(ValueError, match=r"layers of .* are first, second. Received: priors of 'third'"):
        with_priors(model, {"third": bnn.priors.Normal()})
    for wrong in (0.5, {"first": "normal"}):
        with pytest.raises(ValueError, match=r"`priors` must be a tfp_bnn.priors.Prior. Received: priors="):
            with_priors(model, wrong)
    with pytest.raises(ValueError, match=r"Expected a Keras model. Received: "):
        with_priors(bnn.layers.DenseFlipout(2), bnn.priors.Normal())
    with pytest.raises(ValueError, match="Expected a model that is built"):
        with_priors(keras.Sequential([bnn.layers.DenseFlipout(2)]), bnn.priors.Normal())
    elsewhere = bnn.priors.EarlierPosterior({"kernel": (5, 6)})
    with pytest.raises(ValueError, match=r"no other weights. Received: 'kernel' of shape \(6, 6\)"):
        with_priors(model, elsewhere)
