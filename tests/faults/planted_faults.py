"""Plants faults in copies of the package, one at a time, and demands that each turns a test red.

Run by hand, from the repository: `python -m tests.faults.planted_faults`. It takes some minutes. The tests that a fault
is planted for must be green without it. What found each fault goes to docs/results/planted_faults.json; the exit status
is 1 if a fault was missed. pytest itself only checks, in `test_planted_faults.py`, that all can still be planted.
"""

import argparse
import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.faults.fault import ROOT, Fault, contract, geometry, in_file
from tests.faults.forked_pytest import Result, run_pytest
from tests.faults.outside_layers import OUTSIDE_LAYERS

RESULTS = ROOT / "docs" / "results" / "planted_faults.json"
COPIED = ("tfp_bnn", "scripts", "tests", "pyproject.toml")
# The planted fault might let a test run for ever.
LIMIT_SECONDS = 900
ALL_PASSED, SOME_FAILED = 0, 1


NOISE = (
    Fault(
        "signs from a uniform distribution on [-1, 1]",
        "_numerics/noise.py",
        "return sign / keras.ops.square(sign)",
        "return 1 - 2 * keras.random.uniform(keras.ops.shape(sign), seed=1)",
        (geometry("Dense-flipout-matrix", "check_moments"),),
    ),
    Fault(
        "noise of 8 bits",
        "_numerics/noise.py",
        "return standard_normals(random_bits(key, size))",
        "return standard_normals(random_bits(key, size) & keras.ops.convert_to_tensor(0xFF000001, 'uint32'))",
        in_file("noise", "test_normals_have_the_moments_of_the_standard_normal"),
    ),
    Fault(
        "the same seed at each call",
        "layers/base.py",
        "_backend.of_replica(self.seed_generator.next())",
        "_backend.of_replica(self.seed_generator.state.value)",
        (contract("Dense-reparameterization-matrix", "check_seeds"),),
    ),
    Fault(
        "seed state not restored",
        "layers/base.py",
        "self.seed_generator.state.assign(store[_SEED_STATE])",
        "store[_SEED_STATE]",
        (contract("Dense-reparameterization-matrix", "check_seeds"),),
    ),
)

