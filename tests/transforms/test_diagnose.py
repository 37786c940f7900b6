"""The diagnosis: each finding is found where it is true, and nowhere else; a healthy network has none."""

import keras
import numpy as np
import pytest

from tests.support.on_backends import TENSORFLOW, numpy
from tfp_bnn import Predictive, callbacks, layers, likelihoods, models, posteriors, predict, priors, prune, to_bayesian
from tfp_bnn.prediction.averages import average_over_draws
from tfp_bnn.prediction.summary import PredictiveSummary
from tfp_bnn.transforms.diagnose import diagnose
from tfp_bnn.transforms.findings import CHECKS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1024, 2)).astype("float32")
Y = (2 * X[:, 0] + X[:, 1] + 0.3 * RNG.normal(size=1024) > 0).astype("int32")


def make_model(kl_weight=1e-3, steps=1000, stddevs=(0.2, 0.4), prior=None):
    """Returns a network of 40 weights that looks trained, after so many optimizer steps."""
    model = models.mlp((3,), units=(8,), num_outputs=2, prior=prior)
    model.compile(keras.optimizers.Adam(0.01), loss=likelihoods.Categorical())
    model.optimizer.iterations.assign(steps)
    rng = np.random.default_rng(0)
    for layer in model.layers[1:]:
        variables, _ = layer.random_weights["kernel"]
        shape = tuple(variables.mean.shape)
        variables.assign(rng.normal(size=shape), rng.uniform(*stddevs, size=shape))
        if kl_weight is not None:
            layer.kl_weight = kl_weight
    return model


def kernels(model):
    return [layer.random_weights["kernel"][0] for layer in layers.variational_layers(model)]


def history(**curves):
    """Returns 40 epochs of a good training, but for these curves."""
    epochs = np.arange(40)
    nll = 0.2 + 0.5 * np.exp(-epochs / 3)
    return {"loss": nll + 0.04, "nll": nll, "kl": 40 + 60 * np.exp(-epochs / 3), **curves}


def names(diagnosis):
    return [finding.name for finding in diagnosis.findings]


def found(name, diagnosis):
    """Returns the finding of that name; all that it says ends in a full stop."""
    (finding,) = (finding for finding in diagnosis.findings if finding.name == name)
    assert all(text.endswith(".") for text in finding[2:])
    assert name in str(diagnosis)
    return finding


def not_checked(diagnosis):
    return {missing.name: missing.needs for missing in diagnosis.not_checked}


def of_classes(draws, spread, inputs=200):
    return Predictive(RNG.normal(scale=spread, size=(draws, inputs, 2)), likelihoods.Categorical())


def test_a_healthy_network_that_was_trained_has_no_finding():
    keras.utils.set_random_seed(0)
    model = models.mlp((2,), units=(6,), num_outputs=2)
    model.compile(keras.optimizers.Adam(0.05), loss=likelihoods.Categorical(), jit_compile=not TENSORFLOW)
    trained = model.fit(X, Y, 128, epochs=40, verbose=0, callbacks=[callbacks.KLWeight(len(X))])
    diagnosis = diagnose(model, trained, predictive=predict(model, X[:100], 100, seed=0, verbose=False))
    assert not diagnosis, str(diagnosis)
    assert set(diagnosis.well) == {check.__name__ for check in CHECKS}
    assert "nothing found" in str(diagnosis)
    assert not diagnose(model, trained.history)


def test_what_looks_healthy_has_no_finding():
    diagnosis = diagnose(make_model(), history(), predictive=of_classes(100, 0.1))
    assert not diagnosis, str(diagnosis)
    assert diagnosis.not_checked == ()


def test_what_is_not_given_is_not_checked_and_the_page_says_so():
    diagnosis = diagnose(make_model(steps=5))
    assert list(not_checked(diagnosis)) == [
        "kl_weight_missing",
        "kl_drowns_data",
        "stddev_not_moved",
        "still_falling",
        "too_few_draws",
    ]
    assert "too_few_draws, which needs `predictive`" in str(diagnosis)
    short = diagnose(make_model(), {name: curve[:4] for name, curve in history().items()})
    assert {"kl_drowns_data", "still_falling"} < set(not_checked(short))


def test_untrained():
    model = models.mlp((3,), units=(8,), num_outputs=2)
    assert "not compiled" in found("untrained", diagnose(model)).what
    model.compile("adam", loss=likelihoods.Categorical())
    diagnosis = diagnose(model)
    assert found("untrained", diagnosis).severity == "error"
    assert "posterior_is_prior" in not_checked(diagnosis)
    model.optimizer.iterations.assign(1)
    assert "untrained" not in names(diagnose(model))


def test_a_converted_network_that_was_not_trained_since_is_untrained():
    """Its standard deviations start as shares of the means."""
    plain = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2)])
    model = to_bayesian(plain)
    model.compile("adam", loss=likelihoods.Categorical())
    assert "untrained" in names(diagnose(model))
    for variables in kernels(model):
        read = variables.read()
        # As far as one step of training moves both.
        variables.assign(numpy(read.mean) + 0.01, numpy(read.stddev) * 1.01)
    assert "untrained" not in names(diagnose(model))


