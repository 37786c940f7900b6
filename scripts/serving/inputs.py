"""What requests hold, checked: arrays that a model takes, from JSON or from an image."""

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageOps

MAX_EXAMPLES = 1000
# Of 4,000 by 4,000: small files may unpack to much.
MAX_PIXELS = 16_000_000


class BadRequest(Exception):
    """A request that cannot be answered, with a sentence for who sent it and the status of HTTP."""

    def __init__(self, sentence: str, status: int = 422):
        super().__init__(sentence)
        self.status = status


def inputs_of_json(
    body: bytes, shape: Sequence[int | None], dtype: str, num_tokens: int | None = None
) -> tuple[np.ndarray, bool]:
    """Returns the examples of a request `{"inputs": [...], "draws": false}` and whether it asks for single draws.

    Args:
        body: the request's, JSON.
        shape: of one example, with None where any size will do.
        dtype: that the model takes.
        num_tokens: how many tokens there are, if examples are tokens.

    Returns:
        An array [n, *shape], n = 1 if "inputs" is a single example, and what "draws" says.

    Raises:
        BadRequest: if the body is anything else, or a number is not finite.
    """
    request = _request(body)
    draws = request.get("draws", False)
    if not isinstance(draws, bool):
        raise BadRequest(f'"draws" must be true or false. Received: {_brief(draws)}')
    inputs = _numbers(request["inputs"], shape)
    if _fits(inputs.shape, shape):
        inputs = inputs[np.newaxis]
    if not _fits(inputs.shape[1:], shape) or not len(inputs):
        raise BadRequest(f'"inputs" must have the shape {_named(shape)}. Received: shape {list(inputs.shape)}')
    if len(inputs) > MAX_EXAMPLES:
        raise BadRequest(f"Send at most {MAX_EXAMPLES:,} examples at once. Received: {len(inputs):,} examples", 413)
    inputs = _as_dtype(inputs, dtype)
    # A table that lacks a token fails on one backend, and gives anything on another.
    if num_tokens is not None and not ((inputs >= 0) & (inputs < num_tokens)).all():
        wrong = inputs[(inputs < 0) | (inputs >= num_tokens)].flat[0]
        raise BadRequest(f'"inputs" must be tokens from 0 to {num_tokens - 1}. Received: {wrong}')
    return inputs, draws


def input_of_image(body: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns a PNG or JPEG file as an image [1, height, width, channels], pixels in [0, 1] as `tfp_bnn.datasets` has.

    It is turned as its camera says, laid on black where it is transparent, made grey if the model knows one channel,
    and resized.

    Args:
        body: the file.
        shape: [height, width, 1 or 3] of the model's images.

    Raises:
        BadRequest: if it is no such file, is broken, or has too many pixels.
    """
    height, width, channels = shape
    try:
        image = Image.open(io.BytesIO(body), formats=("PNG", "JPEG"))
        if image.width * image.height > MAX_PIXELS:
            raise BadRequest(
                f"Send an image of at most {MAX_PIXELS:,} pixels. Received: {image.width} x {image.height}", 413
            )
        image = _on_black(ImageOps.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
    except BadRequest:
        raise
    # Pillow raises what its readers do; a body that is no image is the sender's.
    except Exception as error:
        raise BadRequest(
            f"The body must be a PNG or JPEG file. Received: {len(body):,} bytes ({error})", 415
        ) from error
    pixels = np.asarray(image.resize((width, height), Image.Resampling.BOX), "float32") / 255
    return pixels.reshape(1, height, width, channels)


def _on_black(image: Image.Image) -> Image.Image:
    """Returns an image as it looks on black, which is the ground of the digits and garments that models learn."""
    opaque = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", opaque.size, (0, 0, 0, 255)), opaque)


def _request(body: bytes) -> dict[str, Any]:
    """Returns the JSON object of a body that has "inputs" and perhaps "draws"."""
    try:
        request = json.loads(body)
    # Too deep a nesting is a RecursionError; what is no text, a ValueError as all else.
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"The body must be JSON. Received: {_brief(body)} ({error})", 400) from error
    if not isinstance(request, dict) or "inputs" not in request or not request.keys() <= {"inputs", "draws"}:
        raise BadRequest(
            'The body must be a JSON object with "inputs" and, if single draws are asked for, "draws". '
            f"Received: {_brief(sorted(request) if isinstance(request, dict) else request)}"
        )
    return request


def _numbers(inputs: Any, shape: Sequence[int | None]) -> np.ndarray:
    """Returns nested lists of numbers as an array; raises BadRequest if they are ragged or of something else."""
    try:
        array = np.asarray(inputs)
    except (ValueError, OverflowError, RecursionError) as error:
        raise BadRequest(
            f'"inputs" must have the shape {_named(shape)}. Received: lists of different lengths, or too deep ones'
        ) from error
    # Beside text NumPy makes text of numbers; null, and integers beyond 64 bits, make objects.
    if array.dtype.kind not in "iuf":
        raise BadRequest(f'"inputs" must hold numbers alone. Received: {_brief(inputs)}')
    return array


def _as_dtype(inputs: np.ndarray, dtype: str) -> np.ndarray:
    """Returns the numbers as the model takes them; raises BadRequest if one of them cannot be."""
    with np.errstate(over="ignore", invalid="ignore"):
        cast = inputs.astype("float32" if "float" in dtype else dtype)
    if not np.isfinite(cast).all() or not np.isfinite(inputs).all():
        wrong = inputs[~(np.isfinite(cast) & np.isfinite(inputs))].flat[0]
        raise BadRequest(f'"inputs" must be finite numbers of 32 bits. Received: {wrong}')
    if "int" in dtype and not (cast == inputs).all():
        raise BadRequest(f'"inputs" must be whole numbers of {dtype}. Received: {inputs[cast != inputs].flat[0]}')
    return cast


def _fits(shape: Sequence[int], expected: Sequence[int | None]) -> bool:
    """Returns whether a shape is the expected one; a size that is left open is at least 1."""
    return len(shape) == len(expected) and all(
        size == one if one is not None else size > 0 for size, one in zip(shape, expected, strict=True)
    )


def _named(shape: Sequence[int | None]) -> str:
    """Returns how a shape is told to people, of one example and of several."""
    sizes = ", ".join("any" if size is None else str(size) for size in shape)
    return f"[{sizes}], or [n, {sizes}] of several examples"


def _brief(value: Any, length: int = 60) -> str:
    """Returns the start of what was received."""
    try:
        text = value[:length].decode(errors="replace") if isinstance(value, bytes) else json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(type(value))
    return text if len(text) <= length else f"{text[:length]}..."
