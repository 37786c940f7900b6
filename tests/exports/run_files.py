"""A program that runs exported files without Keras: `python run_files.py FOLDER`.

For each `NAME.npz` of inputs in the folder it runs the file beside it, on all of the inputs and on the first two, and
writes what comes out to `NAME-all.npz` and `NAME-two.npz`. It imports NumPy and the runtimes alone.
"""

import sys
from pathlib import Path

import numpy as np


def run_onnx(path, batches):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(None, batch), strict=True)) for batch in batches]


def run_litert(path, batches):
    from ai_edge_litert.interpreter import Interpreter

    serve = Interpreter(str(path)).get_signature_runner()
    # The arrays are the interpreter's, which it fills again.
    return [{name: array.copy() for name, array in serve(**batch).items()} for batch in batches]


def run_saved_model(path, batches):
    import tensorflow as tf

    # Held, since its signatures do not hold it.
    loaded = tf.saved_model.load(str(path))
    serve = loaded.signatures["serving_default"]
    of_batches = [serve(**{name: tf.constant(array) for name, array in batch.items()}) for batch in batches]
    return [{name: tensor.numpy() for name, tensor in found.items()} for found in of_batches]


RUNS = {".onnx": run_onnx, ".tflite": run_litert, ".saved": run_saved_model}


def run_all(folder):
    # TensorFlow last, so that the others are seen to run without it.
    for suffix, run in RUNS.items():
        for path in sorted(folder.glob(f"*{suffix}")):
            inputs = dict(np.load(path.with_suffix(".npz")))
            two = {name: array[:2] if array.ndim else array for name, array in inputs.items()}
            for size, found in zip(("all", "two"), run(path, [inputs, two]), strict=True):
                np.savez(folder / f"{path.stem}-{size}.npz", **found)
        # TensorFlow imports Keras by itself.
        assert suffix == ".saved" or not {"tensorflow", "keras", "jax"} & sys.modules.keys()
    assert "tfp_bnn" not in sys.modules


if __name__ == "__main__":
    run_all(Path(sys.argv[1]))
