"""The FastAPI application: a model's predictions over HTTP, and a page to draw on."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse

from scripts.common.reporting import log
from scripts.serving.answers import answers
from scripts.serving.inputs import BadRequest, input_of_image, inputs_of_json
from scripts.serving.served_model import ServedModel

MAX_BYTES = 8 * 1024**2
PAGE = Path(__file__).with_name("page.html")
# The page needs nothing from elsewhere, and gets nothing.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def make_app(served: ServedModel) -> FastAPI:
    """Returns the application, after a first prediction that compiles the model.

    Its end points are plain functions, which FastAPI runs in threads: requests are answered side by side.

    Args:
        served: what predicts.

    Raises:
        ScriptError: if the model cannot be served.
    """
    about, num_tokens = _about(served), served.num_tokens
    # Its own pages of documentation would load scripts from elsewhere.
    app = FastAPI(title=f"tfp_bnn: {served.name}", docs_url=None, redoc_url=None)

    @app.exception_handler(BadRequest)
    def refuse(request: Request, error: BadRequest) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, error.status)

    @app.get("/health")
    def health() -> dict[str, Any]:
        """Says what is served and how it is asked."""
        return about

    @app.post("/predict")
    def predict(body: Annotated[bytes, Depends(_body)]) -> dict[str, Any]:
        """Predicts `{"inputs": [...]}`, one or several examples; with `"draws": true` by each draw, too."""
        inputs, draws = inputs_of_json(body, served.input_shape, served.dtype, num_tokens)
        return _answer(served, inputs, draws)

    @app.post("/predict/image")
    def predict_image(body: Annotated[bytes, Depends(_body)], draws: bool = False) -> dict[str, Any]:
        """Predicts an image: the body is a PNG or JPEG file."""
        _check_images(served, "POST examples to /predict.")
        return _answer(served, input_of_image(body, served.input_shape).astype(served.dtype), draws)

    @app.get("/", response_class=HTMLResponse)
    def page() -> HTMLResponse:
        """Shows a page to draw on, if images are classified."""
        _check_images(served, "There is no page for others; POST examples to /predict.")
        if not about["classes"]:
            raise HTTPException(404, "The page is one for classes, and the model predicts none; POST to /predict.")
        return HTMLResponse(PAGE.read_text(), headers={"Content-Security-Policy": POLICY})

    return app


async def _body(request: Request) -> bytes:
    """Returns a request's body; raises BadRequest before more of it is read than is allowed."""
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > MAX_BYTES:
            raise BadRequest(f"Send at most {MAX_BYTES:,} bytes. Received: more than that", 413)
    return bytes(read)


def _answer(served: ServedModel, inputs: np.ndarray, draws: bool) -> dict[str, Any]:
    predictive = served.predict(inputs)
    # Numbers beyond those of 32 bits are told in an answer's stead, not in the log.
    with np.errstate(over="ignore", invalid="ignore"):
        found = answers(served, predictive, draws)
    return {"answers": found, "num_draws": served.num_draws, "seed": served.seed}


def _check_images(served: ServedModel, instead: str) -> None:
    if not served.takes_images():
        raise HTTPException(
            404, f"The model does not take images, but examples of shape {list(served.input_shape)}. {instead}"
        )


def _about(served: ServedModel) -> dict[str, Any]:
    """Returns what /health says: `classes` are names, or numbers; empty if none are predicted."""
    predictive = served.tried()
    if predictive.predicts_classes():
        number = predictive.class_probabilities().shape[-1]
        classes = served.class_names or [str(label) for label in range(number)]
    else:
        classes = []
    log.info("serves %s: examples of shape %s, %r", served.name, served.input_shape, predictive)
    return {
        "status": "ok",
        "model": served.name,
        "input_shape": served.input_shape,
        "classes": classes,
        "num_draws": served.num_draws,
        "seed": served.seed,
        "cutoff": served.cutoff,
        "temperature": served.temperature,
    }
