"""Noise: its moments, its seeds and its shapes, one operation at a time and compiled."""

import keras
import numpy as np
import pytest

from tfp_bnn._numerics.noise import Noise, counted

STANDARD_ERRORS = 5
NUM_DRAWS = 200_000
TENSORFLOW = keras.backend.backend() == "tensorflow"
DTYPES = ["float16", "bfloat16", "float32"] + ["float64"] * TENSORFLOW
WIDEST = DTYPES[-1]

dtypes = pytest.mark.parametrize("dtype", DTYPES)
modes = pytest.mark.parametrize("mode", ["eager", "compiled", "XLA"] if TENSORFLOW else ["eager", "compiled"])


def compiled(function, mode, signature=None):
    """Returns the function of tensors, compiled as the mode says."""
    if mode == "eager":
        return function
    if TENSORFLOW:
        import tensorflow as tf

        return tf.function(function, input_signature=signature, autograph=False, jit_compile=mode == "XLA")
    import jax

    return jax.jit(function)


def drawer(function, mode):
    """Returns the function of a seed that gives, as float64, what a function makes of the noise of that seed."""
    function_of_seed = compiled(lambda seed: function(counted(seed)), mode)

    def draw_at(*seed):
        draws = function_of_seed(keras.ops.convert_to_tensor(np.array(seed, "int32")))
        return keras.tree.map_structure(lambda draw: keras.ops.convert_to_numpy(draw).astype("float64"), draws)

    return draw_at


def draw(function, mode):
    return drawer(function, mode)(3, 0)


def assert_zero(error, variance, num_draws=NUM_DRAWS):
    """Asserts that a mean over draws, less its expectation, is 0 within its standard error."""
    assert np.abs(error).max() < STANDARD_ERRORS * np.sqrt(variance / num_draws)


@dtypes
@pytest.mark.parametrize("mode", ["eager", "XLA" if TENSORFLOW else "compiled"])
def test_normals_have_the_moments_of_the_standard_normal(mode, dtype):
    num_draws = 2_000_000
    z = draw(lambda noise: keras.ops.cast(noise.normal((num_draws,), dtype), WIDEST), mode)
    assert_zero(z.mean(), 1, num_draws)
    assert_zero(np.square(z).mean() - 1, 2, num_draws)
    assert_zero((z**3).mean(), 15, num_draws)
    assert_zero((z**4).mean() - 3, 96, num_draws)


@modes
def test_normals_are_uncorrelated_with_their_neighbours_and_with_the_next_draw(mode):
    first, second = draw(lambda noise: (noise.normal((NUM_DRAWS,)), noise.normal((NUM_DRAWS,))), mode)
    assert_zero((first * second).mean(), 1)
    for lag in (1, 2, 4):
        assert_zero((first[lag:] * first[:-lag]).mean(), 1, NUM_DRAWS - lag)


@modes
def test_signs_are_plus_or_minus_1_with_mean_0_and_uncorrelated(mode):
    first, second = draw(lambda noise: (noise.signs((NUM_DRAWS, 4)), noise.signs((NUM_DRAWS, 4))), mode)
    signs = np.concatenate([first, second], axis=1)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert_zero(signs.mean(axis=0), 1)
    products = signs.T @ signs / NUM_DRAWS
    assert_zero(products - np.eye(8), 1)
    assert_zero((signs[1:] * signs[:-1]).mean(axis=0), 1, NUM_DRAWS - 1)


@modes
def test_signs_of_normals_and_signs_are_uncorrelated(mode):
    normal, signs = draw(lambda noise: (noise.normal((NUM_DRAWS,)), noise.signs((NUM_DRAWS,))), mode)
    assert_zero((normal * signs).mean(), 1)


@pytest.mark.parametrize("method", ["normal", "signs"])
def test_a_seed_repeats_the_draws_and_every_draw_is_another(method):
    draws = []
    for seed in (5, 5, 6):
        noise = Noise(keras.random.SeedGenerator(seed).next)
        draws.append([keras.ops.convert_to_numpy(getattr(noise, method)((50,))) for _ in range(3)])
    np.testing.assert_array_equal(draws[0], draws[1])
    distinct = {draw.tobytes() for draw in [*draws[0], *draws[2]]}
    assert len(distinct) == 6


@pytest.mark.parametrize("method", ["normal", "signs"])
@dtypes
@modes
def test_draws_have_the_shape_and_dtype_asked_for(method, dtype, mode):
    seed = keras.ops.convert_to_tensor(np.array([1, 2], "int32"))
    draws = compiled(lambda seed: getattr(counted(seed), method)((3, 2, 1), dtype), mode)(seed)
    assert keras.backend.standardize_dtype(draws.dtype) == dtype
    assert tuple(draws.shape) == (3, 2, 1)
    assert tuple(getattr(counted(seed), method)((), dtype).shape) == ()


@modes
def test_a_compiled_function_takes_batches_of_any_size(mode):
    def noisy(x):
        noise = counted(keras.ops.convert_to_tensor(np.array([1, 2], "int32")))
        shape = (keras.ops.shape(x)[0], 3)
        return noise.normal(shape), noise.signs(shape)

    signature = None
    if TENSORFLOW:
        import tensorflow as tf

        signature = [tf.TensorSpec((None, 7), "float32")]
    function = compiled(noisy, mode, signature)
    for batch in (1, 5, 4):
        normal, signs = function(keras.ops.zeros((batch, 7)))
        assert tuple(normal.shape) == tuple(signs.shape) == (batch, 3)
        assert np.unique(keras.ops.convert_to_numpy(normal)).size == 3 * batch


@modes
def test_counted_noise_repeats_itself_and_differs_for_other_seeds_and_counts(mode):
    sequence = drawer(lambda n: keras.ops.stack([n.normal((20,)), n.signs((20,)), n.normal((20,))]), mode)
    first = sequence(7, 40)
    np.testing.assert_array_equal(first, sequence(7, 40))
    assert np.abs(first[0] - first[2]).min() > 0
    for seed in ((8, 40), (7, 43), (40, 7), (0, 0)):
        assert np.abs(first - sequence(*seed))[[0, 2]].min() > 0


@modes
def test_counted_noise_takes_the_next_count_for_each_draw(mode):
    counts = draw(lambda noise: keras.ops.stack([noise.normal((20,)) for _ in range(4)]), mode)
    first = drawer(lambda noise: noise.normal((20,)), mode)
    for count, expected in enumerate(counts):
        np.testing.assert_array_equal(first(3, count), expected)


def test_the_seeds_for_tfp_are_the_next_ones():
    noise = counted(keras.ops.convert_to_tensor(np.array([7, 40], "int32")))
    noise.normal(())
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(noise.seed()), [7, 41])
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(noise.seed()), [7, 42])


@pytest.mark.skipif(not TENSORFLOW, reason="Keras's JAX backend lets no variable change inside a compiled function")
@pytest.mark.parametrize("mode", ["compiled", "XLA"])
def test_a_compiled_function_draws_anew_at_each_call(mode):
    generator = keras.random.SeedGenerator(1)
    function = compiled(lambda: Noise(generator.next).normal((20,)), mode)
    draws = [keras.ops.convert_to_numpy(function()) for _ in range(3)]
    assert np.unique(draws).size == 60


def test_seeds_of_more_bits_than_tfp_takes_are_reduced_to_those_it_takes():
    draws = [
        keras.ops.convert_to_numpy(Noise(keras.random.SeedGenerator(seed).next).normal((50,)))
        for seed in (7, 7 + 2**31 - 2)
    ]
    np.testing.assert_array_equal(*draws)