ESTIMATORS = (
    Fault(
        "one sign for the whole batch in dense Flipout",
        "layers/linear.py",
        "batch = keras.ops.shape(inputs)[0]\n\n        def shape",
        "batch = 1\n\n        def shape",
        (geometry("Dense-flipout-matrix", "check_noise_within_a_batch"),),
    ),
    Fault(
        "one sign for the whole batch in Flipout by an equation",
        "layers/einsum_dense.py",
        "batch = keras.ops.shape(x)[0]",
        "batch = 1",
        (geometry("EinsumDense-flipout-positions", "check_noise_within_a_batch"),),
    ),
    Fault(
        "a sign of its own for each position in convolutional Flipout",
        "layers/linear.py",
        "SignShapes(shape(inputs.shape[axis]), ",
        "SignShapes(keras.ops.shape(inputs), ",
        (geometry("Conv2D-flipout-valid", "check_noise_within_an_example"),),
    ),
    Fault(
        "Flipout's signs on the mean too",
        "estimators.py",
        "return linear(inputs, mean), linear(flipped, perturbation)",
        "return linear(flipped, mean), linear(flipped, perturbation)",
        (geometry("Dense-flipout-matrix", "check_moments"),),
    ),
    Fault(
        "Flipout's signs on the mean instead of the perturbation, for inputs of one channel",
        "estimators.py",
        "keras.ops.concatenate([mean, perturbation], axis=linear.output_axis)",
        "keras.ops.concatenate([perturbation, mean], axis=linear.output_axis)",
        (geometry("Conv2D-flipout-strides", "check_moments"),),
    ),
    Fault(
        "Flipout's output signs forgotten",
        "estimators.py",
        "outputs = mean + noisy * noise.signs(shapes.outputs, dtype)",
        "outputs = mean + noisy",
        in_file("estimators", "test_flipout_flips_each_channel_of_the_inputs_and_of_the_outputs"),
    ),
    Fault(
        "Flipout's input signs forgotten",
        "estimators.py",
        "flipped = inputs * noise.signs(shapes.inputs, keras.backend.standardize_dtype(inputs.dtype))",
        "flipped = inputs",
        in_file("estimators", "test_flipout_flips_each_channel_of_the_inputs_and_of_the_outputs"),
    ),
    Fault(
        "Flipout's bias noise shared across the batch",
        "estimators.py",
        "_along(draw.value, shape) * signs",
        "_along(draw.value, shape) * signs[:1]",
        (geometry("Dense-flipout-matrix", "check_noise_within_a_batch"),),
    ),
    Fault(
        "noise shared across the batch in local reparameterization",
        "estimators.py",
        "eps = noise.normal(ops.shape(mean),",
        "eps = noise.normal((1, *ops.shape(mean)[1:]),",
        (geometry("Dense-local_reparameterization-matrix", "check_noise_within_a_batch"),),
    ),
    Fault(
        "bias noise shared across the batch in local reparameterization",
        "estimators.py",
        "eps = noise.normal(shape, keras",
        "eps = noise.normal((1, *shape[1:]), keras",
        (geometry("Dense-local_reparameterization-matrix", "check_noise_within_a_batch"),),
    ),
    Fault(
        "one noise for all units in local reparameterization",
        "estimators.py",
        "eps = noise.normal(ops.shape(mean),",
        "eps = noise.normal((*ops.shape(mean)[:-1], 1),",
        (geometry("Dense-local_reparameterization-matrix", "check_noise_within_an_example"),),
    ),
    Fault(
        "one noise for all units of a kernel",
        "posteriors.py",
        "eps = noise.normal(self.mean.shape, keras.backend.standardize_dtype(self.mean.dtype))",
        "shape = tuple(self.mean.shape)\n"
        "        eps = noise.normal((*shape[:-1], 1)[: len(shape)], keras.backend.standardize_dtype(self.mean.dtype))\n"
        "        eps = ops.broadcast_to(eps, shape)",
        in_file("posteriors", "test_draws_have_the_mean_and_variance_of_the_posterior"),
    ),
    Fault(
        "both halves of a batch on the same side in antithetic noise",
        "estimators.py",
        "for sign in (1, -1)]",
        "for sign in (1, 1)]",
        in_file("estimators", "test_antithetic_noise_cancels_over_equal_examples"),
        also=(("return [draw, -draw]", "return [draw, draw]"),),
    ),
    Fault(
        "examples that have changed places in antithetic noise",
        "estimators.py",
        "ops.argsort(order)[:size]",
        "order[:size]",
        (geometry("Dense-antithetic-matrix", "check_without_noise_it_is_the_keras_layer"),),
    ),
    Fault(
        "the same signs for all pairs in antithetic noise",
        "estimators.py",
        "flipped = keras.ops.unstack(draw * signs, pairs)",
        "flipped = keras.ops.unstack(draw * signs[:1] + 0 * signs, pairs)",
        in_file("estimators", "test_each_pair_of_groups_has_signs_of_its_own"),
    ),
    Fault(
        "standard deviation instead of variance in local reparameterization",
        "estimators.py",
        "linear(ops.square(widened), ops.square(kernel.stddev))",
        "linear(ops.square(widened), kernel.stddev)",
        (geometry("Dense-local_reparameterization-matrix", "check_moments"),),
    ),
    Fault(
        "square root with an infinite slope at 0",
        "estimators.py",
        "return ops.where(positive, ops.sqrt(ops.where(positive, variance, 1.0)), 0.0)",
        "return ops.sqrt(variance)",
        (contract("Dense-local_reparameterization-matrix", "check_extremes"),),
    ),
)

POSTERIORS = (
    Fault(
        "rho read by exp, assigned by the inverse of softplus",
        "posteriors.py",
        "NormalWeights(mean, softplus(rho))",
        "NormalWeights(mean, keras.ops.exp(rho))",
        in_file("posteriors", "test_what_is_assigned_is_read"),
    ),
    Fault(
        "softplus as log(1 + exp(rho)), which overflows",
        "posteriors.py",
        "NormalWeights(mean, softplus(rho))",
        "keras.ops.log1p(keras.ops.exp(self.rho))",
        in_file("posteriors", "test_what_is_assigned_is_read"),
    ),
    Fault(
        "inverse of softplus as log(exp(stddev) - 1), which overflows",
        "_numerics/softplus.py",
        "return value + np.log(-np.expm1(-np.asarray(value)))",
        "return np.log(np.expm1(np.asarray(value)))",
        in_file("posteriors", "test_softplus_of_its_inverse_is_the_identity"),
    ),
    Fault(
        "standard deviations not trained",
        "posteriors.py",
        "NormalWeights(mean, softplus(rho))",
        "softplus(keras.ops.stop_gradient(self.rho) + 0 * self.rho)",
        in_file("posteriors", "test_gradients_of_a_draw_are_those_of_mean_plus_stddev_times_eps"),
    ),
    Fault(
        "the same initial means for all layers",
        "posteriors.py",
        "self.mean_initializer.clone()",
        "self.mean_initializer",
        in_file("posteriors", "test_one_recipe_gives_every_tensor_fresh_means_and_variables_of_its_own"),
    ),
    Fault(
        "Monte Carlo's log q at the mean",
        "posteriors.py",
        "log_prob = -0.5 * squares - self.sum_log_stddev()",
        "log_prob = -self.sum_log_stddev()",
        in_file("kl", "test_monte_carlo_is_log_q_less_log_p_summed_over_the_weights"),
    ),
)

