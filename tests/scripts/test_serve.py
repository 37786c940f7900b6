"""The server: its answers are those of `predict`, it says what is wrong with bad requests, and its page can be used."""

import contextlib
import dataclasses
import io
import json
import re
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest

import tfp_bnn as bnn
from scripts.common.reporting import ScriptError
from tests.scripts.script_runs import run_here
from tests.support.on_backends import UNCOMPILED, on_tensorflow_alone

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx")
uvicorn = pytest.importorskip("uvicorn")
Image = pytest.importorskip("PIL.Image")

from fastapi.testclient import TestClient  # noqa: E402

from scripts.serving import app as serving  # noqa: E402
from scripts.serving.served_model import ServedModel  # noqa: E402

pytestmark = on_tensorflow_alone

SHAPE = (28, 28, 1)
DRAWS = 50
CLASSES = ("standing", "lying")


def lines(number, rng):
    """Returns images of thick lines, white on black, and whether they stand (0) or lie (1)."""
    images, labels = np.zeros((number, *SHAPE), "float32"), rng.integers(2, size=number)
    for image, label in zip(images, labels, strict=True):
        at = rng.integers(9, 17)
        part = image.swapaxes(0, 1) if label else image
        part[4:24, at : at + 3] = rng.uniform(0.7, 1.0)
    return images, labels


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    model = bnn.models.mlp(SHAPE, (8,), 2)
    model.compile(keras.optimizers.Adam(0.01), bnn.likelihoods.Categorical())
    x, y = lines(640, np.random.default_rng(0))
    model.fit(x, y, batch_size=32, epochs=5, verbose=0, callbacks=[bnn.callbacks.KLWeight()])
    return model


@pytest.fixture(scope="module")
def served(model):
    return ServedModel(model, num_draws=DRAWS, seed=3, class_names=CLASSES)


@pytest.fixture(scope="module")
def client(served):
    return TestClient(serving.make_app(served))


def compiled(model, likelihood):
    model.compile("sgd", likelihood, **UNCOMPILED)
    return model


@pytest.fixture(scope="module")
def of_numbers():
    """A client of a regression of two inputs and two targets."""
    layers = [keras.Input((2,)), bnn.layers.DenseFlipout(2)]
    served = ServedModel(compiled(keras.Sequential(layers), bnn.likelihoods.Normal(0.5)), num_draws=20)
    return served, TestClient(serving.make_app(served))


def png(pixels, form="PNG"):
    """Returns pixels [height, width] or [height, width, channels] as a file."""
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, "uint8")).save(file, form)
    return file.getvalue()


def predicted(served, inputs):
    return bnn.predict(served.model, np.asarray(inputs, "float32"), served.num_draws, seed=served.seed)


# Answers


def test_answers_are_those_of_predict_at_the_seed(served, client):
    inputs = np.random.default_rng(0).random((3, *SHAPE)).round(3)
    response = client.post("/predict", json={"inputs": inputs.tolist(), "draws": True})
    assert response.status_code == 200
    found, expected = response.json(), predicted(served, inputs)
    assert (found["num_draws"], found["seed"]) == (DRAWS, 3)
    labels = expected.decide(cutoff=0.5)
    assert [each["label"] for each in found["answers"]] == labels.tolist()
    assert [each["name"] for each in found["answers"]] == [CLASSES[label] for label in labels]
    columns = {
        "probability": expected.mean().max(axis=-1),
        "probabilities": expected.mean(),
        "entropy": expected.entropy(),
        "expected_entropy": expected.expected_entropy(),
        "mutual_information": expected.mutual_information(),
        "draws": expected.draws.swapaxes(0, 1),
    }
    for name, values in columns.items():
        np.testing.assert_allclose([each[name] for each in found["answers"]], values, rtol=1e-4, atol=1e-5)


def test_one_example_needs_no_axis_and_draws_come_if_asked_for(served, client):
    x = lines(1, np.random.default_rng(1))[0]
    (alone,) = client.post("/predict", json={"inputs": x[0].tolist()}).json()["answers"]
    (among,) = client.post("/predict", json={"inputs": x.tolist()}).json()["answers"]
    assert alone == among
    assert "draws" not in alone


def test_the_network_refuses_below_the_cutoff(served):
    client = TestClient(serving.make_app(dataclasses.replace(served, cutoff=1.0)))
    (answer,) = client.post("/predict", json={"inputs": np.zeros(SHAPE).tolist()}).json()["answers"]
    assert answer["label"] is answer["name"] is None
    assert sum(answer["probabilities"]) == pytest.approx(1)


