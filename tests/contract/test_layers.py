"""The layers: each keeps the contract, and wrong arguments get one clear error."""

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from tests.contract.layer_contract import cases, is_the_same_for_each_estimator, layer_classes, shows_little_new
from tests.support.on_backends import over_seeds, with_gradient
from tfp_bnn.testing.case import Case
from tfp_bnn.testing.layer_checks import ON_EVERY_GEOMETRY, ON_EVERY_LAYER, noisy_outputs


@pytest.mark.parametrize(
    ("case", "check"),
    [
        pytest.param(
            case,
            check,
            id=f"{case}-{check.__name__}",
            marks=[pytest.mark.jax_if_thorough] if shows_little_new(case, check) else [],
        )
        # Three checks in a row look at the same draws of a case.
        for case in cases()
        for check in ON_EVERY_GEOMETRY
    ],
)
def test_contract_on_every_geometry(case, check):
    check(case)


@pytest.mark.parametrize(
    ("case", "check"),
    [
        pytest.param(
            case,
            check,
            id=f"{case}-{check.__name__}",
            marks=[pytest.mark.jax_if_thorough] if is_the_same_for_each_estimator(case, check) else [],
        )
        for case in cases(every_geometry=False)
        for check in ON_EVERY_LAYER
    ],
)
def test_contract_on_every_layer(case, check):
    check(case)


def test_a_layer_stands_for_the_keras_layer_of_the_same_arguments():
    for case in cases():
        keras_class = getattr(keras.layers, case.layer_class.__name__.removesuffix("Variational"))
        of_keras = {name: value for name, value in case.keywords.items() if name != "estimator"}
        expected = keras_class(*case.arguments, **of_keras, name="layer").get_config()
        made = case.layer_class(*case.arguments, **case.keywords, name="layer").keras_layer()
        assert type(made) is keras_class
        assert made.get_config() == expected


def test_the_variance_of_gradients_is_ordered_as_the_papers_say():
    variances = {}
    for estimator in bnn.estimators.NAMES:
        layer = Case(bnn.layers.Dense, "large batch", (3,), {}, (64, 5), estimator).make()
        outputs = noisy_outputs(layer, np.random.default_rng(0).normal(size=(64, 5)).astype("float32"))
        loss = with_gradient(
            lambda seed, outputs=outputs: keras.ops.mean(keras.ops.square(outputs(seed))), layer.trainable_variables
        )
        variances[estimator] = over_seeds(loss, 1000, xla=False)[:, 1:].var(axis=0).sum()
    # Estimates from 1,000 draws: that of each derivative is right within some 10 %, their sum within less.
    assert variances["local_reparameterization"] < 1.1 * variances["flipout"]
    assert variances["flipout"] < 0.6 * variances["reparameterization"]
    assert variances["antithetic"] < 0.6 * variances["reparameterization"]


def test_every_layer_is_documented():
    layers = layer_classes()
    assert len(layers) == 16
    for layer in layers:
        documented = f"{layer.__doc__}{layer.__init__.__doc__}"
        for section in ("Args:", "Raises:", "Example:", "Source:"):
            assert section in documented, (layer, section)


def test_the_names_of_tfp_fix_an_estimator():
    names = [name for name in bnn.layers.__all__ if getattr(getattr(bnn.layers, name), "fixed_estimator", None)]
    assert len(names) == 18
    for name in names:
        layer_class = getattr(bnn.layers, name)
        family = layer_class.__base__.__name__
        assert (
            name.replace("Convolution", "Conv").lower()
            == (family + layer_class.fixed_estimator).replace("_", "").lower()
        )
        assert issubclass(layer_class, getattr(bnn.layers, family))
        for section in ("Example:", "Source:"):
            assert section in layer_class.__doc__, (name, section)
    with pytest.raises(ValueError, match=r"write Dense\(..., estimator=...\). Received: estimator='antithetic'"):
        bnn.layers.DenseFlipout(3, estimator="antithetic")


@pytest.mark.parametrize("layer", [bnn.layers.DenseFlipout, bnn.layers.DenseVariational])
def test_dense_layers_pass_masks_on(layer):
    embedded = keras.layers.Embedding(5, 4, mask_zero=True)(np.array([[1, 2, 0], [3, 0, 0]]))
    mask = keras.ops.convert_to_numpy(keras.src.backend.get_keras_mask(layer(3)(embedded)))
    np.testing.assert_array_equal(mask, [[True, True, False], [True, False, False]])


def test_dense_variational_without_bias_is_a_product():
    layer = bnn.layers.DenseVariational(3, use_bias=False)
    inputs = np.ones((2, 4), "float32")
    layer.build(inputs.shape)
    layer.random_weights["weights"][0].assign(np.full((4, 3), 2.0), 0.0)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(inputs)), np.full((2, 3), 8.0), rtol=1e-6)