PRIORS = (
    Fault(
        "mixture's density by exp and log, which underflows",
        "priors/scale_mixture.py",
        "return plus_softplus(wide, narrow_log_odds)",
        "return ops.log(ops.exp(wide) + ops.exp(wide + narrow_log_odds))",
        in_file("priors", "test_the_mixture_density_is_right_far_out_and_at_zero"),
    ),
    Fault(
        "mixture's pi on the wrong component",
        "priors/scale_mixture.py",
        "logit_wide = ops.where(log_sigma_1 >= log_sigma_2, logit_pi, -logit_pi)",
        "logit_wide = ops.where(log_sigma_1 >= log_sigma_2, -logit_pi, logit_pi)",
        in_file("priors", "test_the_mixture_density_equals_tfp"),
    ),
    Fault(
        "a learned prior's parameters get no gradient",
        "priors/scale_mixture.py",
        "= self._parameters(keras.backend.standardize_dtype(weights.dtype))",
        "= map(ops.stop_gradient, self._parameters(keras.backend.standardize_dtype(weights.dtype)))",
        in_file("training", "test_a_learned_prior_shared_by_all_layers_is_trained_once"),
    ),
    Fault(
        "prior copied on load",
        "layers/base.py",
        "return keras.saving.deserialize_keras_object(value)",
        "value = keras.saving.deserialize_keras_object(value)\n"
        "                own = {'identity': config['name']} if isinstance(value, Prior) else {}\n"
        "                return type(value).from_config({**value.get_config(), **own})",
        in_file("saving", "test_a_shared_learned_prior_is_still_shared_after_loading"),
    ),
    Fault(
        "a prior of its own for each layer of a copy",
        "_prior_sharing.py",
        "    if (key := _key(config)) not in copies:\n",
        "    if (key := _key(config)):\n",
        in_file("saving", "test_a_shared_learned_prior_is_shared_in_every_copy"),
    ),
    Fault(
        "a clone shares the prior of the original",
        "layers/base.py",
        "return type(value).from_config(value.get_config()) if isinstance(value, Prior) else value",
        "return value",
        (contract("Dense-flipout-matrix", "check_clone"),),
    ),
    Fault(
        "a prior of its own for each layer of a clone",
        "_prior_sharing.py",
        "if (key := _key(config)) not in copies:",
        "if key := _key(config):",
        (contract("Dense-flipout-matrix", "check_clone"),),
    ),
)

DIVERGENCES = (
    Fault(
        "KL mean instead of sum",
        "kl.py",
        "return half_precision * squares - posterior.sum_log_stddev() + constant",
        "total = half_precision * squares - posterior.sum_log_stddev() + constant\n"
        "    return total / math.prod(posterior.mean.shape)",
        in_file("kl", "test_divergences_are_sums_over_the_weights"),
    ),
    Fault(
        "Monte Carlo's log p mean instead of sum",
        "kl.py",
        "keras.ops.sum(log_prior)",
        "keras.ops.mean(log_prior)",
        in_file("kl", "test_monte_carlo_is_log_q_less_log_p_summed_over_the_weights"),
    ),
    Fault(
        "prior's scale not squared in the closed form",
        "kl.py",
        "half_precision = 0.5 / prior.scale**2",
        "half_precision = 0.5 / prior.scale",
        in_file("kl", "test_the_closed_form_equals_tfp"),
    ),
    Fault(
        "Monte Carlo at another draw than the outputs'",
        "layers/base.py",
        "posterior.sample(noise) if sample is None else sample",
        "posterior.sample(noise)",
        in_file("posteriors", "test_a_layer_adds_log_q_less_log_p_at_its_own_draw"),
    ),
    Fault(
        "a forgotten bias KL",
        "layers/base.py",
        "for name, (_, prior) in self.random_weights.items()",
        'for name, (_, prior) in self.random_weights.items() if name != "bias"',
        in_file("training", "test_the_kl_term_is_the_sum_over_all_weights_biases_included"),
    ),
    Fault(
        "KL twice for a layer that is called twice",
        "layers/base.py",
        "return not self._get_own_losses()",
        "return True",
        (contract("Dense-flipout-matrix", "check_divergence_counts_once"),),
    ),
    Fault(
        "KL twice in a nested model",
        "objective/loss_halves.py",
        "        return data_and_others + keras.ops.cast(kl_term, data_and_others.dtype)\n",
        "        inner = [layer for layer in model.layers if isinstance(layer, keras.Model)]\n"
        "        return data_and_others + kl_term + sum(sum(layer.losses) for layer in inner)\n",
        in_file("training", "test_each_layer_counts_once_in_any_kind_of_model[functional_nested]"),
    ),
    Fault(
        "KL of a nested model lost from the log",
        "objective/loss_halves.py",
        "for kl in (layer.take_kl() for layer in variational_layers(model))",
        "for kl in (layer.take_kl() for layer in variational_layers(model) if layer in model.layers)",
        in_file("training", "test_each_layer_counts_once_in_any_kind_of_model[functional_nested]"),
    ),
    Fault(
        "KL from variables rounded to half precision",
        "layers/base.py",
        "self.add_weight(dtype=widened(self.variable_dtype), autocast=False, **kwargs)",
        "self.add_weight(dtype=widened(self.variable_dtype), autocast=True, **kwargs)",
        (
            contract("Dense-flipout-matrix", "check_half_precision"),
            *in_file("training", "test_mixed_precision_keeps_posteriors_and_kl_in_float32"),
        ),
        # Either alone keeps them whole.
        also=(
            (
                "with _keras.full_precision():\n            return {name: variables",
                "if True:\n            return {name: variables",
            ),
        ),
    ),
    Fault(
        "float16 KL",
        "layers/base.py",
        "keras.ops.cast(self._kl_weight.state, dtype) * kl,",
        "keras.ops.cast(self._kl_weight.state, dtype) * keras.ops.cast(keras.ops.cast(kl, self.compute_dtype), dtype),",
        (contract("Dense-flipout-matrix", "check_half_precision"),),
    ),
    Fault(
        "KL divided by the batch size",
        "layers/base.py",
        "            self._add_kl(posteriors, samples, noise)\n        return outputs\n",
        "            self._add_kl(posteriors, samples, noise)\n"
        "            self._losses[-1] = self._losses[-1] / keras.ops.cast(keras.ops.shape(inputs)[0], 'float32')\n"
        "        return outputs\n",
        in_file("training", "test_history_holds_the_halves_of_the_loss_for_training_and_validation"),
    ),
)

