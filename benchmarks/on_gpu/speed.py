"""Times of training steps, of predictions and of random normals, beside the deterministic network and `jax.random`."""

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np

import tfp_bnn as bnn
from benchmarks.on_gpu import training
from benchmarks.on_gpu.report import Report, median
from scripts.common.reporting import log

DETERMINISTIC = "deterministic"
MIXTURE = "reparameterization, mixture prior"
# Batch size: steps of a call, so many that a call takes far longer than its dispatch.
STEPS = {128: 256, 1024: 64, 8192: 16}
POLICIES = ("float32", "mixed_bfloat16")
NUM_IMAGES = 2**16
ROUNDS = 5
SEED = 0


def make_model(network: str, kind: str, width: int = 1200) -> keras.Model:
    """Returns LeNet5 or a multilayer perceptron, with an estimator or deterministic."""
    estimator = "flipout" if kind == DETERMINISTIC else kind.split(",")[0]
    prior = bnn.priors.ScaleMixture(1.0, np.exp(-6), 0.5) if kind == MIXTURE else None
    if network == "LeNet5":
        model = bnn.models.lenet5(estimator=estimator, prior=prior)
    else:
        model = bnn.models.mlp((784,), [width] * 2, estimator=estimator, prior=prior)
    return bnn.to_deterministic(model) if kind == DETERMINISTIC else model


class Steps:
    """Training steps of one network in one compiled call, with Adam, over images that lie on the device."""

    def __init__(self, network: str, kind: str, policy: str, batch_size: int, images: Any, labels: Any, quick: bool):
        self.network, self.kind, self.policy, self.batch_size = network, kind, policy, batch_size
        self.steps = 2 if quick else STEPS[batch_size]
        self._width = 16 if quick else 1200
        self._data = images if network == "LeNet5" else images.reshape(len(images), -1), labels

    def lower(self) -> None:
        """Makes the network and traces the steps."""
        keras.utils.set_random_seed(SEED)
        keras.config.set_dtype_policy(self.policy)
        model = make_model(self.network, self.kind, self._width)
        keras.config.set_dtype_policy("float32")
        for layer in bnn.layers.variational_layers(model):
            layer.kl_weight = 1 / 60_000
        optimizer = training.make_optimizer("adam")
        optimizer.build(model.trainable_variables)
        step = training.training_step(model, optimizer)
        self._state = training.state_of(model, optimizer)

        def steps(state: Any, images: Any, labels: Any) -> Any:
            def body(state: Any, index: Any) -> Any:
                first = index * self.batch_size % len(images)
                batch = [jax.lax.dynamic_slice_in_dim(each, first, self.batch_size) for each in (images, labels)]
                return step(state, *batch, 1e-3, 1.0)

            return jax.lax.scan(body, state, jax.numpy.arange(self.steps))

        self._lowered = jax.jit(steps, donate_argnums=0).lower(self._state, *self._data)

    def compile(self) -> None:
        """Compiles what was traced; may run in a thread."""
        self._run = self._lowered.compile()
        del self._lowered

    def milliseconds(self) -> list[float]:
        """Returns the times of a step, one a round."""

        def call() -> None:
            self._state, halves = self._run(self._state, *self._data)
            jax.block_until_ready((self._state, halves))
            assert np.isfinite(halves[0]).all()

        found = [1000 * seconds / self.steps for seconds in timed(call)]
        del self._state, self._run
        return found


def timed(call: Callable[[], Any], warm_ups: int = 2) -> list[float]:
    """Returns the seconds of each round."""
    seconds = []
    for _ in range(warm_ups + ROUNDS):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return seconds[warm_ups:]


def stages() -> Iterator[list[tuple[str, str, str, int]]]:
    """Yields network, kind, policy and batch size, in lists that are compiled at once; the most telling come first."""
    with_one_pass = [kind for kind in bnn.estimators.NAMES if kind != "antithetic"]
    for policy, batch_sizes in (("float32", (128, 8192)), ("mixed_bfloat16", (8192,)), ("float32", (1024,))):
        kinds = (DETERMINISTIC, *bnn.estimators.NAMES, MIXTURE)
        yield [("2x1200", kind, policy, batch_size) for batch_size in batch_sizes for kind in kinds]
        for batch_size in batch_sizes:
            yield [("LeNet5", kind, policy, batch_size) for kind in (DETERMINISTIC, *with_one_pass)]
    # Its many groups make many convolutions, which take long to compile.
    for batch_size in (128, 8192):
        yield [("LeNet5", "antithetic", "float32", batch_size)]
    for batch_size in (1024, 128):
        for network in ("2x1200", "LeNet5"):
            yield [(network, kind, "mixed_bfloat16", batch_size) for kind in (DETERMINISTIC, *with_one_pass)]