def test_a_temperature_changes_what_is_said(served):
    warm = dataclasses.replace(served, temperature=3.0, class_names=())
    x = lines(2, np.random.default_rng(2))[0]
    found = TestClient(serving.make_app(warm)).post("/predict", json={"inputs": x.tolist()}).json()["answers"]
    expected = predicted(served, x).at_temperature(3.0).mean()
    np.testing.assert_allclose([each["probabilities"] for each in found], expected, rtol=1e-4)
    assert "name" not in found[0]


def test_an_image_is_made_grey_and_resized_and_scaled(served, client):
    pixels = np.random.default_rng(0).integers(256, size=SHAPE[:2])
    expected = predicted(served, pixels[np.newaxis, ..., np.newaxis] / 255).mean()[0]
    large = np.kron(pixels, np.ones((4, 4), int))
    for sent in (pixels, large, np.stack([large] * 3, axis=-1)):
        response = client.post("/predict/image", content=png(sent))
        (answer,) = response.json()["answers"]
        np.testing.assert_allclose(answer["probabilities"], expected, rtol=1e-3)
    jpeg = client.post("/predict/image", params={"draws": True}, content=png(large, "JPEG")).json()["answers"][0]
    assert np.shape(jpeg["draws"]) == (DRAWS, 2)
    np.testing.assert_allclose(jpeg["probabilities"], expected, atol=0.2)


def test_what_is_transparent_is_black(client):
    ink = np.zeros((28, 28), "uint8")
    ink[4:24, 12:15] = 255
    in_alpha = np.dstack([np.full((28, 28, 3), 255, "uint8"), ink])
    of_alpha, of_ink = (client.post("/predict/image", content=png(pixels)).json() for pixels in (in_alpha, ink))
    assert of_alpha == of_ink


def test_numbers_come_with_their_parts_and_an_interval(of_numbers):
    served, client = of_numbers
    inputs = [[0.5, -1.0], [2.0, 1.0], [0.0, 0.0]]
    found = client.post("/predict", json={"inputs": inputs, "draws": True}).json()["answers"]
    expected = predicted(served, inputs)
    columns = {
        "mean": expected.mean(),
        "stddev": expected.stddev(),
        "epistemic_stddev": expected.epistemic_stddev(),
        "aleatoric_stddev": expected.aleatoric_stddev(),
        "interval": expected.quantiles((0.025, 0.975)).swapaxes(0, 1),
        "draws": expected.draws.swapaxes(0, 1),
    }
    assert found[0].keys() == columns.keys()
    for name, values in columns.items():
        np.testing.assert_allclose([each[name] for each in found], values, rtol=1e-4, atol=1e-5)


def test_yes_or_no_has_two_classes_and_several_of_them_no_interval():
    def answer(outputs):
        model = keras.Sequential([keras.Input((2,)), bnn.layers.DenseFlipout(outputs)])
        client = TestClient(serving.make_app(ServedModel(compiled(model, bnn.likelihoods.Bernoulli()), num_draws=3)))
        return client.post("/predict", json={"inputs": [1, 2], "draws": True}).json()["answers"][0]

    assert np.shape(answer(1)["draws"]) == (3, 2)
    assert answer(2).keys() == {"mean", "stddev", "epistemic_stddev", "aleatoric_stddev", "draws"}


def test_health_says_what_is_served(client, of_numbers):
    found = client.get("/health").json()
    assert found["status"] == "ok"
    assert found["input_shape"] == list(SHAPE)
    assert (found["classes"], found["num_draws"]) == (list(CLASSES), DRAWS)
    assert of_numbers[1].get("/health").json()["classes"] == []


# Bad requests