KL_WEIGHTS = (
    Fault(
        "KL divided by the number of layers",
        "callbacks/kl_weight.py",
        "layer.kl_weight = weight\n",
        "layer.kl_weight = weight / len(variational_layers(self.model))\n",
        in_file("training", "test_the_kl_weight_follows_its_schedule_batch_by_batch"),
    ),
    Fault(
        "KL divided by the number of batches, not of examples",
        "callbacks/kl_weight.py",
        "weight = factor * self.beta / self._known_num_examples()",
        'weight = factor * self.beta / self.params["steps"]',
        in_file("training", "test_the_kl_weight_follows_its_schedule_batch_by_batch"),
    ),
    Fault(
        "KL weight compiled in as a constant",
        "layers/base.py",
        "keras.ops.cast(self._kl_weight.state, dtype) * kl,",
        'getattr(self, "_weight_as_number", self._configured_kl_weight) * kl,',
        in_file("loss_halves", "test_the_minibatches_of_an_epoch_add_up_to_the_whole_objective"),
        also=(
            (
                "self._kl_weight.state.assign(value)",
                "self._kl_weight.state.assign(value); self._weight_as_number = float(value)",
            ),
        ),
    ),
    Fault(
        "the regularizer of a prior taken for the KL term",
        "layers/base.py",
        "return not self._get_own_losses()",
        "return not self.losses",
        in_file("layers", "test_the_regularizer_of_a_prior_does_not_stand_for_the_kl_term"),
    ),
    Fault(
        "the last factor of a schedule left in the model",
        "callbacks/kl_weight.py",
        "def on_train_end(",
        "def _on_train_end(",
        in_file("training", "test_a_schedule_leaves_the_whole_kl_weight_in_the_model"),
    ),
    Fault(
        "validation with the factor of the last batch",
        "callbacks/kl_weight.py",
        "def on_test_begin(",
        "def _on_test_begin(",
        in_file("training", "test_a_schedule_is_of_the_training_alone_not_of_validation"),
    ),
    Fault(
        "KL weight among the weights",
        "layers/base.py",
        "        self._has_kl_weight = kl_weight is not None\n",
        "        self._has_kl_weight = kl_weight is not None\n"
        "        self._non_trainable_variables.append(self._kl_weight.state)\n",
        in_file("kl_weight", "test_the_kl_weight_is_no_weight"),
    ),
    Fault(
        "training without a KL weight accepted",
        "layers/base.py",
        "if training and _keras.is_in_fit():",
        "if False:",
        in_file("training", "test_training_without_a_kl_weight_raises_and_says_what_to_write"),
        also=(("return [*losses, MissingKL(self.name)] if self._lacks_kl_weight else losses", "return losses"),),
    ),
    Fault(
        "warm-up epoch by epoch instead of batch by batch",
        "kl_schedules.py",
        "_epochs_done(epoch, batch + 1, num_batches) / self.epochs",
        "epoch / self.epochs",
        in_file("kl_schedules", "test_warmup_rises_by_equal_steps_to_1_and_stays_there"),
    ),
    Fault(
        "Blundell's weights with sum 1 instead of mean 1",
        "kl_schedules.py",
        "return num_batches * 2.0 ** -(batch + 1)",
        "return 2.0 ** -(batch + 1)",
        in_file("kl_schedules", "test_blundell_is_the_formula_of_the_paper"),
    ),
    Fault(
        "all batches of one execution take the first one's factor",
        "callbacks/kl_weight.py",
        "return float(np.mean([self._factor_of(each) for each in batches]))",
        "return float(self._factor_of(batches[0]))",
        in_file("training", "test_the_batches_of_one_execution_share_the_mean_of_their_factors"),
    ),
    Fault(
        "the logged nll holds the KL term",
        "objective/loss_halves.py",
        "            nll=nll * replicas,\n",
        "            nll=(nll + kl_term) * replicas,\n",
        in_file("training", "test_history_holds_the_halves_of_the_loss_for_training_and_validation"),
    ),
    Fault(
        "the logged nll counts a partial batch as a whole one",
        "objective/loss_halves.py",
        "keras.ops.shape(keras.tree.flatten(y_pred)[0])[0],",
        "1,",
        in_file("training", "test_history_holds_the_halves_of_the_loss_for_training_and_validation"),
    ),
    Fault(
        "the logged nll as the difference of the loss and the KL term",
        "objective/loss_halves.py",
        "            nll=nll * replicas,\n",
        "            nll=(nll + kl_term - kl_term) * replicas,\n",
        in_file("kl_weight", "test_the_nll_is_exact_beside_a_large_kl_term"),
    ),
    Fault(
        "the KL term not divided by positions",
        "objective/observations.py",
        "return 1.0 / max(1, math.prod(shape[1:]))",
        "return 1.0",
        in_file("observations", "test_the_kl_term_is_divided_by_examples_and_positions"),
    ),
    Fault(
        "masked positions counted as observations",
        "objective/observations.py",
        "    mask = _keras.mask_of(output.value)\n",
        "    mask = None\n",
        in_file("observations", "test_masked_positions_are_no_observations"),
    ),
    Fault(
        "a partial batch counted whole in the number of examples",
        "callbacks/training_data.py",
        "return (num_batches - 1) * size + (last or size)",
        "return num_batches * size",
        in_file("kl_weight", "test_n_is_that_of_the_arrays_less_what_is_held_out"),
    ),
    Fault(
        "a frozen layer that freezes the prior of others",
        "priors/prior.py",
        "any(layer.trainable for layer in self._layers_served)",
        "all(layer.trainable for layer in self._layers_served)",
        in_file("kl_weight", "test_freezing_one_layer_leaves_the_shared_prior_to_the_others"),
    ),
)

