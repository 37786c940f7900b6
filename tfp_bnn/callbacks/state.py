"""The state of a model that is being trained."""

import keras


def sync_state(model: keras.Model) -> None:
    """Brings the variables of a model in training up to date: Keras's JAX trainer keeps them elsewhere meanwhile."""
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()