def inputs(value):
    return json.dumps({"inputs": value}).encode()


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"", 400, "must be JSON"),
        (b"inputs", 400, "must be JSON. Received: inputs"),
        (b"\xff\xfe\xff", 400, "must be JSON"),
        (b"[" * 100_000, 400, "must be JSON"),
        (b"[1, 2]", 422, 'object with "inputs".* Received: .1, 2'),
        (b'{"x": [1, 2]}', 422, 'object with "inputs".* Received: .*"x"'),
        (b'{"inputs": [1, 2], "draw": true}', 422, 'Received: .*"draw"'),
        (b'{"inputs": [1, 2], "draws": 1}', 422, "must be true or false. Received: 1"),
        (inputs([1, 2, 3]), 422, r"shape \[2\], or \[n, 2\] .* Received: shape \[3\]"),
        (inputs([[[1, 2]]]), 422, r"Received: shape \[1, 1, 2\]"),
        (inputs(1.0), 422, r"Received: shape \[\]"),
        (inputs([]), 422, r"Received: shape \[0\]"),
        (inputs([[1, 2], [3]]), 422, "lists of different lengths"),
        (inputs(["1", "2"]), 422, r'numbers alone. Received: \["1", "2"\]'),
        (inputs([1, "a"]), 422, "numbers alone"),
        (inputs("text"), 422, 'numbers alone. Received: "text"'),
        (inputs([None, 1]), 422, "numbers alone"),
        (inputs([True, False]), 422, "numbers alone"),
        (inputs({"a": 1}), 422, "numbers alone"),
        (b'{"inputs": [1, 1' + b"0" * 400 + b"]}", 422, "numbers alone"),
        (b'{"inputs": [NaN, 1]}', 422, "finite numbers.* Received: nan"),
        (b'{"inputs": [1, -Infinity]}', 422, "finite numbers.* Received: -inf"),
        (b'{"inputs": [1e300, 1]}', 422, r"finite numbers.* Received: 1e\+300"),
        (b'{"inputs": [[0, 0], [3e38, 3e38]]}', 422, "are the inputs scaled.* Received: others from example 1"),
        (inputs([[0, 0]] * 1001), 413, "at most 1,000 examples at once. Received: 1,001"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong(of_numbers, body, status, said):
    response = of_numbers[1].post("/predict", content=body)
    assert response.status_code == status
    assert re.search(said, response.json()["detail"])


@pytest.mark.parametrize("table", [keras.layers.Embedding, bnn.layers.Embedding])
def test_tokens_are_whole_numbers_of_which_the_table_has_some(table):
    layers = [keras.Input((3,), dtype="int32"), table(5, 2), keras.layers.Flatten()]
    model = keras.Sequential([*layers, bnn.layers.DenseFlipout(2)])
    client = TestClient(serving.make_app(ServedModel(compiled(model, bnn.likelihoods.Categorical()), num_draws=2)))
    assert client.post("/predict", content=inputs([1, 4, 0])).status_code == 200
    wrong = {"whole numbers of int32": ([0.5, 1, 2], [2**40, 1, 2]), "tokens from 0 to 4": ([5, 1, 2], [0, -1, 2])}
    for said, several in wrong.items():
        for each in several:
            response = client.post("/predict", content=inputs(each))
            assert response.status_code == 422
            assert said in response.json()["detail"]


NOISE = np.random.default_rng(0).integers(256, size=SHAPE[:2])


@pytest.mark.parametrize("body", [b"", b"no image", png(NOISE)[:300], png(NOISE, "GIF")])
def test_what_is_no_image_is_refused(client, body):
    response = client.post("/predict/image", content=body)
    assert response.status_code == 415
    assert "must be a PNG or JPEG file. Received" in response.json()["detail"]


def test_too_much_is_refused(client):
    for path in ("/predict", "/predict/image"):
        response = client.post(path, content=bytes(serving.MAX_BYTES + 1))
        assert response.status_code == 413
        assert "at most 8,388,608 bytes" in response.json()["detail"]
    response = client.post("/predict/image", content=png(np.zeros((4000, 4001))))
    assert response.status_code == 413
    assert "Received: 4001 x 4000" in response.json()["detail"]


def test_a_model_of_numbers_has_no_page_and_takes_no_images(of_numbers):
    for response in (of_numbers[1].get("/"), of_numbers[1].post("/predict/image", content=png(np.zeros((2, 2))))):
        assert response.status_code == 404
        assert "does not take images, but examples of shape [2]" in response.json()["detail"]
    assert of_numbers[1].get("/predict").status_code == 405


def test_a_model_that_cannot_be_served_is_an_error_at_the_start(model):
    one, two = keras.Input((2,)), keras.Input((2,))
    output = bnn.layers.DenseFlipout(2)(keras.layers.concatenate([one, two]))
    several = compiled(keras.Model([one, two], output), bnn.likelihoods.Categorical())
    with pytest.raises(ScriptError, match="Received: 2 inputs and 1 outputs"):
        serving.make_app(ServedModel(several))
    with pytest.raises(ScriptError, match=r"each of 2 classes. Received: 3 names"):
        serving.make_app(ServedModel(model, class_names=("a", "b", "c")))
    steps = compiled(keras.Sequential([keras.Input((4, 2)), bnn.layers.DenseFlipout(3)]), bnn.likelihoods.Categorical())
    with pytest.raises(ScriptError, match=r"one output row for each example. Received: .*4 positions"):
        serving.make_app(ServedModel(steps))


# The command


def test_the_command_serves_a_file(model, tmp_path, monkeypatch):
    model.save(tmp_path / "lines.keras")
    ran = {}
    monkeypatch.setattr(uvicorn, "run", lambda app, **options: ran.update(options, app=app))
    run_here("serve", tmp_path / "lines.keras", "--class-names", *CLASSES, "--port", 8765, "--num-draws", 4)
    assert (ran["host"], ran["port"]) == ("127.0.0.1", 8765)
    found = TestClient(ran["app"]).get("/health").json()
    assert (found["model"], found["classes"], found["num_draws"]) == ("lines.keras", list(CLASSES), 4)


def test_without_the_packages_one_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(SystemExit, match=r'error: .* pip install "tfp-bnn\[serve\]"'):
        run_here("serve", tmp_path / "none.keras")


# Over the network, and in a browser


@contextlib.contextmanager
def listening(app):
    """Yields the address at which an application listens."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        end = time.monotonic() + 30
        while not server.started:
            assert time.monotonic() < end
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_requests_at_once_get_the_same_answers(served, client):
    images = lines(5, np.random.default_rng(4))[0]
    expected = client.post("/predict", json={"inputs": images.tolist()}).json()["answers"]
    bodies = [{"inputs": images[: 1 + number % 5].tolist()} for number in range(16)]
    with listening(client.app) as address, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda body: httpx.post(f"{address}/predict", json=body, timeout=60), bodies))
    for body, response in zip(bodies, found, strict=True):
        assert response.status_code == 200
        assert len(response.json()["answers"]) == len(body["inputs"])
        for one, other in zip(response.json()["answers"], expected, strict=False):
            assert one["label"] == other["label"]
            np.testing.assert_allclose(one["probabilities"], other["probabilities"], rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium, of Debian or another."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium, or no chromedriver, is installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    yield browser
    browser.quit()


def opened(browser, address, width=1200, height=900):
    """Opens the page at a width, and waits until it is ready."""
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get(address)
    until(lambda: browser.execute_script("return document.body.dataset.ready"))


def draw(browser, *strokes):
    """Draws strokes of points, in pixels from the middle of the paper, by the mouse."""
    from selenium.webdriver.common.action_chains import ActionChains

    paper = browser.find_element("id", "paper")
    for first, *others in strokes:
        chain = ActionChains(browser, duration=20).move_to_element_with_offset(paper, *first).click_and_hold()
        for point in others:
            chain = chain.move_to_element_with_offset(paper, *point)
        chain.release().perform()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def text(browser, name):
    return browser.find_element("id", name).text.strip()


def test_a_person_draws_and_sees_each_draw(client, browser):
    with listening(client.app) as address:
        opened(browser, address)
        assert text(browser, "total") == "Nothing is drawn yet."
        for stroke, expected in zip([((5, -90), (0, 90)), ((-90, 5), (90, 0))], CLASSES, strict=True):
            draw(browser, stroke)
            until(lambda: text(browser, "label") in CLASSES)
            assert text(browser, "label") == expected
            assert text(browser, "sentence").startswith("with probability ")
            rows = browser.find_elements("css selector", ".class")
            assert [row.find_element("class name", "name").text for row in rows] == list(CLASSES)
            assert [len(row.find_elements("class name", "draw")) for row in rows] == [DRAWS] * 2
            assert "nats, of 0.69 at most" in text(browser, "total")
            assert "disagreement of the networks" in text(browser, "words-epistemic")
            browser.find_element("id", "clear").click()
            assert text(browser, "label") == ""
            assert not browser.find_elements("class name", "draw")
        # All that it loads is the server's, and nothing went wrong.
        names = browser.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
        assert {name.split("?")[0] for name in names} <= {f"{address}/health", f"{address}/predict/image"}
        assert browser.get_log("browser") == []


def test_the_page_says_that_it_does_not_know_and_fits_a_telephone(served, browser):
    with listening(serving.make_app(dataclasses.replace(served, cutoff=1.0))) as address:
        opened(browser, address, width=400)
        draw(browser, ((-60, -60), (60, 60)))
        until(lambda: text(browser, "label") == "I do not know")
        assert "is below 1." in text(browser, "sentence")
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 400


def test_the_page_shows_what_the_server_says_of_a_bad_file(client, browser, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png(lines(1, np.random.default_rng(0))[0][0, ..., 0] * 255))
    bad.write_bytes(b"no image")
    with listening(client.app) as address:
        opened(browser, address)
        browser.find_element("id", "file").send_keys(str(bad))
        assert "must be a PNG or JPEG file" in until(lambda: text(browser, "error"))
        browser.find_element("id", "file").send_keys(str(good))
        until(lambda: text(browser, "label") in CLASSES)
        assert not browser.find_element("id", "error").is_displayed()
