"""Canaries of the private names of Keras: each fails here first, and says what to do, if a name goes."""

import threading

import keras
import numpy as np
import pytest

from tests.support.on_backends import TENSORFLOW
from tfp_bnn import _keras
from tfp_bnn.transforms import places


def make_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_regularizer="l2")])
    model.compile("sgd", loss="mse")
    return model


class DuringFit(keras.callbacks.Callback):
    """Notes what a function says of the model when `fit` begins."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def set_model(self, model):
        super().set_model(model)
        self.found = self._function(model)


def during_fit(function, *data, **arguments):
    callback = DuringFit(function)
    make_model().fit(*data, verbose=0, callbacks=[callback], **arguments)
    return callback.found


ARRAYS = np.zeros((10, 2)), np.zeros((10, 1))


def test_fit_keeps_its_iterator_in_a_local_variable():
    """Else: `KLWeight()` must ask for `num_examples`; look in Keras's `fit` for what knows the length of the data."""
    iterator = during_fit(_keras.iterator_of_fit, *ARRAYS, batch_size=4, steps_per_epoch=2)
    adapter = iterator.data_adapter
    assert iterator.steps_per_epoch == 2
    assert (adapter.num_batches, adapter.batch_size, adapter.partial_batch_size) == (3, 4, 2)
    assert _keras.iterator_of_fit(make_model()) is None


def test_a_call_of_fit_is_seen_from_within():
    """Else: a forgotten `KLWeight` is noticed by `MissingKL` alone; find another sign of Keras's trainers."""
    assert during_fit(lambda model: _keras.is_in_fit(), *ARRAYS)
    assert not _keras.is_in_fit()
    assert not _keras.is_in_evaluation()
    seen = []

    class Layer(keras.layers.Layer):
        def call(self, inputs):
            seen.append(_keras.is_in_evaluation())
            return inputs

    model = keras.Sequential([keras.Input((2,)), Layer()])
    model.compile(loss="mse")
    seen.clear()
    model.evaluate(*ARRAYS, verbose=0)
    model.predict(ARRAYS[0], verbose=0)
    assert seen == [True] * len(seen) != []


def test_the_losses_of_a_model_can_be_replaced():
    """Else: find what `Layer.losses` of Keras's JAX trainer looks up instead of `_losses_override`."""
    model = make_model()
    (penalty,) = model.losses
    with _keras.losses_replaced(model, [keras.ops.ones(())]):
        assert [float(loss) for loss in model.losses] == [1.0]
    assert float(model.losses[0]) == float(penalty)


def test_a_model_asks_its_layers_for_their_own_losses_and_clears_them_at_each_call():
    """Else: find what `Layer.losses` asks, and what `__call__` clears; `VariationalLayer` extends both."""

    class Layer(keras.layers.Layer):
        cleared = 0

        def call(self, inputs):
            return inputs

        def _get_own_losses(self):
            return [*super()._get_own_losses(), "mine"]

        def _clear_losses(self):
            self.cleared += 1
            super()._clear_losses()

    model = keras.Sequential([keras.Input((2,)), Layer(), keras.layers.Dense(1)])
    before = model.layers[0].cleared
    model(np.ones((1, 2)))
    assert model.losses == ["mine"]
    assert model.layers[0].cleared > before
    dense = model.layers[1]
    assert [len(dense._trainable_variables), len(dense._non_trainable_variables)] == [2, 0]


def test_a_built_model_takes_another_metric():
    """Else: find where `Trainer.metrics` collects the metrics that are no compiled ones."""
    model, metric = make_model(), keras.metrics.Mean(name="another")
    _keras.add_metric(model, metric)
    assert metric in model.metrics
    assert {id(variable) for variable in metric.variables} <= {id(variable) for variable in model.metrics_variables}