def test_standard_deviations_that_start_by_fan_in_and_stay_have_not_moved():
    model = models.mlp((4,), units=(25,), num_outputs=2, posterior=posteriors.MeanFieldNormal(fan_in_stddev=0.1))
    model.compile("adam", loss=likelihoods.Categorical())
    model.optimizer.iterations.assign(500)
    assert "at 0.02, 0.05:" in found("stddev_not_moved", diagnose(model)).what


def test_a_pruned_copy_of_a_trained_network_is_not_untrained():
    pruned = prune(make_model(), 0.5)
    assert int(pruned.optimizer.iterations) == 0
    assert not diagnose(pruned)


@pytest.mark.parametrize("name", ["loss", "nll", "kl"])
def test_loss_not_finite_in_the_history(name):
    curves = history()
    curves[name] = np.where(np.arange(40) < 6, curves[name], np.nan)
    finding = found("loss_not_finite", diagnose(make_model(), curves))
    assert finding.severity == "error"
    assert f"{name} is nan in epoch 7" in finding.what


def test_loss_not_finite_in_the_weights():
    model = make_model()
    kernels(model)[0].mean.assign(np.full((3, 8), np.inf))
    assert "24 of 24 numbers" in found("loss_not_finite", diagnose(model, history())).what


def test_kl_weight_missing():
    without = {name: curve for name, curve in history().items() if name == "loss"}
    assert "2 of 2" in found("kl_weight_missing", diagnose(make_model(kl_weight=None), without)).what
    assert "kl_weight=0.0" in found("kl_weight_missing", diagnose(make_model(kl_weight=0.0), history())).what
    # A loaded model has no weight, but its history shows that there was one.
    assert "kl_weight_missing" not in names(diagnose(make_model(kl_weight=None), history()))
    assert "kl_weight_missing" not in names(diagnose(make_model(kl_weight=1e-3), without))


def test_kl_drowns_data_that_gain_far_less():
    model = make_model(kl_weight=1 / 20, prior=priors.Normal(scale=5.0))
    finding = found("kl_drowns_data", diagnose(model, history(kl=np.full(40, 200.0))))
    # 200 nats for 20 examples, and the nll has fallen from log 2, that of chance, or from 0.7 to 0.2.
    assert "10 nats an observation" in finding.what
    assert "worth 0.5 " in finding.what
    assert "40 random weights" in finding.why
    assert "deviation 5, for 20 examples" in finding.why
    assert "priors.Normal(scale=0.97) in all layers would cost 46 nats" in finding.what_to_do
    assert "colder" in finding.what_to_do
    assert "kl_drowns_data" not in names(diagnose(model, history(kl=np.full(40, 50.0))))


def test_kl_drowns_data_that_had_gained_and_lose_it():
    model, epochs = make_model(kl_weight=1 / 20), np.arange(40)
    rising = 0.3 + 0.4 * np.abs(epochs - 15) / 24
    diagnosis = diagnose(model, history(nll=rising, loss=5 - 0.01 * epochs, kl=np.full(40, 60.0)))
    assert "fell to 0.3" in found("kl_drowns_data", diagnosis).what
    # Where the KL term is the lesser half, the nll rises for another reason.
    small = diagnose(model, history(nll=rising, loss=5 - 0.01 * epochs, kl=np.full(40, 6.0)))
    assert "kl_drowns_data" not in names(small)


def test_the_kl_term_is_that_of_the_logged_share_which_knows_of_positions():
    # 200 nats for 20 examples of 1,000 positions each.
    curves = history(kl=np.full(40, 200.0))
    curves["kl_share"] = 0.01 / (0.01 + curves["nll"])
    assert not diagnose(make_model(kl_weight=1 / 20), curves)


@pytest.mark.parametrize("prior", [priors.Normal(scale=0.5), priors.ScaleMixture(1.0, 0.01, 0.3)])
def test_posterior_is_prior(prior):
    model = make_model(prior=prior)
    like_prior = 0.5 if isinstance(prior, priors.Normal) else 0.01
    kernels(model)[0].assign(0.0, like_prior)
    one = found("posterior_is_prior", diagnose(model))
    assert one.severity == "note"
    assert f"100% of {model.layers[1].name}" in one.what
    kernels(model)[1].assign(0.0, like_prior)
    assert found("posterior_is_prior", diagnose(model)).severity == "warning"
    mean = np.zeros((3, 8))
    mean[0, :2] = 1.0  # 22 of 24 are 92 %
    for kernel in kernels(model):
        kernel.assign(mean.reshape(kernel.mean.shape) if kernel.mean.shape == (3, 8) else 1.0, like_prior)
    assert "posterior_is_prior" not in names(diagnose(model))