@pytest.mark.parametrize(
    ("make_layer", "message"),
    [
        (lambda: bnn.layers.DenseFlipout(-1), r"`units` must be a positive integer. Received: units=-1"),
        (lambda: bnn.layers.DenseVariational(2.5), r"`units` must be a positive integer. Received: units=2.5"),
        (lambda: bnn.layers.Conv2DFlipout(0, 3), r"`filters` must be a positive integer. Received: filters=0"),
        (lambda: bnn.layers.Conv2DFlipout(5, 3, groups=2), r"groups=2"),
        (lambda: bnn.layers.Conv2DFlipout(4, 3, groups=0), r"groups=0"),
        (
            lambda: bnn.layers.Conv2DFlipout(4, 3, groups=None),
            r"`groups` must be .*: groups=None",
        ),
        (lambda: bnn.layers.Conv2DFlipout(4, 3, padding=None), r"`padding` must be a string. Received: padding=None"),
        (lambda: bnn.layers.Conv2DFlipout(4, 0), r"kernel_size"),
        (lambda: bnn.layers.Conv2DFlipout(4, 3, padding="causal"), r"causal"),
        (lambda: bnn.layers.Conv2DFlipout(4, 3, strides=2, dilation_rate=2), r"dilation_rate"),
        (lambda: bnn.layers.DenseFlipout(4, prior="normal"), r"`prior` must be a tfp_bnn.priors.Prior"),
        (
            lambda: bnn.layers.DenseFlipout(4, prior=False),
            r"`prior` must be a tfp_bnn.priors.Prior. Received: prior=False",
        ),
        (lambda: bnn.layers.DenseFlipout(4, bias_posterior=False), r"`bias_posterior` must .* bias_posterior=False"),
        (lambda: bnn.layers.DenseVariational(4, prior=0), r"`prior` must be a tfp_bnn.priors.Prior or .* prior=0"),
        (lambda: bnn.layers.DenseVariational(4, bnn.priors.Normal()), r"`posterior` must be .* Received: posterior=<"),
        (lambda: bnn.layers.DenseFlipout(4, posterior=3), r"`posterior` must be a tfp_bnn.posteriors.Posterior"),
        (lambda: bnn.layers.DenseVariational(4, prior="x"), r"`prior` must be a tfp_bnn.priors.Prior or a function"),
        (lambda: bnn.layers.DenseFlipout(4, kl_weight=-1.0), r"`kl_weight` .* Received: kl_weight=-1.0"),
        (lambda: bnn.layers.DenseFlipout(4, bias_prior=bnn.priors.Normal()), r"`bias_prior` needs a `bias_posterior`"),
        (
            lambda: bnn.layers.DenseFlipout(4, use_bias=False, bias_posterior=bnn.posteriors.MeanFieldNormal()),
            r"`bias_posterior` needs a bias",
        ),
    ],
)
def test_a_wrong_argument_gets_one_clear_error(make_layer, message):
    with pytest.raises(ValueError, match=message):
        make_layer()


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (bnn.layers.DenseFlipout, (4, 0), r"at least 1. Received: input_shape=\(4, 0\)"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 3), (4, 8, 8, 0), r"at least 1 .*input_shape=\(4, 8, 8, 0\)"),
        (bnn.layers.DenseFlipout, (None,), r"\[batch, ..., features\]"),
        (bnn.layers.DenseVariational, (4, None), r"known number of features"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 3), (4, 8, 8), r"takes inputs with 4 axes"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 3), (4, 8, 8, None), r"input channels must be known"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 3, groups=2), (4, 8, 8, 3), r"divisible by `groups`.*groups=2"),
        (lambda n: bnn.layers.Conv2DFlipout(n, 9), (4, 8, 8, 3), r"[Nn]egative|non-positive|dimension"),
    ],
)
def test_inputs_of_a_wrong_shape_get_one_clear_error(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        layer(4).build(shape)


def test_the_spellings_of_tfp_are_the_same_layers():
    for rank in (1, 2, 3):
        for ending in ("Flipout", "Reparameterization"):
            alias = getattr(bnn.layers, f"Convolution{rank}D{ending}")
            assert alias is getattr(bnn.layers, f"Conv{rank}D{ending}")


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_wrong_kl_weight_gets_one_clear_error_also_after_the_constructor(value):
    layer = bnn.layers.DenseFlipout(3, kl_weight=0.5)
    with pytest.raises(ValueError, match=f"`kl_weight` must be .* Received: kl_weight={value}"):
        layer.kl_weight = value
    assert layer.kl_weight == 0.5


class RegularizedPrior(bnn.priors.Prior):
    """A standard normal prior with a variable that has a regularizer of its own: 0.25."""

    def __init__(self):
        super().__init__()
        self.add_weight(name="scale", shape=(), initializer="ones", regularizer=keras.regularizers.L2(0.25))

    def log_prob(self, weights):
        return bnn.priors.Normal().log_prob(weights)

    def distribution(self, shape=()):
        return bnn.priors.Normal().distribution(shape)


def test_the_regularizer_of_a_prior_does_not_stand_for_the_kl_term():
    layer = bnn.layers.DenseFlipout(3, prior=RegularizedPrior(), kl_weight=1.0)
    layer.keep_kl()
    layer(np.ones((2, 4), "float32"))
    own, regularizer = (float(loss) for loss in layer.losses)
    assert regularizer == pytest.approx(0.25)
    assert own == pytest.approx(float(layer.take_kl().term))
    assert own > 1


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize(("stddev", "size"), [(1e-4, 1.0), (0.05, 1000.0)])
def test_local_reparameterization_keeps_its_noise_in_half_precision(dtype, stddev, size):
    layer = bnn.layers.DenseLocalReparameterization(1, use_bias=False, dtype=dtype, seed=1)
    layer.build((None, 4))
    layer.random_weights["kernel"][0].assign(0.0, stddev)
    outputs = keras.ops.convert_to_numpy(keras.ops.cast(layer(np.full((4000, 4), size, "float32")), "float32"))
    # The standard deviation of 4,000 draws has a relative standard error of 1.1 %; bfloat16 rounds by up to 0.4 %.
    assert outputs.std() == pytest.approx(2 * size * stddev, rel=0.06)
