"""Pruning: the weights that go are those of the least signal-to-noise ratio, and they are gone for good."""

import keras
import numpy as np
import pytest
from scipy import stats

import tfp_bnn as bnn
from tests.support.on_backends import UNCOMPILED, double_precision, on_tensorflow_alone

X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")


def random_layer(kind, **kwargs):
    """Returns a layer of 3 outputs whose weights, biases too, are random."""
    if kind == "DenseVariational":
        return bnn.layers.DenseVariational(3, **kwargs)
    bias_prior = kwargs.get("prior")
    return getattr(bnn.layers, kind)(
        3, bias_posterior=bnn.posteriors.MeanFieldNormal(), bias_prior=bias_prior, **kwargs
    )


def make_model(kind="DenseFlipout", **kwargs):
    model = keras.Sequential([keras.Input((6,)), random_layer(kind, **kwargs), random_layer(kind, **kwargs)])
    model.compile(keras.optimizers.Adam(0.01), loss=bnn.likelihoods.Categorical(), **UNCOMPILED)
    give_random_values(model)
    return model


def give_random_values(model):
    rng = np.random.default_rng(1)
    for layer in bnn.layers.variational_layers(model):
        for variables, _ in layer.random_weights.values():
            shape = tuple(variables.mean.shape)
            variables.assign(rng.normal(size=shape), rng.uniform(0.05, 0.3, size=shape))


def posteriors(model):
    layers = bnn.layers.variational_layers(model)
    return [variables.read() for layer in layers for variables, _ in layer.random_weights.values()]


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


KINDS = ("DenseReparameterization", "DenseLocalReparameterization", "DenseFlipout", "DenseVariational")
PRIORS = (bnn.priors.Normal(scale=0.7, loc=0.4), bnn.priors.ScaleMixture(1.0, 0.1, 0.3))


def test_the_ratio_is_that_of_mean_and_standard_deviation():
    model = make_model()
    layer = model.layers[0]
    layer.random_weights["kernel"][0].assign(np.full((6, 3), -0.6), np.full((6, 3), 0.2))
    ratios = bnn.signal_to_noise(model)
    assert len(ratios) == 4
    np.testing.assert_allclose(ratios[f"{layer.path}/kernel"], np.full((6, 3), 3.0), rtol=1e-5)


def test_layers_of_the_same_path_have_names_of_their_own():
    inner = [keras.Sequential([keras.Input((6,)), bnn.layers.DenseFlipout(6, name="dense")]) for _ in range(2)]
    model = keras.Sequential([keras.Input((6,)), *inner])
    assert len(bnn.signal_to_noise(model)) == 2


@pytest.mark.parametrize("sparsity", [0.0, 0.4, 0.9, 1.0])
def test_the_weights_of_the_least_ratio_go_over_the_whole_network(sparsity):
    model = make_model()
    pruned = bnn.prune(model, sparsity)
    before = np.concatenate([ratio.ravel() for ratio in bnn.signal_to_noise(model).values()])
    after = np.concatenate([ratio.ravel() for ratio in bnn.signal_to_noise(pruned).values()])
    gone = after == 0
    assert gone.sum() == round(sparsity * 33)
    assert before[gone].max(initial=0) <= before[~gone].min(initial=np.inf)
    np.testing.assert_array_equal(before[~gone], after[~gone])
    assert bnn.count_weights(pruned) == (33, 33 - gone.sum())
    assert bnn.count_weights(pruned).sparsity == pytest.approx(gone.mean())


def test_by_layer_each_layer_loses_the_same_share():
    model = make_model()
    kernel = model.layers[0].random_weights["kernel"][0]
    kernel.assign(100 * numpy(kernel.mean), 0.05)  # over the whole network, these would all stay
    pruned = bnn.prune(model, 0.5, by_layer=True)
    counts = [
        sum(int((numpy(p.mean) != 0).sum()) for p in posteriors(keras.Sequential([layer]))) for layer in pruned.layers
    ]
    assert counts == [21 - round(10.5), 12 - 6]


@pytest.mark.parametrize("kind", KINDS)
def test_pruned_weights_have_neither_mean_nor_noise(kind):
    pruned = bnn.prune(make_model(kind), 1.0)
    for posterior in posteriors(pruned):
        assert not numpy(posterior.mean).any()
        assert not numpy(posterior.stddev).any()
    np.testing.assert_array_equal(numpy(pruned(X)), np.zeros((64, 3)))
    np.testing.assert_array_equal(bnn.predict(pruned, X, 3, verbose=False).outputs, np.zeros((3, 64, 3)))


