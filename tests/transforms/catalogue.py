"""Architectures that people have: each a function that returns a built model, inputs for it and targets to learn."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from tests.support.on_backends import TENSORFLOW

layers, ops = keras.layers, keras.ops
registered = keras.saving.register_keras_serializable("catalogue")

N, TIME, FEATURES, TOKENS = 6, 4, 3, 9


class Architecture(NamedTuple):
    """A model of the catalogue.

    Args:
        make: returns the model, inputs and targets.
        rare: whether only a thorough run has it, since it is large or much like others.
        large: whether it is so large that it takes minutes to compile, and must be trained by small steps.
        fits: whether a brief run trains it.
        compiles: whether it does so compiled, on both backends.
        saves: whether a brief run saves it, and has it on JAX, which compiles each operation for each shape.
        can_be_saved: whether Keras can save and load the model itself.
        tolerance: of outputs, as a share of the largest.
    """

    make: Callable[[], tuple[keras.Model, Any, Any]]
    rare: bool = False
    large: bool = False
    fits: bool = False
    compiles: bool = False
    saves: bool = False
    can_be_saved: bool = True
    tolerance: float = 1e-5

    def __str__(self):
        return self.make.__name__


CATALOGUE: dict[str, Architecture] = {}


def architecture(make=None, **kwargs):
    """Adds a function to the catalogue."""
    if make is None:
        return lambda make: architecture(make, **kwargs)
    assert make.__name__ not in CATALOGUE
    CATALOGUE[make.__name__] = Architecture(make, **kwargs)
    return make


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(N, *shape)).astype("float32")


def tokens(*shape, seed=0):
    """Returns integers, the last ones of each row 0, as padding is."""
    made = np.random.default_rng(seed).integers(1, TOKENS, size=(N, *shape)).astype("int32")
    made[..., -1] = 0
    return made


def with_data(model, inputs):
    """Returns the model, built, with weights that none starts with; and targets, of which a model learns some."""
    outputs = model(inputs)
    rng = np.random.default_rng(1)
    for variable in model.weights:
        is_vector = len(variable.shape) == 1 or variable.name.endswith("bias")
        # What `Normalization` has adapted to is no weight to change.
        if is_vector and variable.dtype.startswith("float") and variable.name not in ("mean", "variance"):
            variable.assign(ops.convert_to_numpy(variable) + rng.uniform(0.0, 0.1, size=variable.shape))
    targets = keras.tree.map_structure(lambda output: rng.normal(size=output.shape).astype("float32"), outputs)
    return model, inputs, targets


def chain(shape, *inside, inputs=None, dtype=None):
    """Returns a Sequential model of some layers for examples of one shape."""
    model = keras.Sequential([keras.Input(shape, dtype=dtype), *inside])
    return with_data(model, numbers(*shape) if inputs is None else inputs)


def sequences(*inside):
    return chain((TIME, FEATURES), *inside)


def padded():
    """Returns sequences whose last time steps are 0, more of them in later ones."""
    x = numbers(TIME, FEATURES)
    x[1, -1:] = x[2, -2:] = 0
    return x


def masked_sequences(*inside):
    return chain((TIME, FEATURES), layers.Masking(), *inside, inputs=padded())


def texts(*inside):
    return chain((TIME,), *inside, inputs=tokens(TIME), dtype="int32")


def graph(inputs, outputs, data):
    return with_data(keras.Model(inputs, outputs), data)


# Dense layers and equations.


@architecture(fits=True, saves=True)
def dense():
    return chain((4,), layers.Dense(5, activation="tanh"), layers.Dense(2))


@architecture
def dense_on_sequences():
    return sequences(layers.Dense(3, use_bias=False, activation="gelu"))


@architecture(rare=True)
def dense_with_activation_layers():
    return chain((4,), layers.Dense(5), layers.ReLU(), layers.Dense(3), layers.Softmax())


@architecture
def einsum_of_positions():
    return sequences(layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d", activation="tanh"))


@architecture(rare=True)
def einsum_with_a_kernel_each():
    return sequences(layers.EinsumDense("abc,bcd->abd", (TIME, 2)))


@architecture
def einsum_of_many_axes():
    return chain((2, 3), layers.EinsumDense("...x,xyz->...yz", (2, 3), bias_axes="yz"))


# Convolutions.


@architecture(rare=True)
def conv_1d():
    return chain((7, 2), layers.Conv1D(4, 3, strides=2, padding="same", activation="relu"))


@architecture
def conv_1d_causal_and_dilated():
    return chain((6, 3), layers.Conv1D(2, 2, dilation_rate=2, padding="causal"))


@architecture(compiles=True, saves=True)
def conv_2d():
    conv = layers.Conv2D(3, 3, padding="same", activation="relu")
    return chain((6, 6, 2), conv, layers.MaxPooling2D(), layers.Flatten(), layers.Dense(2))


@architecture
def conv_2d_in_groups():
    return chain((5, 4, 4), layers.Conv2D(4, (2, 3), groups=2, use_bias=False))


@architecture(rare=True)
def conv_2d_dilated():
    return chain((5, 5, 2), layers.Conv2D(2, (2, 1), dilation_rate=(2, 1)))


@architecture
def conv_3d():
    return chain((4, 4, 4, 1), layers.Conv3D(2, 2, strides=2), layers.GlobalAveragePooling3D())


@architecture(rare=True)
def conv_1d_transpose():
    return chain((4, 2), layers.Conv1DTranspose(3, 3, strides=2))


@architecture
def conv_2d_transpose():
    return chain((3, 3, 2), layers.Conv2DTranspose(2, 3, strides=2, padding="same", activation="tanh"))


@architecture(rare=True)
def conv_2d_transpose_with_output_padding():
    return chain((2, 2, 1), layers.Conv2DTranspose(2, 2, strides=2, output_padding=1))


@architecture
def conv_3d_transpose():
    return chain((2, 2, 2, 2), layers.Conv3DTranspose(2, 2))


@architecture
def depthwise_conv_1d():
    return chain((5, 2), layers.DepthwiseConv1D(2, depth_multiplier=2))


@architecture
def depthwise_conv_2d():
    return chain((4, 4, 2), layers.DepthwiseConv2D(3, strides=2, padding="same"))


@architecture
def separable_conv_1d():
    return chain((5, 2), layers.SeparableConv1D(3, 2, depth_multiplier=2))


@architecture
def separable_conv_2d():
    return chain((4, 4, 2), layers.SeparableConv2D(3, 2, padding="same", activation="relu"))


@architecture(rare=True)
def conv_lstm_1d():
    return chain((2, 5, 1), layers.ConvLSTM1D(2, 2))


@architecture
def conv_lstm_2d():
    return chain((2, 4, 4, 1), layers.ConvLSTM2D(2, 2, return_sequences=True, padding="same"))


@architecture(rare=True)
def conv_lstm_3d():
    return chain((2, 3, 3, 3, 1), layers.ConvLSTM3D(2, 2))


@architecture
def unet():
    inputs = keras.Input((4, 4, 2))
    down = layers.Conv2D(3, 3, padding="same", activation="relu")(inputs)
    deep = layers.Conv2D(4, 3, strides=2, padding="same")(down)
    up = layers.Conv2DTranspose(3, 2, strides=2)(deep)
    outputs = layers.Conv2D(1, 1)(layers.Concatenate()([down, up]))
    return graph(inputs, outputs, numbers(4, 4, 2))


# Recurrent layers.


@architecture
def simple_rnn():
    return sequences(layers.SimpleRNN(3, activation="relu"))


@architecture(compiles=True, saves=True)
def lstm():
    return sequences(layers.LSTM(3), layers.Dense(2))


@architecture(rare=True)
def gru():
    return sequences(layers.GRU(3, reset_after=False, use_bias=False))


@architecture(rare=True)
def lstm_with_all_steps():
    return sequences(layers.LSTM(3, return_sequences=True), layers.Dense(1))


@architecture
def lstm_with_state():
    inputs = keras.Input((TIME, FEATURES))
    return graph(inputs, layers.LSTM(3, return_state=True)(inputs), numbers(TIME, FEATURES))


@architecture
def gru_backwards():
    return sequences(layers.GRU(3, go_backwards=True, return_sequences=True))


@architecture
def stateful_lstm():
    inputs = keras.Input(batch_shape=(N, TIME, FEATURES))
    return graph(inputs, layers.LSTM(3, stateful=True)(inputs), numbers(TIME, FEATURES))


@architecture(saves=True)
def masked_lstm():
    return masked_sequences(layers.LSTM(3, return_sequences=True), layers.GRU(2))


@architecture
def masked_gru_with_zeros():
    return masked_sequences(layers.GRU(3, return_sequences=True, zero_output_for_mask=True))


@architecture
def gru_with_dropouts():
    return sequences(layers.GRU(3, dropout=0.2, recurrent_dropout=0.2))


@architecture(rare=True)
def unrolled_simple_rnn():
    return sequences(layers.SimpleRNN(3, unroll=True))


@architecture(rare=True)
def stacked_lstms():
    return sequences(layers.LSTM(3, return_sequences=True), layers.LSTM(2))


@architecture(saves=True)
def rnn_of_a_cell():
    return sequences(layers.RNN(layers.LSTMCell(3)))


@architecture
def rnn_of_stacked_cells():
    cells = [layers.LSTMCell(3), layers.GRUCell(2), layers.SimpleRNNCell(2)]
    return sequences(layers.RNN(cells, return_sequences=True))


@architecture(rare=True)
def rnn_of_a_stacked_cell():
    return sequences(layers.RNN(layers.StackedRNNCells([layers.GRUCell(3), layers.GRUCell(2)])))


@architecture(saves=True)
def bidirectional_concat():
    return sequences(layers.Bidirectional(layers.LSTM(3)), layers.Dense(2))


@architecture
def bidirectional_sum():
    return sequences(layers.Bidirectional(layers.GRU(3, return_sequences=True), merge_mode="sum"))


@architecture(rare=True)
def bidirectional_mul():
    return sequences(layers.Bidirectional(layers.SimpleRNN(3), merge_mode="mul"))


@architecture(rare=True)
def bidirectional_ave():
    return sequences(layers.Bidirectional(layers.LSTM(3), merge_mode="ave"))


@architecture
def bidirectional_without_merging():
    inputs = keras.Input((TIME, FEATURES))
    outputs = layers.Bidirectional(layers.LSTM(3), merge_mode=None)(inputs)
    return graph(inputs, outputs, numbers(TIME, FEATURES))


@architecture
def bidirectional_with_a_layer_of_its_own():
    backward = layers.GRU(2, go_backwards=True, name="back")
    return sequences(layers.Bidirectional(layers.LSTM(3, name="forth"), backward_layer=backward))


@architecture(rare=True)
def masked_bidirectional():
    return masked_sequences(layers.Bidirectional(layers.LSTM(3, return_sequences=True)), layers.Dense(1))


@architecture(saves=True)
def encoder_and_decoder():
    source, target = keras.Input((TIME, FEATURES), name="source"), keras.Input((3, 2), name="target")
    _, *state = layers.LSTM(3, return_state=True)(source)
    decoded = layers.LSTM(3, return_sequences=True)(target, initial_state=state)
    data = {"source": numbers(TIME, FEATURES), "target": numbers(3, 2)}
    return graph({"source": source, "target": target}, layers.Dense(2)(decoded), data)


@architecture
def time_distributed_dense():
    return sequences(layers.TimeDistributed(layers.Dense(2)))


@architecture
def time_distributed_conv():
    conv = layers.TimeDistributed(layers.Conv2D(2, 2, activation="relu"))
    return chain((2, 3, 3, 1), conv, layers.TimeDistributed(layers.Flatten()), layers.GRU(2))


@architecture(saves=True)
def time_distributed_model():
    inside = keras.Sequential([keras.Input((FEATURES,)), layers.Dense(4, "tanh"), layers.Dense(2)])
    return sequences(layers.TimeDistributed(inside))


@architecture(rare=True)
def time_distributed_lstm():
    return chain((2, TIME, FEATURES), layers.TimeDistributed(layers.LSTM(2)))


# Text and attention.


@architecture(saves=True)
def embedding():
    return texts(layers.Embedding(TOKENS, 4), layers.GlobalAveragePooling1D(), layers.Dense(2))


@architecture(fits=True)
def masked_embedding_and_lstm():
    return texts(layers.Embedding(TOKENS, 4, mask_zero=True), layers.LSTM(3), layers.Dense(1))


@architecture
def tied_embedding():
    inputs, table = keras.Input((TIME,), dtype="int32"), layers.ReversibleEmbedding(TOKENS, 4)
    hidden = layers.Dense(4, activation="tanh")(table(inputs))
    return graph(inputs, table(hidden, reverse=True), tokens(TIME))


@architecture(rare=True)
def untied_embedding():
    inputs, table = keras.Input((TIME,), dtype="int32"), layers.ReversibleEmbedding(TOKENS, 4, tie_weights=False)
    return graph(inputs, table(table(inputs), reverse=True), tokens(TIME))


@architecture(saves=True)
def self_attention():
    inputs = keras.Input((TIME, 4))
    return graph(inputs, layers.MultiHeadAttention(2, 3)(inputs, inputs), numbers(TIME, 4))


@architecture
def cross_attention():
    queries, values = keras.Input((3, 4)), keras.Input((TIME, 5))
    outputs = layers.MultiHeadAttention(2, 3, value_dim=3, output_shape=4)(queries, values)
    return graph([queries, values], outputs, [numbers(3, 4), numbers(TIME, 5)])


@architecture(rare=True)
def causal_attention():
    inputs = keras.Input((TIME, 4))
    attention = layers.MultiHeadAttention(2, 3, use_bias=False)
    return graph(inputs, attention(inputs, inputs, use_causal_mask=True), numbers(TIME, 4))


@architecture
def attention_with_a_mask():
    inputs, mask = keras.Input((TIME, 4), name="x"), keras.Input((TIME, TIME), dtype="bool", name="mask")
    outputs = layers.MultiHeadAttention(2, 3, dropout=0.1)(inputs, inputs, attention_mask=mask)
    data = {"x": numbers(TIME, 4), "mask": np.tile(np.tri(TIME, dtype=bool), (N, 1, 1))}
    return graph({"x": inputs, "mask": mask}, outputs, data)


@architecture(rare=True)
def attention_with_scores():
    inputs = keras.Input((TIME, 4))
    outputs = layers.MultiHeadAttention(2, 3)(inputs, inputs, return_attention_scores=True)
    return graph(inputs, outputs, numbers(TIME, 4))


@architecture
def masked_attention():
    inputs = keras.Input((TIME,), dtype="int32")
    embedded = layers.Embedding(TOKENS, 4, mask_zero=True)(inputs)
    outputs = layers.MultiHeadAttention(2, 3)(embedded, embedded)
    return graph(inputs, layers.GlobalAveragePooling1D()(outputs), tokens(TIME))


@architecture(saves=True)
def group_query_attention():
    inputs = keras.Input((TIME, 4))
    return graph(inputs, layers.GroupQueryAttention(3, 4, 2)(inputs, inputs), numbers(TIME, 4))


@architecture
def additive_attention():
    queries, values = keras.Input((3, 4)), keras.Input((TIME, 4))
    outputs = layers.AdditiveAttention()([layers.Dense(4)(queries), values])
    return graph([queries, values], outputs, [numbers(3, 4), numbers(TIME, 4)])


@architecture(rare=True)
def scaled_attention():
    inputs = keras.Input((TIME, 4))
    outputs = layers.Attention(use_scale=True, score_mode="concat")([layers.Dense(4)(inputs), inputs])
    return graph(inputs, outputs, numbers(TIME, 4))


@registered
class Positions(layers.Layer):
    """Adds a vector of its own to each position."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=input_shape[1:], name="table")

    def call(self, inputs):
        return inputs + self.table