ANY_MODEL = (
    Fault(
        "a layer that is run at its means, though weights are drawn",
        "layers/wrapper.py",
        "drawn = [(variable, weights[name]) for name, variable in self._means.by_name.items()]",
        "drawn = []",
        in_file("recurrent", "test_a_call_is_keras_s_layer_at_one_draw_of_the_weights"),
    ),
    Fault(
        "a penalty's prior without its factor of two",
        "transforms/to_bayesian.py",
        "math.sqrt(2 * strengths.pop() * num_examples)",
        "math.sqrt(strengths.pop() * num_examples)",
        in_file("to_bayesian", "test_an_l2_penalty_is_a_prior"),
    ),
    Fault(
        "a frozen layer inside of one with weights of its own is trained",
        "layers/wrapper.py",
        "inside.trainable = number not in self.frozen",
        "inside.trainable = True",
        in_file("to_bayesian", "test_converted_back_it_is_the_keras_model[frozen_in_containers_beside_own_weights]"),
    ),
    Fault(
        "halves of a batch with one draw instead of two opposite ones",
        "layers/wrapper.py",
        "for half, sign in zip(halves, (1, -1), strict=False)",
        "for half, sign in zip(halves, (1, 1), strict=False)",
        in_file("wrapper", "test_the_noise_of_two_halves_cancels"),
    ),
    Fault(
        "what a layer inside updates is lost",
        "layers/wrapper.py",
        "variable.assign(value)",
        "value",
        in_file("wrapper", "test_statistics_inside_move_in_training_and_in_nothing_else"),
    ),
    Fault(
        "trained weights that do not become means",
        "transforms/to_bayesian.py",
        "new.start_at(layer.get_weights())",
        "new.get_weights()",
        in_file("to_bayesian", "test_where_weights_do_not_vary_outputs_are_those_of_the_keras_model"),
    ),
    Fault(
        "a draw that carries a state on to the next one",
        "_backend/tensorflow.py",
        "with keras.StatelessScope(state_mapping=[(variable, variable.value) for variable in variables]):",
        "if True:",
        in_file("recurrent", "test_predictions_do_not_disturb_the_state"),
    ),
    Fault(
        "a draw of the network with noise of another seed than the prediction's",
        "transforms/to_deterministic.py",
        "seeds_of_draws(model, None, 1, seed)[0]",
        "seeds_of_draws(model, None, 2, seed)[1]",
        in_file("to_deterministic", "test_a_draw_is_the_first_network_of_the_seed_that_predict_takes"),
    ),
    Fault(
        "an earlier posterior's variance that is its standard deviation",
        "kl.py",
        "ops.sum(0.5 * (ops.square(ratio) - 1 + ops.square(shift)) - ops.log(ratio))",
        "ops.sum(0.5 * (ratio - 1 + ops.square(shift)) - ops.log(ratio))",
        in_file("kl", "test_the_closed_form_from_an_earlier_posterior_equals_tfp"),
    ),
    Fault(
        "random biases that keep their prior when all get another",
        "transforms/with_priors.py",
        'for name in ("prior", "bias_prior")',
        'for name in ("prior",)',
        in_file("with_priors", "test_the_copy_is_the_model_with_the_priors_given"),
    ),
    Fault(
        "a diagnosis that overlooks what the data lose again",
        "transforms/findings.py",
        "balance.lost > _LOST_GAIN * balance.most_gained > 0",
        "balance.lost > 9 * balance.most_gained > 0",
        in_file("diagnose", "test_kl_drowns_data_that_had_gained_and_lose_it"),
    ),
)