@pytest.mark.parametrize("kind", KINDS)
def test_with_nothing_pruned_the_predictions_are_those_of_the_model(kind):
    model = make_model(kind)
    expected = bnn.predict(model, X, 4, seed=1, verbose=False).outputs
    np.testing.assert_allclose(
        bnn.predict(bnn.prune(model, 0.0), X, 4, seed=1, verbose=False).outputs, expected, rtol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prior", PRIORS, ids=["normal", "mixture"])
def test_the_kl_term_is_that_of_the_weights_that_are_left(kind, prior):
    model = keras.Sequential([keras.Input((6,)), random_layer(kind, prior=prior, kl_weight=1.0)])
    give_random_values(model)
    pruned = bnn.prune(model, 0.6)
    draws = []
    for _ in range(16):
        pruned(X, training=True)
        draws.append(float(sum(pruned.losses)))
    expected = 0.0
    for posterior in posteriors(pruned):
        mean, stddev = numpy(posterior.mean), numpy(posterior.stddev)
        expected += sum(kl(m, s, prior) for m, s in zip(mean[stddev > 0], stddev[stddev > 0], strict=True))
    standard_error = np.std(draws) / np.sqrt(len(draws))
    assert abs(np.mean(draws) - expected) < 5 * standard_error + 1e-3 * abs(expected)


def kl(mean, stddev, prior):
    """Returns the divergence of one weight's posterior from the prior, by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(100)
    at = mean + stddev * nodes
    log_prior = numpy(prior.log_prob(at.astype("float32"))).astype("float64")
    return np.sum(weights / weights.sum() * (stats.norm.logpdf(at, mean, stddev) - log_prior))


@pytest.mark.parametrize("prior", PRIORS, ids=["normal", "mixture"])
def test_pruned_weights_stay_pruned_in_training_and_the_others_train(prior):
    model = make_model("DenseFlipout", prior=prior)
    pruned = bnn.prune(model, 0.6)
    before = [numpy(posterior.mean) for posterior in posteriors(pruned)]
    pruned.fit(X, Y, epochs=2, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=64)])
    assert bnn.count_weights(pruned) == (33, 13)
    for old, posterior in zip(before, posteriors(pruned), strict=True):
        new, stddev = numpy(posterior.mean), numpy(posterior.stddev)
        assert np.isfinite(new).all()
        np.testing.assert_array_equal(new[old == 0], 0)
        np.testing.assert_array_equal(stddev[old == 0], 0)
        assert (new[old != 0] != old[old != 0]).all()


def test_a_pruned_model_is_saved_and_loaded_pruned(tmp_path):
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.3, trainable=True)
    pruned = bnn.prune(make_model("DenseVariational", prior=prior, kl_weight=0.1), 0.7)
    pruned.save(tmp_path / "pruned.keras")
    loaded = keras.saving.load_model(tmp_path / "pruned.keras")
    assert bnn.count_weights(loaded) == bnn.count_weights(pruned) == (33, 10)
    expected = bnn.predict(pruned, X, 3, seed=2, verbose=False).outputs
    np.testing.assert_allclose(bnn.predict(loaded, X, 3, seed=2, verbose=False).outputs, expected, rtol=1e-5)
    assert loaded.layers[0].kl_weight == pytest.approx(0.1)


def test_what_was_pruned_stays_pruned_when_pruned_again():
    half = bnn.prune(make_model(), 0.5)
    gone = [numpy(posterior.mean) == 0 for posterior in posteriors(half)]
    assert bnn.count_weights(bnn.prune(half, 0.2)) == bnn.count_weights(half)
    more = bnn.prune(half, 0.8)
    assert bnn.count_weights(more).kept == 33 - round(0.8 * 33)
    for before, posterior in zip(gone, posteriors(more), strict=True):
        assert not numpy(posterior.mean)[before].any()


def test_the_copy_has_the_models_values_and_leaves_the_model_as_it_was():
    prior = bnn.priors.ScaleMixture(1.0, 0.1, 0.3, trainable=True)
    inputs = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), bnn.layers.DenseFlipout(5, prior=prior), keras.layers.Dense(4)])
    model = keras.Model(inputs, keras.layers.BatchNormalization()(inner(inputs)))
    give_random_values(model)
    prior._log_sigma_1.assign(0.5)
    before = model.get_weights()
    pruned = bnn.prune(model, 0.5)
    (layer,) = bnn.layers.variational_layers(pruned)
    assert layer.prior is not prior
    assert float(layer.prior.sigma_1) == pytest.approx(np.exp(0.5))
    np.testing.assert_array_equal(pruned.layers[1].layers[1].kernel, inner.layers[1].kernel)
    for ours, theirs in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert bnn.count_weights(model).sparsity == 0


def test_a_pruned_model_becomes_a_plain_one_with_zeros():
    pruned = bnn.prune(make_model(), 0.6)
    plain = bnn.to_deterministic(pruned)
    zeros = sum(int((weights == 0).sum()) for weights in plain.get_weights())
    assert zeros == round(0.6 * 33)


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, np.nan])
def test_a_sparsity_out_of_range_is_an_error(sparsity):
    with pytest.raises(ValueError, match="Received: sparsity="):
        bnn.prune(make_model(), sparsity)


def test_models_that_cannot_be_pruned_are_errors():
    with pytest.raises(ValueError, match="no random weights"):
        bnn.prune(keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)]), 0.5)
    with pytest.raises(ValueError, match="Only weights of a MeanFieldNormal"):
        bnn.posteriors.Pruned("normal")


def test_posteriors_and_priors_from_functions_cannot_be_pruned():
    tfd = pytest.importorskip("tensorflow_probability").distributions

    class TrainedNormals(keras.layers.Layer):
        def __init__(self, size):
            super().__init__()
            self.loc = self.add_weight(shape=(size,))

        def call(self, inputs):
            return tfd.Independent(tfd.Normal(keras.ops.convert_to_tensor(self.loc), 1.0), 1)

    def trained(kernel_size, bias_size, dtype):
        return TrainedNormals(kernel_size + bias_size)

    def fixed(kernel_size, bias_size, dtype):
        return tfd.Independent(tfd.Normal(np.zeros(kernel_size + bias_size, dtype), 1.0), 1)

    if keras.backend.backend() != "tensorflow":
        pytest.skip("TFP's distributions of TensorFlow need its backend")
    of_posterior = keras.Sequential([keras.Input((6,)), bnn.layers.DenseVariational(2, posterior=trained)])
    with pytest.raises(ValueError, match="Gaussian posteriors only"):
        bnn.signal_to_noise(of_posterior)
    of_prior = keras.Sequential([keras.Input((6,)), bnn.layers.DenseVariational(2, prior=fixed)])
    with pytest.raises(ValueError, match="says nothing of those that are left"):
        bnn.prune(of_prior, 0.5)


def test_weights_that_are_not_finite_are_an_error():
    model = make_model()
    model.layers[0].random_weights["kernel"][0].mean.assign(np.full((6, 3), np.nan))
    with pytest.raises(ValueError, match="18 of 18 weights"):
        bnn.signal_to_noise(model)


def test_a_pruned_layer_in_double_precision_has_a_kl_term():
    with double_precision():
        layer = random_layer("DenseFlipout", dtype="float64", kl_weight=1.0)
        model = bnn.prune(keras.Sequential([keras.Input((6,), dtype="float64"), layer]), 0.5)
        (pruned,) = model.layers
        pruned.keep_kl()
        pruned(X.astype("float64"))
        expected = 0.0
        for posterior in posteriors(model):
            kept = numpy(posterior.kept)
            mean, stddev = numpy(posterior.mean)[kept], numpy(posterior.stddev)[kept]
            expected += (0.5 * (mean**2 + stddev**2 - 1) - np.log(stddev)).sum()
        np.testing.assert_allclose(numpy(pruned.take_kl().nats), expected, rtol=1e-12)


@on_tensorflow_alone
@pytest.mark.parametrize("kl_weight", [None, 0.25])
def test_the_copy_weighs_the_kl_term_as_the_model_does(kl_weight):
    model = make_model()
    for layer in model.layers:
        layer.kl_weight = kl_weight
    assert [layer.kl_weight for layer in bnn.prune(model, 0.5).layers] == [kl_weight] * 2