def test_stddev_not_moved():
    model = make_model()
    start = model.layers[1].posterior.initial_stddev
    kernels(model)[1].assign(1.0, 1.019 * start)
    finding = found("stddev_not_moved", diagnose(model))
    assert f"100% of {model.layers[2].name}." in finding.what
    assert f"at {start:.3g}:" in finding.what
    kernels(model)[1].assign(1.0, 1.021 * start)
    assert "stddev_not_moved" not in names(diagnose(model))
    assert "stddev_not_moved" in names(diagnose(model, initial_stddev=1.021 * start))
    model.layers[2].trainable = False
    assert "stddev_not_moved" not in names(diagnose(model, initial_stddev=1.021 * start))


def test_stddev_not_moved_knows_the_starts_of_biases_and_of_weights_that_can_be_pruned():
    layer = layers.Dense(
        4,
        posterior=posteriors.Pruned(posteriors.MeanFieldNormal(initial_stddev=0.1)),
        bias_posterior=posteriors.MeanFieldNormal(initial_stddev=0.3),
    )
    model = keras.Sequential([keras.Input((2,)), layer])
    model.compile("adam", loss=likelihoods.Categorical())
    model.optimizer.iterations.assign(500)
    assert "at 0.1, 0.3: 100%" in found("stddev_not_moved", diagnose(model)).what


def test_still_falling():
    noise = 0.01 * RNG.normal(size=40)
    falling = diagnose(make_model(), history(loss=2 - 0.01 * np.arange(40) + noise))
    assert found("still_falling", falling).severity == "note"
    assert "last 5 epochs" in found("still_falling", falling).what
    for loss in (1 + noise, 2 - 0.001 * np.arange(40) + noise, 1 + np.exp(-np.arange(40.0)), np.arange(40.0)):
        assert "still_falling" not in names(diagnose(make_model(), history(loss=loss)))


def test_too_few_draws_of_classes():
    predictive = of_classes(10, 1.0)
    finding = found("too_few_draws", diagnose(make_model(), predictive=predictive))
    enough = int(finding.what_to_do.split("num_draws=")[1].split(")")[0])
    errors = predictive.draws.std(axis=0, ddof=1).max(axis=-1) / np.sqrt(10)
    assert f"{np.mean(errors > 0.02):.0%} of the inputs" in finding.what
    assert enough == pytest.approx(10 * (np.quantile(errors, 0.95) / 0.02) ** 2, rel=0.1)
    assert "too_few_draws" not in names(diagnose(make_model(), predictive=of_classes(2 * enough, 1.0)))
    assert "one draw" in found("too_few_draws", diagnose(make_model(), predictive=of_classes(1, 1.0))).what


def test_too_few_draws_of_targets():
    def of_target(draws, scale):
        return Predictive(RNG.normal(size=(draws, 100, 1)), likelihoods.Normal(scale=scale))

    # The standard error of 25 draws is a fifth of the epistemic standard deviation, 1.
    found("too_few_draws", diagnose(make_model(), predictive=of_target(25, 0.1)))
    assert "too_few_draws" not in names(diagnose(make_model(), predictive=of_target(25, 10.0)))
    assert "too_few_draws" not in names(diagnose(make_model(), predictive=of_target(200, 0.1)))


def test_draws_that_were_summarized_are_counted():
    predictive = of_classes(10, 1.0)
    averages = average_over_draws([predictive.outputs], predictive.likelihood)
    summarized = PredictiveSummary(averages, 10, predictive.likelihood)
    expected = found("too_few_draws", diagnose(make_model(), predictive=predictive))
    assert found("too_few_draws", diagnose(make_model(), predictive=summarized)) == expected


def test_of_several_outputs_the_one_that_needs_most_draws_is_named():
    few, fewer, enough = of_classes(10, 1.0), of_classes(4, 1.0), of_classes(200, 0.1)
    worst = found("too_few_draws", diagnose(make_model(), predictive=fewer))
    both = diagnose(make_model(), predictive={"a": few, "b": fewer, "c": enough, "d": None})
    assert found("too_few_draws", both) == worst
    assert "too_few_draws" not in names(diagnose(make_model(), predictive=[enough, enough]))


def test_the_worst_comes_first_and_the_page_is_of_a_page_s_width():
    curves = history(loss=2 - 0.01 * np.arange(40), kl=np.full(40, np.nan))
    diagnosis = diagnose(make_model(kl_weight=0.0), curves, predictive=of_classes(2, 1.0))
    severities = [finding.severity for finding in diagnosis.findings]
    assert severities == ["error", "warning", "note", "note"]
    assert bool(diagnosis)
    assert "4 findings" in repr(diagnosis)
    assert max(map(len, str(diagnosis).splitlines())) <= 100


def test_the_name_of_a_check_is_that_of_its_finding():
    assert len({check.__name__ for check in CHECKS}) == len(CHECKS) == 8


def test_arguments_of_another_kind_are_errors():
    model = make_model()
    with pytest.raises(ValueError, match="Received: history=list"):
        diagnose(model, [1.0])
    with pytest.raises(ValueError, match="Received: predictive="):
        diagnose(model, predictive=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="Received: initial_stddev=0"):
        diagnose(model, initial_stddev=0)
    with pytest.raises(ValueError, match="no random weights"):
        diagnose(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