CONVOLUTIONS = (
    Fault(
        "causal padding behind instead of before",
        "layers/convolution.py",
        "before = (self.dilation_rate[0] * (self.kernel_size[0] - 1), 0)",
        "before = (0, self.dilation_rate[0] * (self.kernel_size[0] - 1))",
        (geometry("Conv1D-flipout-dilation, causal", "check_without_noise_it_is_the_keras_layer"),),
    ),
    Fault(
        "causal padding without the dilation",
        "layers/convolution.py",
        "before = (self.dilation_rate[0] * (self.kernel_size[0] - 1), 0)",
        "before = (self.kernel_size[0] - 1, 0)",
        (geometry("Conv1D-flipout-dilation, causal", "check_without_noise_it_is_the_keras_layer"),),
    ),
    Fault(
        "kernel shape from all channels in spite of groups",
        "layers/convolution.py",
        "channels // self.groups",
        "channels",
        (geometry("Conv2D-flipout-groups, same", "check_without_noise_it_is_the_keras_layer"),),
    ),
    Fault(
        "weights cut to the integers of the inputs",
        "layers/base.py",
        "inputs = keras.ops.cast(inputs, self.compute_dtype)",
        "pass",
        in_file("keras_equivalence", "test_integers_give_what_the_same_numbers_give_as_floats"),
    ),
)