def test_early_stopping_asks_lists_of_metrics_for_their_direction():
    """Else: see `_set_monitor_op` of Keras's `MonitorCallback` for what it asks; ours are such lists."""

    class Named(_keras.MetricsList):
        def __init__(self):
            keras.metrics.Metric.__init__(self, name="named")

        metrics = (type("Metric", (), {"name": "mine", "_direction": "up"}),)
        result = dict
        reset_state = update_state = lambda self, *args: None

    model, stop = make_model(), keras.callbacks.EarlyStopping("val_mine")
    _keras.add_metric(model, Named())
    stop.set_model(model)
    stop._set_monitor_op()
    assert stop.monitor_op is keras.ops.greater


def test_a_function_becomes_a_loss_as_in_compile():
    """Else: see what `compile` makes of a function; `observations` asks it for the shape of its values."""
    loss = _keras.LossFunctionWrapper(lambda y, outputs: (outputs - y) ** 2)
    assert tuple(loss.call(keras.ops.ones((3,)), keras.ops.zeros((3, 1))).shape) == (3, 1)


def test_masks_travel_with_tensors():
    """Else: see how `keras.losses.Loss` finds the mask of outputs."""
    masked = keras.layers.Masking()(np.array([[[1.0], [0.0]]], "float32"))
    assert keras.ops.convert_to_numpy(_keras.mask_of(masked)).tolist() == [[True, False]]
    assert _keras.mask_of(keras.ops.ones((2, 2))) is None


def test_an_unsaved_variable_is_state_and_no_weight():
    """Else: Keras treats seed generators otherwise; find state that its trainers carry along and that is no weight."""
    layer = keras.layers.Dense(1)
    layer.state_of_mine = _keras.UnsavedVariable(0.5, "mine")
    layer.build((None, 2))
    assert any(variable is layer.state_of_mine.state for variable in layer.non_trainable_variables)
    assert not any(variable is layer.state_of_mine.state for variable in layer.weights)
    assert float(layer.state_of_mine.state.value) == 0.5


def test_symbolic_calls_are_known():
    """Else: `MissingKL` stands among the losses of a model that was only built; find another sign."""
    seen = []

    class Layer(keras.layers.Layer):
        def call(self, inputs):
            seen.append(_keras.in_symbolic_scope())
            return inputs

    layer = Layer()
    layer(keras.Input((2,)))
    layer(np.ones((1, 2)))
    assert seen == [True, False]


@pytest.mark.skipif(not TENSORFLOW, reason="tf.data is the same on both backends")
def test_a_pipeline_knows_what_it_batches():
    """Else: `KLWeight()` takes full batches for the number of examples until the first epoch has ended."""
    import tensorflow as tf

    def count(dataset):
        return _keras.cardinality_before_batching(_keras.TFDatasetAdapter(dataset))

    examples = tf.data.Dataset.range(10)
    assert count(examples.batch(4).prefetch(1)) == 10
    assert count(examples.shuffle(5).batch(4, drop_remainder=True).map(lambda x: x)) == 8
    assert count(examples.batch(4).repeat(3)) is None
    assert count(examples) is None


def test_a_replica_contributes_its_share_of_other_losses():
    """Else: see how Keras's `compute_loss` adds `model.losses` up."""
    assert float(_keras.share_of_replica(make_model(), keras.ops.full((), 3.0))) == 3.0


def test_keras_notes_the_logits_behind_a_softmax_and_a_sigmoid():
    """If this fails, find how `keras.losses` of today see through a softmax head, and read that in `logits_behind`."""
    x = keras.ops.convert_to_tensor(np.array([[1.0, 2.0]], "float32"))
    for activation in (keras.activations.softmax, keras.activations.sigmoid):
        np.testing.assert_array_equal(_keras.logits_behind(activation(x)), x)
    assert _keras.logits_behind(x) is None


def test_a_symbolic_tensor_knows_the_operation_that_made_it():
    """If this fails, see how `keras.Model` finds its layers from its outputs, and mend `operation_behind`."""
    dense, inputs = keras.layers.Dense(2), keras.Input((3,))
    for _ in range(2):
        outputs = dense(inputs)
        assert _keras.operation_behind(outputs) == (dense, 0)
        assert _keras.inputs_of(outputs) == [inputs]
    assert _keras.operation_behind(np.zeros(2)) is None