@registered
class Decoder(layers.Layer):
    """A block of a language model: layers of Keras and a model in it, and no `build`."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.norms = [layers.LayerNormalization(), layers.LayerNormalization()]
        self.attention = layers.MultiHeadAttention(2, units // 2, dropout=0.1)
        self.feedforward = keras.Sequential([layers.Dense(2 * units, "gelu"), layers.Dense(units), layers.Dropout(0.1)])

    def call(self, inputs, training=False):
        normed = self.norms[0](inputs)
        inputs = inputs + self.attention(normed, normed, use_causal_mask=True, training=training)
        return inputs + self.feedforward(self.norms[1](inputs), training=training)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@architecture(rare=True)
def decoder_of_blocks():
    inputs = keras.Input((TIME,), dtype="int32")
    hidden = Decoder()(Decoder()(Positions()(layers.Embedding(TOKENS, 4)(inputs))))
    return graph(inputs, layers.Dense(TOKENS)(layers.LayerNormalization()(hidden)), tokens(TIME))


@architecture
def transformer():
    inputs = keras.Input((TIME,), dtype="int32")
    x = Positions()(layers.Embedding(TOKENS, 4)(inputs))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 2, dropout=0.1)(x, x, use_causal_mask=True))
    x = layers.LayerNormalization()(x + layers.Dense(4)(layers.Dense(6, activation="relu")(x)))
    return graph(inputs, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)), tokens(TIME))


# Graphs.


@architecture(fits=True, saves=True)
def shared_layer():
    inputs, shared = keras.Input((4,)), layers.Dense(4, activation="tanh")
    return graph(inputs, layers.Dense(2)(shared(shared(inputs))), numbers(4))


@architecture
def siamese():
    one, other, shared = keras.Input((4,), name="one"), keras.Input((4,), name="other"), layers.Dense(3)
    distance = layers.Subtract()([shared(one), shared(other)])
    data = {"one": numbers(4), "other": numbers(4, seed=3)}
    return graph({"one": one, "other": other}, layers.Dense(1)(distance), data)


@architecture(rare=True)
def shared_lstm():
    one, other, shared = keras.Input((TIME, 3)), keras.Input((2, 3)), layers.LSTM(2)
    return graph([one, other], shared(one) * shared(other), [numbers(TIME, 3), numbers(2, 3)])


@architecture
def residual():
    inputs = keras.Input((4, 4, 2))
    conv = layers.Conv2D(2, 3, padding="same", use_bias=False)(inputs)
    outputs = layers.ReLU()(layers.Add()([inputs, layers.BatchNormalization()(conv)]))
    return graph(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(outputs)), numbers(4, 4, 2))


@architecture(compiles=True, saves=True)
def outputs_in_a_dict():
    inputs = keras.Input((4,))
    hidden = layers.Dense(5, activation="tanh")(inputs)
    outputs = {"price": layers.Dense(1, name="price")(hidden), "kind": layers.Dense(2, name="kind")(hidden)}
    return graph(inputs, outputs, numbers(4))


@architecture
def outputs_in_a_list():
    inputs = [keras.Input((4,)), keras.Input((3,))]
    hidden = layers.Concatenate()([layers.Dense(3)(each) for each in inputs])
    return graph(inputs, [layers.Dense(1)(hidden), layers.Dense(2)(hidden)], [numbers(4), numbers(3)])


@architecture
def wide_and_deep():
    category, values = keras.Input((), dtype="int32", name="category"), keras.Input((3,), name="values")
    joined = layers.Concatenate()([layers.Embedding(TOKENS, 2)(category), layers.Dense(3, "relu")(values)])
    inputs = {"category": np.arange(N, dtype="int32"), "values": numbers(3)}
    return graph({"category": category, "values": values}, layers.Dense(1)(joined), inputs)


@architecture
def operations_in_the_graph():
    inputs = keras.Input((4,))
    hidden = ops.tanh(layers.Dense(4)(inputs)) * 0.5 + ops.mean(inputs, axis=-1, keepdims=True)
    return graph(inputs, ops.concatenate([layers.Dense(2)(hidden)[:, :1], hidden], axis=-1), numbers(4))


@architecture(rare=True)
def einsum_between_layers():
    inputs = keras.Input((4,))
    outputs = ops.einsum("ab,ac->abc", layers.Dense(2)(inputs), layers.Dense(3)(inputs))
    return graph(inputs, ops.reshape(outputs, (-1, 6)), numbers(4))


@architecture(rare=True)
def output_of_a_hidden_layer():
    inputs = keras.Input((4,))
    hidden = layers.Dense(3)(inputs)
    return graph(inputs, [hidden, layers.Dense(1)(hidden)], numbers(4))


# A lambda that is loaded knows no `ops`.
@architecture(can_be_saved=False)
def functions_in_lambdas():
    inside = [layers.Lambda(lambda x: ops.tanh(x) + 1), layers.TimeDistributed(layers.Lambda(lambda x: ops.relu(x)))]
    return sequences(layers.Dense(4), *inside, layers.Dense(2))


# Models in models.


@architecture(saves=True)
def functional_in_sequential_in_functional():
    innermost_inputs = keras.Input((4,))
    innermost = keras.Model(innermost_inputs, layers.Dense(3)(innermost_inputs) * 2.0)
    middle = keras.Sequential([keras.Input((4,)), layers.Dense(4, "tanh"), innermost])
    inputs = keras.Input((4,))
    return graph(inputs, layers.Dense(2)(middle(inputs)), numbers(4))


@architecture(saves=True)
def shared_nested_model():
    encoder = keras.Sequential([keras.Input((4,)), layers.Dense(3, "tanh"), layers.BatchNormalization()])
    one, other = keras.Input((4,)), keras.Input((4,))
    outputs = layers.Dense(1)(layers.Concatenate()([encoder(one), encoder(other)]))
    return graph([one, other], outputs, [numbers(4), numbers(4, seed=2)])


@architecture
def sequential_in_sequential():
    inside = keras.Sequential([layers.Dense(3, "tanh"), layers.Dense(3)])
    return chain((4,), inside, layers.Dense(2))


@architecture(rare=True)
def sequential_without_input():
    return with_data(keras.Sequential([layers.Dense(3, "tanh"), layers.Dense(2)]), numbers(4))


@architecture(can_be_saved=False)
def layer_shared_by_a_model_and_its_part():
    shared = layers.Dense(4, "tanh", name="shared")
    part_inputs, inputs = keras.Input((4,)), keras.Input((4,))
    part = keras.Model(part_inputs, layers.Dense(4)(shared(part_inputs)))
    return graph(inputs, part(inputs) + shared(inputs), numbers(4))


# Subclassed models.


@registered
class WithoutArguments(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(4, activation="tanh")
        self.head = layers.Dense(2)

    def call(self, inputs):
        return self.head(self.hidden(inputs))


@architecture(fits=True, saves=True)
def subclassed_without_arguments():
    return with_data(WithoutArguments(), numbers(4))


@registered
class WithArguments(keras.Model):
    def __init__(self, units, activation="tanh", **kwargs):
        super().__init__(**kwargs)
        self.units, self.activation = units, activation
        self.hidden = layers.Dense(units, activation=activation)
        self.dropout = layers.Dropout(0.1)
        self.head = layers.Dense(2)

    def call(self, inputs, training=False):
        return self.head(self.dropout(self.hidden(inputs), training=training))

    def get_config(self):
        return {**super().get_config(), "units": self.units, "activation": self.activation}


@architecture(saves=True)
def subclassed_with_arguments():
    return with_data(WithArguments(5, activation="relu", name="mine"), numbers(4))


@registered
class InContainers(keras.Model):
    def __init__(self, depth=2, **kwargs):
        super().__init__(**kwargs)
        self.depth = depth
        self.stack = [layers.Dense(4, activation="tanh") for _ in range(depth)]
        self.pair = (layers.Dense(3), layers.LayerNormalization())
        self.heads = {"mean": layers.Dense(1), "log_scale": layers.Dense(1)}

    def call(self, inputs):
        for layer in self.stack:
            inputs = layer(inputs)
        for layer in self.pair:
            inputs = layer(inputs)
        return {name: head(inputs) for name, head in self.heads.items()}

    def get_config(self):
        return {**super().get_config(), "depth": self.depth}


@architecture(saves=True)
def subclassed_with_layers_in_containers():
    return with_data(InContainers(depth=3), numbers(4))


@registered
class OfModels(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.encoder = WithArguments(3)
        self.decoder = keras.Sequential([layers.Dense(4, "tanh"), layers.Dense(2)])

    def call(self, inputs):
        return self.decoder(self.encoder(inputs))


@architecture(saves=True)
def subclassed_of_subclassed():
    return with_data(OfModels(), numbers(4))


@registered
class MadeInBuild(keras.Model):
    def build(self, input_shape):
        self.head = layers.Dense(input_shape[-1], activation="tanh")
        self.head.build(input_shape)
        self.built = True

    def call(self, inputs):
        return self.head(inputs) + inputs


@architecture(saves=True)
def subclassed_with_layers_made_in_build():
    return with_data(MadeInBuild(), numbers(4))


@registered
class OwnStep(keras.Model):
    """Trains with a step of its own: on JAX a `train_step` is a function of the state, here it only prepares data."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.head = layers.Dense(2)

    def call(self, inputs):
        return self.head(inputs)

    def train_step(self, *args):
        *state, data = args
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        return super().train_step(*state, (x, y))