PREDICTION = (
    Fault(
        "mean of the log-probabilities instead of log of the mean",
        "prediction/predictive.py",
        "log_prob = scipy.special.logsumexp(log_probs, axis=0) - np.log(len(self.outputs))",
        "log_prob = log_probs.mean(axis=0)",
        in_file(
            "predictive",
            "test_log_prob_is_the_logarithm_of_the_mean_probability_not_the_mean_of_the_logarithms",
        ),
    ),
    Fault(
        "nats averaged over the dimensions of a target",
        "likelihoods/independent.py",
        "return ops.sum(self._log_densities(y, *parameters), axis=-1)",
        "return ops.mean(self._log_densities(y, *parameters), axis=-1)",
        in_file("likelihoods", "test_log_prob_equals_tfp"),
    ),
    Fault(
        "nats of classes averaged over the classes",
        "likelihoods/categorical.py",
        "return ops.where(valid, log_prob, math.nan)",
        "return ops.where(valid, log_prob / outputs.shape[-1], math.nan)",
        in_file("likelihoods", "test_log_prob_equals_tfp"),
    ),
    Fault(
        "mean standard deviation instead of root of the mean variance",
        "prediction/predictive.py",
        "np.sqrt(keras.ops.convert_to_numpy(self.likelihood.variance(self.outputs)).mean(axis=0))",
        "np.sqrt(keras.ops.convert_to_numpy(self.likelihood.variance(self.outputs))).mean(axis=0)",
        in_file("predictive", "test_the_variance_is_that_of_the_mixture"),
    ),
    Fault(
        "a new draw of the network for each batch of a prediction",
        "prediction/predict.py",
        "drawn.append(run.draw(batch.inputs, run.seeds))",
        "drawn.append(run.draw(batch.inputs, run.seeds + np.array([len(drawn), 0], 'int32')))",
        in_file("predictive", "test_a_draw_is_one_linear_function_for_all_inputs"),
    ),
    Fault(
        "a model that is not built drawn as if it had one tensor of weights",
        "prediction/draws.py",
        "    if not model.built:\n        model(inputs)\n    seed = ",
        "    seed = ",
        in_file("predictive", "test_a_model_that_is_not_built_has_the_draws_that_it_has_once_it_is"),
        also=(
            (
                "    with _COMPILING:\n",
                "    if not model.built:\n        model(inputs)\n    with _COMPILING:\n",
            ),
        ),
    ),
    Fault(
        "layers draw weights of their own in a prediction",
        "layers/base.py",
        "if held is not None:",
        "if False:",
        in_file("predictive", "test_a_draw_is_one_linear_function_for_all_inputs"),
    ),
    Fault(
        "all tensors of weights of a draw from one seed",
        "_numerics/noise.py",
        "[0, next(count)]",
        "[0, 0 * next(count)]",
        in_file("predictive", "test_the_draws_of_a_linear_layer_have_the_moments_of_its_weights"),
    ),
    Fault(
        "padding counts in the nats",
        "prediction/predictive.py",
        "return log_prob if self.mask is None else np.where(self.mask, log_prob, 0.0)",
        "return log_prob",
        in_file("any_output", "test_padding_counts_nowhere"),
    ),
    Fault(
        "padding counts in the figures",
        "prediction/base.py",
        "return rows if self.mask is None else rows[self.mask.ravel()]",
        "return rows",
        in_file("any_output", "test_padding_counts_nowhere"),
    ),
    Fault(
        "a batch that was filled up keeps what was filled in",
        "prediction/draws.py",
        "[keras.ops.convert_to_numpy(tensor)[:, :size] for tensor in tensors]",
        "[keras.ops.convert_to_numpy(tensor) for tensor in tensors]",
        in_file("sources", "test_a_model_of_one_batch_size_gets_it"),
    ),
    Fault(
        "the rows of a stream that no full batch took are lost",
        "prediction/sources.py",
        "            held = [whole.rows(full, whole.size)] if full < whole.size else []",
        "            held = []",
        in_file("sources", "test_batches_are_cut_and_merged_to_one_size_in_order"),
    ),
    Fault(
        "several outputs in another order than their likelihoods",
        "prediction/heads.py",
        "        return keras.tree.map_structure(lambda number: of_outputs[number], self.structure)",
        "        return keras.tree.map_structure(lambda number: of_outputs[-1 - number], self.structure)",
        in_file("several_outputs", "test_each_output_has_a_predictive_in_the_structure_of_the_model"),
    ),
    Fault(
        "the weights of the losses left out of the nll of several outputs",
        "prediction/evaluation.py",
        'total = sum(each["nll"] * _loss_weight(run, name) for name, each in found.items())',
        'total = sum(each["nll"] for name, each in found.items())',
        in_file("several_outputs", "test_figures_are_of_each_output_and_of_all"),
    ),
    Fault(
        "draws that end when the standard deviation, not the standard error, is small enough",
        "prediction/averages.py",
        'np.sqrt(averages["epistemic"] / (_beside(self.num_draws, averages["epistemic"]) - 1))',
        'np.sqrt(averages["epistemic"])',
        in_file("anytime", "test_draws_go_on_until_the_standard_error_is_small_enough"),
    ),
    Fault(
        "a decision that is settled though another class may overtake",
        "prediction/anytime.py",
        "return refused | ((least >= cutoff) & (least > others.max(axis=-1)))",
        "return refused | (mean.max(axis=-1) >= cutoff)",
        in_file("anytime", "test_a_decision_far_from_the_cutoff_needs_few_draws"),
    ),
)

FAULTS = (
    *NOISE,
    *ESTIMATORS,
    *POSTERIORS,
    *PRIORS,
    *DIVERGENCES,
    *KL_WEIGHTS,
    *ANY_MODEL,
    *CONVOLUTIONS,
    *PREDICTION,
    *OUTSIDE_LAYERS,
)


# Whether they can be planted: cheap.


def check_that_faults_apply() -> None:
    """Raises ValueError if a fault cannot be planted in today's sources, or if a test that it names is not there."""
    for fault in FAULTS:
        source = (ROOT / fault.path).read_text()
        # A file that is no Python any more would turn any test red.
        if ast.dump(ast.parse(fault.plant_in(source))) == ast.dump(ast.parse(source)):
            raise ValueError(f"{fault.name}: changes nothing")
        for test in fault.tests:
            file, function = test.split("[")[0].split("::")
            if f"def {function}(" not in (ROOT / file).read_text():
                raise ValueError(f"{fault.name}: there is no test {test}")


# Whether they are found.


def copy_sources(source: Path, target: Path) -> None:
    """Copies the package, its tests and their settings."""
    target.mkdir()
    for name in COPIED:
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, target / name)


def run_python(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in a copy, whose package and tests then come before installed ones."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONSAFEPATH", None)  # It would keep the copy off the module path.
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_SECONDS,
    )


def run_tests(root: Path, tests: Sequence[str]) -> Result:
    """Runs tests in a copy, up to the first failure."""
    return run_pytest(root, ("-q", "-x", "--color=no", "-p", "no:cacheprovider", *tests), LIMIT_SECONDS)