def test_flatten_layers_has_nested_layers_once():
    # If it goes: walk `layer._layers`, or what stands for it, in `_keras.flatten_layers`.
    shared = keras.layers.Dense(2)
    inner = keras.Sequential([keras.Input((2,)), shared, shared.__class__(2)])
    model = keras.Sequential([keras.Input((2,)), inner, keras.layers.ReLU()])
    layers = _keras.flatten_layers(model)
    assert layers[0] is model
    assert len({id(layer) for layer in layers}) == len(layers)
    assert shared in layers


def test_each_compile_leaves_a_mark():
    # If it goes: take the identity of another object that each `compile` makes, such as `model.metrics[0]`.
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    assert _keras.last_compile(model) is None
    model.compile("sgd", "mse")
    first = _keras.last_compile(model)
    assert first is not None
    assert _keras.last_compile(model) is first
    model.compile(model.optimizer, model.loss)
    assert _keras.last_compile(model) is not first


def test_a_keras_variable_holds_the_backend_s_variable():
    """If `_value` goes: find what a `tf.GradientTape` watches when the variable is read, and return that."""
    variable = keras.Variable(2.0)
    assert float(_keras.backend_variable(variable)) == 2.0
    if TENSORFLOW:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            keras.ops.square(variable)
        assert [id(watched) for watched in tape.watched_variables()] == [id(_keras.backend_variable(variable))]


def nested_layers():
    inner = keras.layers.Dense(2)
    outer = keras.Sequential([keras.Input((3,)), inner, keras.layers.Dropout(0.5, seed=1)])
    return outer, inner


def test_a_layer_knows_its_own_variables_from_those_of_layers_inside():
    """Else: `layers.Bayesian` and copies of models find what a layer holds by walking its attributes."""
    outer, inner = nested_layers()
    assert [variable.name for variable in _keras.own_trainable_variables(inner)] == ["kernel", "bias"]
    assert _keras.own_trainable_variables(outer) == []
    inner.trainable = False
    assert len(_keras.own_trainable_variables(inner)) == 2
    norm = keras.layers.BatchNormalization()
    norm.build((None, 2))
    assert [each.name for each in _keras.own_variables(norm)] == ["gamma", "beta", "moving_mean", "moving_variance"]
    assert inner in _keras.sublayers(outer)
    assert inner in _keras.flatten_layers(outer)


def test_a_layer_keeps_its_seed_generators():
    """Else: a copy of a model starts its dropout anew."""
    outer, _ = nested_layers()
    (state,) = _keras.seed_states(outer)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(state), [1, 0])


