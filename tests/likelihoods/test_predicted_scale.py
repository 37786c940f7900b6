"""Scales that a network predicts: where they start, how far they fall, and targets in other units."""

import warnings

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.support.on_backends import numpy, on_tensorflow_alone
from tfp_bnn import likelihoods

pytestmark = pytest.mark.jax_if_thorough

LEAST = 1e-3
SCALES = {
    "normal": (likelihoods.Normal, "min_scale"),
    "student t": (likelihoods.StudentT, "min_scale"),
    "laplace": (likelihoods.Laplace, "min_scale"),
    "mixture": (lambda **kwargs: likelihoods.NormalMixture(1, **kwargs), "min_scale"),
    "negative binomial": (likelihoods.NegativeBinomial, "min_concentration"),
}
each_family = pytest.mark.parametrize("family", SCALES)


def scale_of(likelihood, output):
    """Returns what the last output becomes."""
    others = 1 + isinstance(likelihood, likelihoods.NormalMixture)
    return float(numpy(likelihood._parameters(np.array([[0.0] * others + [output]], "float32"))[-1]).ravel()[0])


@each_family
def test_a_predicted_scale_is_1_at_0_falls_slowly_and_has_a_floor(family):
    make, _ = SCALES[family]
    assert scale_of(make(), 0.0) == pytest.approx(1.0, rel=1e-6)
    assert scale_of(make(), 60.0) == pytest.approx(60.0, rel=0.01)
    # softplus(-60) is 1e-26: the loss of one example would be 1e52.
    assert scale_of(make(), -60.0) == pytest.approx(LEAST + 1 / 60, rel=0.01)
    for output in (-1e4, -1e18, -1e30):
        assert scale_of(make(), output) == pytest.approx(LEAST, rel=0.11)


@each_family
def test_the_floor_is_an_argument_and_in_the_config(family):
    make, name = SCALES[family]
    likelihood = make(**{name: 0.05})
    assert scale_of(likelihood, 0.0) == pytest.approx(1.0, rel=1e-6)
    assert scale_of(likelihood, -1e6) == pytest.approx(0.05, rel=1e-3)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(likelihood))
    assert again.get_config()[name] == 0.05
    config = likelihood.get_config()
    del config[name]
    with pytest.warns(UserWarning, match="train the network again"):
        assert type(likelihood).from_config(config).get_config()[name] == LEAST
    for wrong in (0, 1, -1, float("nan")):
        with pytest.raises(ValueError, match=f"`{name}` must be between 0 and 1. Received: {name}={wrong}"):
            make(**{name: wrong})


@on_tensorflow_alone
def test_raw_inputs_do_not_explode():
    seed = 1
    rng = np.random.default_rng(seed)
    x = rng.uniform(-20, 60, (200, 1)).astype("float32")
    y = (0.05 * x + rng.normal(size=x.shape)).astype("float32")
    keras.utils.set_random_seed(seed)
    model = bnn.models.mlp((1,), [16, 16], num_outputs=2)
    # The loss where training begins: with softplus it is up to 1e16.
    likelihood = likelihoods.Normal()
    first = -bnn.predict(model, x, 20, likelihood=likelihood, seed=seed, verbose=False).log_prob(y).mean()
    assert first < 1e6
    assert np.isfinite(first)
    model.compile(keras.optimizers.Adam(0.01), loss=likelihood)
    model.fit(x, y, epochs=20, verbose=0, callbacks=[bnn.callbacks.KLWeight(num_examples=len(x))])
    last = -bnn.predict(model, x, 20, seed=seed, verbose=False).log_prob(y).mean()
    assert last < 100


# Targets in other units


@pytest.mark.parametrize(
    ("likelihood", "scale", "started"),
    [
        (likelihoods.Normal(), 1.0, "starts at 1"),
        (likelihoods.StudentT(), 1.0, "starts at 1"),
        (likelihoods.Laplace(), 1.0, "starts at 1"),
        (likelihoods.NormalMixture(2), 1.0, "starts at 1"),
        (likelihoods.Normal(0.5), 0.5, "has a scale of 0.5"),
        (likelihoods.Laplace(20.0), 20.0, "has a scale of 20"),
    ],
)
def test_targets_a_hundred_times_the_scale_get_one_warning(likelihood, scale, started):
    with pytest.warns(UserWarning, match=rf"{started}: standardize them") as caught:
        likelihood.check_scale(np.array([0.1, 101 * scale]))
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        likelihood.check_scale(np.array([99 * scale]))
        likelihood.check_scale(0.0)


@pytest.mark.parametrize(
    "likelihood",
    [likelihoods.Categorical(), likelihoods.Bernoulli(), likelihoods.Poisson(), likelihoods.NegativeBinomial()],
)
def test_targets_without_a_unit_need_no_standard(likelihood):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        likelihood.check_scale(1e6)