@architecture(compiles=True, saves=True)
def subclassed_with_its_own_train_step():
    return with_data(OwnStep(), numbers(4))


@registered
class TwoInputs(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.of_numbers, self.of_tokens = layers.Dense(3), layers.Embedding(TOKENS, 3)

    def call(self, inputs):
        return self.of_numbers(inputs["numbers"]) + self.of_tokens(inputs["token"])


@architecture
def subclassed_with_several_inputs():
    return with_data(TwoInputs(), {"numbers": numbers(4), "token": np.arange(N, dtype="int32")})


@registered
class SharedInside(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(4, activation="tanh")
        self.all = [self.first, layers.Dense(4)]

    def call(self, inputs):
        return self.all[1](self.all[0](self.first(inputs)))


@architecture
def subclassed_with_a_layer_in_two_places():
    return with_data(SharedInside(), numbers(4))


@registered
class Recurrent(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.embedding = layers.Embedding(TOKENS, 3, mask_zero=True)
        self.both = layers.Bidirectional(layers.GRU(2))
        self.head = layers.Dense(1)

    def call(self, inputs):
        return self.head(self.both(self.embedding(inputs)))


@architecture(rare=True)
def subclassed_with_a_bidirectional_layer():
    return with_data(Recurrent(), tokens(TIME))


@architecture
def subclassed_in_functional():
    inputs = keras.Input((4,))
    return graph(inputs, layers.Dense(1)(WithArguments(3)(inputs)), numbers(4))


@registered
class Functional(keras.Model):
    """A subclass that is made as a graph, with a method of its own."""

    def __init__(self, units=3, **kwargs):
        inputs = keras.Input((4,))
        super().__init__(inputs=inputs, outputs=layers.Dense(units)(layers.Dense(4, "tanh")(inputs)), **kwargs)
        self.units = units

    def doubled(self, inputs):
        return 2 * self(inputs)

    def get_config(self):
        return {"units": self.units, "name": self.name}


@architecture
def subclassed_as_a_graph():
    return with_data(Functional(units=2), numbers(4))


@registered
class WithMaps(keras.Model):
    """Makes its own graph, knows layers in it by attributes, and has another model of these; trains in its own way."""

    def __init__(self, units=3, **kwargs):
        inputs, conv, block = keras.Input((4, 4, 2)), layers.Conv2D(3, 2, activation="relu"), Block(3)
        maps = conv(conv.activation(conv(layers.ZeroPadding2D(((0, 1), (0, 1)))(layers.Conv2D(3, 1)(inputs)))))
        head = layers.Dense(units)
        super().__init__(inputs=inputs, outputs=head(block(layers.GlobalAveragePooling2D()(maps))), **kwargs)
        self.units, self.conv, self.heads = units, conv, [head]
        self.maps = keras.Model(inputs, maps)
        self.tracker, self.num_steps = keras.metrics.Mean(name="mine"), 0

    def train_step(self, *args):
        self.num_steps += 1
        return super().train_step(*args)

    def get_config(self):
        return {"units": self.units, "name": self.name}


@architecture(compiles=True, saves=True)
def subclassed_as_a_graph_of_shared_layers():
    return with_data(WithMaps(units=2), numbers(4, 4, 2))


@registered
class OwnSequential(keras.Sequential):
    def __init__(self, units=3, **kwargs):
        super().__init__([keras.Input((4,)), layers.Dense(units, "tanh"), layers.Dense(2)], **kwargs)
        self.units = units

    def get_config(self):
        return {"units": self.units, "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@architecture
def sequential_that_makes_its_layers():
    return with_data(OwnSequential(units=4), numbers(4))


@registered
class MoreMethods(keras.Sequential):
    def doubled(self, inputs):
        return 2 * self(inputs)


@architecture
def sequential_with_methods():
    return with_data(MoreMethods([keras.Input((4,)), layers.Dense(3), layers.Dense(2)]), numbers(4))


@architecture
def own_graph_in_functional():
    inputs = keras.Input((4,))
    return graph(inputs, layers.Dense(1)(Functional(3)(inputs)), numbers(4))


@registered
class Siamese(keras.Model):
    """Takes a model for an argument, and has it in its config."""

    def __init__(self, encoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder

    def call(self, inputs):
        one, other = (self.encoder(each) for each in inputs)
        return ops.abs(one - other)

    def get_config(self):
        return {**super().get_config(), "encoder": keras.saving.serialize_keras_object(self.encoder)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("encoder")), **config)


@architecture(saves=True)
def subclassed_with_a_model_for_an_argument():
    encoder = keras.Sequential([keras.Input((4,)), layers.Dense(4, "tanh"), layers.Dense(3)])
    return with_data(Siamese(encoder), [numbers(4), numbers(4, seed=4)])


@registered
class WithoutConfig(keras.Model):
    """Has no `get_config`, and Keras, of models, knows the defaults alone."""

    def __init__(self, units=3, factor=1.0):
        super().__init__()
        self.units, self.factor = units, factor
        self.hidden, self.head = layers.Dense(units, activation="tanh"), layers.Dense(2)

    def call(self, inputs):
        return self.factor * self.head(self.hidden(inputs))


@architecture
def subclassed_without_a_config():
    return with_data(WithoutConfig(5, factor=2.0), numbers(4))


class NotRegistered(keras.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.block = units, Block(units)

    def call(self, inputs):
        return self.block(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@architecture
def subclassed_and_not_registered():
    return with_data(NotRegistered(2), numbers(4))


# Users' own layers.


@registered
class OwnWeights(layers.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.matrix = self.add_weight(shape=(input_shape[-1], self.units), name="matrix")
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")

    def call(self, inputs):
        return ops.sin(inputs @ self.matrix + self.bias)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@architecture(fits=True, saves=True)
def own_weights():
    return chain((4,), OwnWeights(4), layers.Dense(2))


class Block(layers.Layer):
    """A layer of layers without a `build`, not registered."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.up, self.down = layers.Dense(units, activation="relu"), layers.Dense(units)

    def call(self, inputs):
        return self.down(self.up(inputs))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@architecture(saves=True)
def own_composite_without_build():
    return chain((4,), Block(4), Block(2))


@registered
class Gated(layers.Layer):
    """A layer with weights of its own and with layers inside."""

    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inside, self.normalization = layers.Dense(units), layers.LayerNormalization()

    def build(self, input_shape):
        self.inside.build(input_shape)
        self.normalization.build((*input_shape[:-1], self.units))
        self.gate = self.add_weight(shape=(input_shape[-1], self.units), name="gate")

    def call(self, inputs):
        return self.normalization(self.inside(inputs)) * ops.sigmoid(inputs @ self.gate)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@architecture(saves=True)
def own_composite_with_own_weights():
    return chain((4,), Gated(3), layers.Dense(1))


@architecture
def activity_regularizers():
    return chain((4,), layers.Dense(3, activity_regularizer="l2"), OwnWeights(2, activity_regularizer="l1"))


@registered
class Penalized(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inside = layers.Dense(3)

    def build(self, input_shape):
        self.inside.build(input_shape)
        self.matrix = self.add_weight(shape=(3, 3), name="matrix")

    def call(self, inputs):
        outputs = self.inside(inputs) @ self.matrix
        self.add_loss(1e-3 * ops.mean(ops.square(outputs)))
        return outputs


@architecture(saves=True)
def own_losses():
    return chain((4,), Penalized(), layers.Dense(1))


@registered
class Film(layers.Layer):
    """Takes a second input by its name, and a number."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.shift = layers.Dense(4)

    def build(self, inputs_shape, condition_shape):
        self.shift.build(condition_shape)
        self.scale = self.add_weight(shape=(condition_shape[-1], inputs_shape[-1]), name="scale")

    def call(self, inputs, condition, strength=1.0):
        return inputs * (condition @ self.scale) * strength + self.shift(condition)


@architecture(saves=True)
def own_layer_with_several_arguments():
    inputs, condition = keras.Input((4,)), keras.Input((3,))
    return graph([inputs, condition], Film()(inputs, condition=condition, strength=0.5), [numbers(4), numbers(3)])


@registered
class Doubled(layers.Dense):
    """Extends a layer of Keras."""

    def call(self, inputs):
        return 2 * super().call(inputs)


@architecture(saves=True)
def own_subclass_of_dense():
    return chain((4,), Doubled(3), layers.Dense(1))


@registered
class Cell(layers.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, self.units), name="recurrent")

    def call(self, inputs, states):
        state = ops.tanh(inputs @ self.kernel + states[0] @ self.recurrent)
        return state, [state]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@architecture(saves=True)
def rnn_of_an_own_cell():
    return sequences(layers.RNN(Cell(3)), layers.Dense(1))


@architecture(saves=True)
def bidirectional_rnn_of_a_cell():
    return sequences(layers.Bidirectional(layers.RNN(layers.LSTMCell(3), return_sequences=True)), layers.Dense(1))


@registered
class Residual(layers.Wrapper):
    """A wrapper of a user's."""

    def call(self, inputs):
        return inputs + self.layer(inputs)


@architecture(saves=True)
def own_wrapper():
    return chain((4,), Residual(layers.Dense(4)), layers.Dense(1))


@registered
class Noisy(layers.Layer):
    """Has a state that training moves, and a seed."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dropout = layers.Dropout(0.1)
        self.normalization = layers.BatchNormalization()
        self.first, self.second = layers.Dense(4), layers.Dense(4)

    def call(self, inputs, training=False):
        hidden = self.normalization(self.first(inputs), training=training)
        return self.second(self.dropout(hidden, training=training))


@architecture
def own_composite_with_normalization():
    return chain((4,), Noisy(), layers.Dense(1))


# What stays as it is.


@architecture(fits=True, saves=True)
def batch_normalization():
    return chain((4,), layers.Dense(4), layers.BatchNormalization(), layers.ReLU(), layers.Dense(2))


@architecture
def other_normalizations():
    normalizations = [layers.GroupNormalization(2), layers.RMSNormalization(), layers.LayerNormalization()]
    return chain((4,), layers.Dense(4), *normalizations, layers.PReLU(), layers.UnitNormalization(), layers.Dense(2))


@architecture
def spectral_normalization():
    return chain((4,), layers.SpectralNormalization(layers.Dense(4)), layers.Dense(2))


@architecture
def dropouts():
    noise = [layers.Dropout(0.1), layers.GaussianNoise(0.1), layers.GaussianDropout(0.1), layers.AlphaDropout(0.1)]
    return chain((4, 4), layers.Dense(4), *noise, layers.SpatialDropout1D(0.1), layers.Dense(2))


@architecture(rare=True)
def frozen_layer():
    return chain((4,), layers.Dense(4, "tanh", trainable=False), layers.Dense(2))


@architecture(saves=True)
def frozen_nested_model():
    backbone = keras.Sequential([keras.Input((4,)), layers.Dense(4, "tanh"), layers.BatchNormalization()])
    backbone.trainable = False
    return chain((4,), backbone, layers.Dense(2))


@architecture(saves=True)
def frozen_inside_of_an_own_composite():
    block = Block(4)
    block.up.trainable = False
    return chain((4,), block, layers.Dense(1))


@architecture
def frozen_inside_of_a_subclassed_model():
    model = WithoutArguments()
    model.hidden.trainable = False
    return with_data(model, numbers(4))


@architecture
def frozen_inside_of_an_own_layer():
    gated = Gated(3)
    gated.inside.trainable = False
    return chain((4,), gated, layers.Dense(1))


@registered
class InMany(layers.Layer):
    """Layers in a list, a dict, and inside of one that is inside; with or without weights of its own."""

    def __init__(self, has_weights, **kwargs):
        super().__init__(**kwargs)
        self.has_weights = has_weights
        self.listed, self.named = [layers.Dense(3), layers.Dense(3)], {"one": layers.Dense(3), "other": layers.Dense(3)}
        self.block = Block(3)

    def build(self, input_shape):
        if self.has_weights:
            self.matrix = self.add_weight(shape=(3, 3), name="matrix")

    def call(self, inputs):
        for layer in (*self.listed, *self.named.values()):
            inputs = layer(inputs)
        outputs = self.block(inputs)
        return outputs @ self.matrix if self.has_weights else outputs

    def get_config(self):
        return {**super().get_config(), "has_weights": self.has_weights}


def frozen_in_many(has_weights):
    layer = InMany(has_weights)
    model = chain((4,), layer, layers.Dense(1))
    layer.block.trainable = False
    layer.listed[1].trainable = layer.named["one"].trainable = False
    layer.block.down.trainable = True
    return model


@architecture
def frozen_in_containers():
    return frozen_in_many(has_weights=False)


@architecture(saves=True)
def frozen_in_containers_beside_own_weights():
    return frozen_in_many(has_weights=True)


@architecture
def frozen_part_of_attention():
    inputs, attention = keras.Input((TIME, 4)), layers.MultiHeadAttention(2, 3)
    model = graph(inputs, attention(inputs, inputs), numbers(TIME, 4))
    attention.query_dense.trainable = False
    return model


@architecture
def frozen_direction():
    both = layers.Bidirectional(layers.LSTM(3))
    model = sequences(both, layers.Dense(2))
    both.forward_layer.trainable = False
    return model


@architecture(saves=True)
def frozen_part_of_a_graph_of_one_s_own():
    model = WithMaps()
    model.conv.trainable = False
    return with_data(model, numbers(4, 4, 2))


@architecture
def regularizers_and_constraints():
    penalized = layers.Dense(4, kernel_regularizer="l2", bias_regularizer="l2", kernel_constraint="non_neg")
    return chain((4,), penalized, layers.Dense(2, bias_constraint="non_neg"))


@architecture(rare=True)
def regularized_lstm():
    return sequences(layers.LSTM(3, kernel_regularizer="l2", recurrent_constraint="max_norm", bias_regularizer="l2"))


@architecture(tolerance=0.03)
def mixed_precision():
    policy = "mixed_bfloat16"
    hidden, head = layers.Dense(4, "tanh", dtype=policy), layers.Dense(2, dtype="float32")
    return chain((TIME, 4), hidden, layers.LSTM(3, dtype=policy), head)


@architecture(rare=True)
def rescaled_images():
    images = np.random.default_rng(0).integers(0, 255, size=(N, 4, 4, 1)).astype("float32")
    inside = [layers.Rescaling(1 / 255), layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(2)]
    return chain((4, 4, 1), *inside, inputs=images)


@architecture(saves=True)
def normalized_inputs():
    x = 5 + 3 * numbers(4)
    normalization = layers.Normalization()
    normalization.adapt(x)
    return chain((4,), normalization, layers.Dense(2), inputs=x)


@architecture
def categories():
    return texts(layers.CategoryEncoding(TOKENS, output_mode="multi_hot"), layers.Dense(2))


if TENSORFLOW:  # JAX does not compile what looks words up.

    @architecture(rare=True)
    def integer_lookup():
        lookup = layers.IntegerLookup(vocabulary=[2, 4, 6, 8])
        return texts(lookup, layers.Embedding(6, 3), layers.Flatten(), layers.Dense(1))

    @architecture
    def adapted_lookup():
        lookup = layers.IntegerLookup()
        lookup.adapt(tokens(TIME))
        return texts(lookup, layers.Embedding(TOKENS + 1, 3), layers.Flatten(), layers.Dense(1))

    @architecture
    def string_lookup():
        import tensorflow as tf

        lookup = layers.StringLookup(vocabulary=["a", "b", "c"])
        inside = [lookup, layers.Embedding(4, 3), layers.Flatten(), layers.Dense(1)]
        words = tf.constant([["a", "b"], ["c", "d"]] * (N // 2))
        return chain((2,), *inside, inputs=words, dtype="string")


# Applications of Keras, without downloads, for the smallest images that they take.


def application(name, size, **kwargs):
    # What 8-bit images are, each model of Keras scales by itself or not at all.
    make = getattr(keras.applications, name)
    kwargs = {"include_top": False, "pooling": "avg", **kwargs}
    backbone = make(input_shape=(size, size, 3), weights=None, **kwargs)
    inputs = keras.Input((size, size, 3))
    images = np.random.default_rng(0).uniform(-1, 1, size=(2, size, size, 3)).astype("float32")
    return graph(inputs, layers.Dense(2, name="head")(backbone(inputs)), images)


@architecture(tolerance=1e-4)
def mobilenet_v2():
    return application("MobileNetV2", 32, alpha=0.35)


BIG = {"rare": True, "large": True, "tolerance": 1e-3}


@architecture(**BIG)
def mobilenet():
    return application("MobileNet", 32, alpha=0.25)


@architecture(**BIG)
def mobilenet_v3_small():
    return application("MobileNetV3Small", 32)


@architecture(**BIG)
def efficientnet_b0():
    return application("EfficientNetB0", 32)


@architecture(**BIG)
def efficientnet_v2_b0():
    return application("EfficientNetV2B0", 32)


@architecture(**BIG)
def resnet_50():
    return application("ResNet50", 32)


@architecture(**BIG)
def resnet_50_v2():
    return application("ResNet50V2", 32)


@architecture(**BIG)
def densenet_121():
    return application("DenseNet121", 32)


@architecture(**BIG)
def vgg_16():
    return application("VGG16", 32)


@architecture(**BIG)
def xception():
    return application("Xception", 71)


@architecture(**BIG)
def inception_v3():
    return application("InceptionV3", 75)


@architecture(**BIG)
def inception_resnet_v2():
    return application("InceptionResNetV2", 75)


@architecture(**BIG)
def nasnet_mobile():
    return application("NASNetMobile", 32)


@architecture(**BIG)
def convnext_tiny():
    return application("ConvNeXtTiny", 32)