def test_a_layer_inside_is_replaced_in_its_place():
    """Else: `to_bayesian` cannot convert subclassed models; see what Keras's quantization does to layers inside."""

    class Holder(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(2), keras.layers.Dense(2)
            self.pair = [self.first, self.second]

        def build(self, input_shape):
            self.first.build(input_shape)
            self.second.build(input_shape)

    holder, new = Holder(), keras.layers.Dense(2)
    holder.build((None, 2))
    _keras.replace_layer(holder, holder.first, new)
    holder.first = new
    assert _keras.sublayers(holder) == [new, holder.second]
    stores = [name for name, value in vars(holder).items() if value is holder._layers or value is holder._tracker]
    assert set(stores) <= set(_keras.STORES_OF_LAYER)


def test_keras_says_which_models_are_graphs():
    """Else: models are told apart by whether `keras.models.clone_model` takes a `clone_function` for them."""
    outer, _ = nested_layers()
    inputs = keras.Input((3,))
    assert _keras.is_functional(outer)
    assert _keras.is_functional(keras.Model(inputs, outer(inputs)))
    assert not _keras.is_functional(keras.Model())


def test_variables_are_read_in_full_precision():
    """Else: under mixed precision, means of a layer inside are rounded before the KL divergence is computed."""
    layer = keras.layers.Dense(1, dtype="mixed_bfloat16", bias_initializer=keras.initializers.Constant(1 / 3))
    seen = []

    class Reader(keras.layers.Layer):
        def call(self, inputs):
            with _keras.full_precision():
                seen.append(keras.backend.standardize_dtype(layer.bias.value.dtype))
            seen.append(keras.backend.standardize_dtype(layer.bias.value.dtype))
            return inputs

    layer.build((None, 1))
    Reader(dtype="mixed_bfloat16")(np.ones((1, 1), "float32"))
    assert seen == ["float32", "bfloat16"]


def test_a_layer_forgets_calls_in_a_graph():
    """If `_inbound_nodes` goes: see how `Functional.from_config` finds the call of a layer of a saved graph."""
    dense = keras.layers.Dense(2)
    inputs = keras.Input((3,))
    with _keras.calls_forgotten(dense):
        dense(keras.Input((3,)))
    kept = dense(inputs)
    loaded = keras.Model.from_config(keras.Model(inputs, kept).get_config())
    assert loaded.output_shape == (None, 2)
    assert _keras.operation_behind(kept) == (dense, 0)
    assert len(dense._inbound_nodes) == 1


def test_layers_are_found_where_users_put_them():
    """If it finds more: add the attributes that hold what Keras has found to `STORES_OF_LAYER`."""
    model = keras.Model()
    model.head, model.others = keras.layers.Dense(2), [keras.layers.Dense(3)]
    assert [path for path, _ in places.paths_of_layers(model)] == [("head",), ("others", 0)]


def test_a_compiled_model_knows_the_weights_of_its_losses():
    """Else: `evaluate` of several outputs adds their nll up unweighted; keep what `compile` was given."""
    entry = keras.Input((2,))
    model = keras.Model(entry, [keras.layers.Dense(1)(entry), keras.layers.Dense(1)(entry)])
    assert _keras.loss_weights(model) is None
    model.compile("sgd", ["mse", "mse"], loss_weights=[1.0, 0.5])
    assert _keras.loss_weights(model) == [1.0, 0.5]


def test_the_values_of_a_model_in_training_are_those_of_its_last_step():
    """Else: on JAX a thread beside training gets an error; find where Keras's trainer keeps its state."""
    model = make_model()
    assert _keras.values_in_training(model) == {}
    found = []

    def look(batch, logs):
        held = {key: np.asarray(value) for key, value in _keras.values_in_training(model).items()}
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        found.append((held, {id(variable): np.asarray(variable.value) for variable in model.trainable_variables}))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    model.fit(*ARRAYS, batch_size=10, verbose=0, callbacks=[callback])
    (held, after), *_ = found
    if TENSORFLOW:
        assert held == {}
    else:
        assert all((held[key] == value).all() for key, value in after.items())
    assert _keras.values_in_training(model) == {}


def test_a_call_of_fit_in_another_thread_is_seen():
    """Else: a thread that predicts before the first step of another's `fit` on JAX gets an error, and does not wait."""
    model, seen = make_model(), []

    def look(batch, logs):
        thread = threading.Thread(target=lambda: seen.append(_keras.is_in_fit_elsewhere(model)))
        thread.start()
        thread.join()
        seen.append(_keras.is_in_fit_elsewhere(model))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=look)
    model.fit(*ARRAYS, batch_size=10, verbose=0, callbacks=[callback])
    assert seen == [True, False]


def test_a_model_says_how_its_inputs_are_called():
    """Else: exports need it; `model.input` and `keras.InputSpec` of a functional model say the same."""
    entries = {"left": keras.Input((2,), name="left"), "right": keras.Input((3, 1), name="right", dtype="int32")}
    model = keras.Model(entries, keras.layers.Dense(1)(entries["left"]))
    (signature,) = _keras.input_signature(model)
    assert {name: (spec.shape, spec.dtype) for name, spec in signature.items()} == {
        "left": ((None, 2), "float32"),
        "right": ((None, 3, 1), "int32"),
    }