def speed(args: argparse.Namespace) -> None:
    """Measures steps, as long as there is time, and then predictions and random normals."""
    started = time.perf_counter()
    rng = np.random.default_rng(SEED)
    many = 8192 if args.quick else NUM_IMAGES
    images = jax.numpy.asarray(rng.random((many, 28, 28, 1), "float32"))
    labels = jax.numpy.asarray(rng.integers(10, size=many).astype("int32"))
    if "steps" in args.parts:
        report = Report("speed_steps", args, "steps")
        report.set("seed", SEED)
        _steps(report, images, labels, started + args.seconds, args.quick)
    if "predictions" in args.parts:
        report = Report("speed_predictions", args, "normals", "draws")
        report.set("seed", SEED)
        _normals(report, args.quick)
        _draws(report, images, args.quick)


def _steps(report: Report, images: Any, labels: Any, deadline: float, quick: bool) -> None:
    deterministic: dict[Any, float] = {}
    for stage in stages():
        steps = [Steps(*each, images, labels, quick) for each in stage]
        training.compile_all(steps)
        log.info("compiled %d programs, %.0f s before the deadline", len(stage), deadline - time.perf_counter())
        for each in steps:
            found = each.milliseconds()
            key = each.network, each.policy, each.batch_size
            if each.kind == DETERMINISTIC:
                deterministic[key] = median(found)
            report.add(
                "steps",
                {
                    "network": each.network,
                    "policy": each.policy,
                    "batch_size": each.batch_size,
                    "kind": each.kind,
                    "milliseconds": median(found),
                    "ratio": round(median(found) / deterministic[key], 2),
                    "least": float(f"{min(found):.4g}"),
                    "greatest": float(f"{max(found):.4g}"),
                },
            )
        if time.perf_counter() > deadline:
            return


# Random normals.


def _normals(report: Report, quick: bool) -> None:
    for size, repeats in ((10**4, 2),) if quick else ((10**6, 2000), (10**8, 50)):
        found = {}
        for name, draw in (("tfp_bnn", _ours), ("jax.random", _of_jax)):

            def many(first: Any, draw: Any = draw, size: int = size, repeats: int = repeats) -> Any:
                # Each draw takes the place of the one before, so all are written to memory.
                def body(_: Any, count: Any) -> Any:
                    return draw(first + count, size), None

                return jax.lax.scan(body, jax.numpy.zeros(size), jax.numpy.arange(repeats))[0]

            compiled = jax.jit(many).lower(0).compile()
            seconds = timed(lambda compiled=compiled: jax.block_until_ready(compiled(0)))
            found[name] = median([1000 * each / repeats for each in seconds])
        report.add(
            "normals",
            {
                "count": size,
                "milliseconds": found["tfp_bnn"],
                "milliseconds_of_jax_random": found["jax.random"],
                "ratio": round(found["tfp_bnn"] / found["jax.random"], 2),
            },
        )


def _ours(count: Any, size: int) -> Any:
    return bnn.posteriors.Noise(lambda: jax.numpy.stack([7, count])).normal((size,))


def _of_jax(count: Any, size: int) -> Any:
    return jax.random.normal(jax.random.fold_in(jax.random.PRNGKey(7), count), (size,))


# Predictions.


def _draws(report: Report, images: Any, quick: bool) -> None:
    """Measures predictions from and to the host's memory: `bnn.predict`, and as many deterministic networks."""
    num_draws = 50
    model = make_model("LeNet5", "flipout")
    model.compile(loss=bnn.likelihoods.Categorical())
    plain = bnn.to_deterministic(model)
    # A network of its own for each pass: XLA would run the same one only once.
    weights = [jax.numpy.stack([variable.value] * num_draws) for variable in plain.trainable_variables]

    @jax.jit
    def passes(weights: list[Any], x: Any) -> Any:
        return jax.lax.map(lambda of_one: plain.stateless_call(of_one, [], x)[0], weights)

    for size in (100,) if quick else (1000, 10_000):
        x = np.asarray(images[:size])
        found = {
            "milliseconds": lambda x=x: bnn.predict(model, x, num_draws, batch_size=len(x), seed=SEED, verbose=False),
            "milliseconds_in_batches_of_1000": lambda x=x: bnn.predict(model, x, num_draws, seed=SEED, verbose=False),
            "milliseconds_of_deterministic": lambda x=x: np.asarray(passes(weights, x)),
        }
        result = {name: median([1000 * each for each in timed(call)]) for name, call in found.items()}
        ratio = round(result["milliseconds"] / result["milliseconds_of_deterministic"], 2)
        report.add("draws", {"network": "LeNet5", "draws": num_draws, "images": size, **result, "ratio": ratio})
