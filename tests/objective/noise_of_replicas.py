"""What two replicas add to the same outputs, for a process that has two devices."""

from collections.abc import Iterator

import keras
import numpy as np

import tfp_bnn as bnn

INPUTS = np.eye(32, dtype="float32")


def compared(strategy) -> Iterator[float]:
    """Yields for each way to draw how far the first replica is from one device alone, and how both are correlated."""
    for estimator in ("reparameterization", "flipout", "local_reparameterization"):
        with strategy.scope():
            posterior = bnn.posteriors.MeanFieldNormal(0.5, keras.initializers.Zeros())
            layer = bnn.layers.Dense(64, estimator=estimator, posterior=posterior, kl_weight=1.0, seed=3)
            layer.build((None, 32))
        before = keras.ops.convert_to_numpy(layer.seed_generator.state.value)
        run = strategy.run(lambda layer=layer: layer(INPUTS, training=True))
        first, second = map(np.asarray, strategy.experimental_local_results(run))
        layer.seed_generator.state.assign(before)
        alone = np.asarray(layer(INPUTS, training=True))
        yield float(np.abs(first - alone).max() / alone.std())
        yield float(np.mean(first * second) / (first.std() * second.std()))