def test_keras_says_which_classes_make_their_own_graph():
    """Else: `to_bayesian` makes plain models of them; see how `clone_model` decides which class a clone is of."""

    class Graph(keras.Model):
        def __init__(self):
            inputs = keras.Input((2,))
            super().__init__(inputs, keras.layers.Dense(2)(inputs))

    class Sequential(keras.Sequential):
        def __init__(self):
            super().__init__([keras.layers.Dense(2)])

    inputs = keras.Input((3,))
    assert _keras.makes_its_own_graph(Graph())
    assert _keras.makes_its_own_graph(Sequential())
    assert not _keras.makes_its_own_graph(keras.Model(inputs, keras.layers.Dense(2)(inputs)))
    assert not _keras.makes_its_own_graph(keras.Sequential([keras.layers.Dense(2)]))


def test_a_graph_runs_another_layer_in_the_calls_of_one():
    """Else: see what `keras.Function` keeps of its nodes, and how a symbolic tensor knows the layer that made it."""
    inputs, before, after = keras.Input((2,)), keras.layers.Dense(2), keras.layers.Dense(2)
    hidden = before(inputs)
    whole = keras.Model(inputs, keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])(before(hidden)))
    whole.part = keras.Model(inputs, hidden)
    x = np.ones((1, 2), "float32")
    after.build((None, 2))
    assert _keras.first_call(before) == ((inputs,), {})
    _keras.replace_in_graphs(whole, before, after)
    assert before not in _keras.flatten_layers(whole)
    np.testing.assert_allclose(whole.part(x), after(x))
    np.testing.assert_allclose(whole(x), whole.layers[-1](after(after(x))), rtol=1e-5)
    assert _keras.operation_behind(hidden) == (after, 0)
    # It can be saved: its config names the calls by their layers.
    assert keras.Model.from_config(whole.get_config()).count_params() == whole.count_params()


def test_a_layer_says_alone_whether_it_is_trained():
    """Else: in a copy of a frozen model whose head is not, nothing is trained."""
    outer, inner = nested_layers()
    _keras.set_trainable_alone(outer, False)
    assert not outer.trainable
    assert inner.trainable


def test_a_lambda_is_copied_with_its_function():
    """Else: a copy of a model with a `Lambda` raises; see how Keras saves one."""
    layer = keras.layers.Lambda(lambda x: np.float32(2) * x, output_shape=(2,))
    with _keras.functions_trusted():
        copy = keras.layers.Lambda.from_config(layer.get_config())
    _keras.copy_functions(layer, copy)
    assert copy.function is layer.function
    assert copy.compute_output_shape((1, 2)) == (1, 2)


def test_a_model_knows_what_it_was_compiled_with():
    """Else: copies of models that are compiled with lambdas are not compiled."""
    model, loss = make_model(), lambda y, outputs: outputs
    model.compile("sgd", loss)
    assert _keras.arguments_of_compile(model)["loss"] is loss
    with _keras.uncompiled(model):
        assert not keras.models.clone_model(model).compiled
    assert model.compiled

    class Own(keras.Sequential):
        def compile(self, *args, **kwargs):
            super().compile(*args, **kwargs)

    own = Own([keras.Input((2,)), keras.layers.Dense(1)])
    own.compile("sgd", "mse")
    assert _keras.arguments_of_compile(own) is None


def test_an_optimizer_keeps_variables_and_names_from_weight_decay():
    """Else: look in Keras's `_use_weight_decay` for what `exclude_from_weight_decay` sets."""
    optimizer, copy = keras.optimizers.AdamW(), keras.optimizers.AdamW()
    variables = [keras.Variable(np.zeros(1), name=name) for name in ("kernel", "bias", "scale")]
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(variables)
    assert optimizer._use_weight_decay(variables[2])
    _keras.keep_from_weight_decay(optimizer, variables[2:])
    _keras.copy_names_kept_from_weight_decay(optimizer, copy)
    assert [optimizer._use_weight_decay(each) for each in variables] == [True, False, False]
    assert [copy._use_weight_decay(each) for each in variables] == [True, False, True]