def imported_backend(root: Path) -> str:
    """Returns Keras's backend in a copy; raises RuntimeError unless it is the copy's files that are imported."""
    code = "import keras, tests, tfp_bnn; print(tfp_bnn.__file__, tests.__file__, keras.backend.backend(), sep='\\n')"
    result = run_python(root, "-c", code)
    *files, backend = result.stdout.splitlines()[-3:] or [""]
    if result.returncode or not all(Path(file).resolve().is_relative_to(root.resolve()) for file in files):
        raise RuntimeError(f"The copy's files are not those that are imported: {files} {result.stderr[-2000:]}")
    return backend


def check_green(root: Path, faults: Sequence[Fault]) -> None:
    """Raises RuntimeError unless all tests of the faults pass without them."""
    tests = sorted({test for fault in faults for test in fault.tests})
    result = run_tests(root, ["--numprocesses", "auto", *tests])
    if result.returncode != ALL_PASSED:
        raise RuntimeError(f"The tests must pass without a fault:\n{result.output[-6000:]}")


def finder(root: Path, fault: Fault) -> str | None:
    """Plants a fault in a copy; returns the first test that it turns red, or None.

    A usage error, an error while tests are collected, or no test at all is no finding.
    """
    path = root / fault.path
    path.write_text(fault.plant_in(path.read_text()))
    try:
        result = run_tests(root, fault.tests)
    except TimeoutError:
        return None
    failed = re.search(r"^FAILED (.+?)(?: - .*)?$", result.output, re.MULTILINE)
    if result.returncode == SOME_FAILED and failed:
        return failed[1]
    if result.returncode != ALL_PASSED:
        print(f"pytest ended with status {result.returncode}:\n{result.output[-4000:]}")
    return None


def search(snapshot: Path, faults: Sequence[Fault]) -> list[dict[str, Any]]:
    """Returns, for each fault, its name, its file and the test that found it; says so in one line each."""

    def search_one(fault: Fault) -> dict[str, Any]:
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as directory:
            copy_sources(snapshot, copy := Path(directory) / "copy")
            test = finder(copy, fault)
        verdict = f"found by {test}" if test else "NOT FOUND"
        print(f"{fault.name}: {verdict} ({time.monotonic() - start:.0f} s)", flush=True)
        return {"name": fault.name, "file": fault.path, "found_by": test}

    # Each waits for a process of its own, on a core of its own.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(search_one, faults))


def versions(backend: str) -> dict[str, str]:
    """Returns the versions that made a result."""
    packages = ("tfp-bnn", "keras", backend, "numpy", "pytest")
    return {"python": sys.version.split()[0], **{name: metadata.version(name) for name in packages}}


def find_all(faults: Sequence[Fault]) -> dict[str, Any]:
    """Plants all faults, one at a time; returns the results. Edits meanwhile change nothing: it works on a snapshot."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        copy_sources(ROOT, snapshot := Path(directory) / "snapshot")
        backend = imported_backend(snapshot)
        check_green(snapshot, faults)
        print(f"without a fault all tests pass ({time.monotonic() - start:.0f} s)", flush=True)
        found = search(snapshot, faults)
    return {
        "command": shlex.join(["python", "-m", "tests.faults.planted_faults", *sys.argv[1:]]),
        "backend": backend,
        "versions": versions(backend),
        "seconds": round(time.monotonic() - start),
        "planted": len(found),
        "missed": [entry["name"] for entry in found if not entry["found_by"]],
        "faults": found,
    }


def merged(committed: dict[str, Any], results: dict[str, Any]) -> dict[str, Any]:
    """Returns the committed results with newer ones of some faults in their place, and the commands of both."""
    entries = {entry["name"]: entry for entry in (*committed["faults"], *results["faults"])}
    found = [entries[fault.name] for fault in FAULTS if fault.name in entries]
    return {
        **committed,
        "updated_by": [*committed.get("updated_by", []), results["command"]],
        "planted": len(found),
        "missed": [entry["name"] for entry in found if not entry["found_by"]],
        "faults": found,
    }


def main() -> None:
    """Plants the faults that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="SUBSTRING", help="only faults with these in their name or file"
    )
    parser.add_argument("--json", type=Path, help="where the results go; default: docs/results, unless --only is given")
    parser.add_argument("--update", action="store_true", help="put the results of --only among the committed ones")
    arguments = parser.parse_args()
    faults = [
        fault
        for fault in FAULTS
        if any(part.lower() in f"{fault.path}: {fault.name}".lower() for part in arguments.only)
    ]
    if not faults:
        parser.error(f"no fault has {arguments.only!r} in its name or file")
    results = find_all(faults)
    if arguments.update:
        RESULTS.write_text(json.dumps(merged(json.loads(RESULTS.read_text()), results), indent=2) + "\n")
    path = arguments.json or (None if any(arguments.only) else RESULTS)
    if path:
        path.write_text(json.dumps(results, indent=2) + "\n")
    print(f"{len(faults) - len(results['missed'])} of {len(faults)} faults found in {results['seconds']} s")
    sys.exit(1 if results["missed"] else 0)


if __name__ == "__main__":
    main()
