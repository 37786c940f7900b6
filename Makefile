# make demo: sets up, trains the Bayesian LeNet5 for a few hundred steps, and leaves plots in runs/demo.
# make test: sets up and runs the tests on both backends.
# make docs: sets up and builds the documentation site in site/, with warnings as errors.
# make notebooks: runs the notebooks from top to bottom, and writes into them what they show.
# make test-quick: runs what changes most often on one backend, in less than 3 minutes.
# make results-quick: trains the ten-epoch networks of docs/results anew, and shows their errors beside the committed.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 2
# What XLA compiles for JAX once serves all tests, processes and later runs: single operations too, which are many.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0

.PHONY: demo demo-regression train results-quick notebooks test test-quick test-tensorflow test-jax coverage lint docs clean

# So few steps hardly widen the posterior: it starts as TFP's example does, wide, and is unsure of noise at once.
CAUTIOUS := --dense-activation relu --initial-stddev 0.05 --prior-scale 1 --lr-schedule constant

demo: $(VENV)/ready
	rm -rf runs/demo
	$(BIN)/python scripts/train_lenet5.py --max-steps 600 --viz-every 200 $(CAUTIOUS) --output-dir runs/demo

demo-regression: $(VENV)/ready
	$(BIN)/python scripts/regression.py

train: $(VENV)/ready
	$(BIN)/python scripts/train_lenet5.py

results-quick: $(VENV)/ready
	$(BIN)/python scripts/results.py --quick

notebooks: $(VENV)/ready-to-test
	$(BIN)/python scripts/run_notebooks.py

# Side by side, the backends leave no core idle while one of them starts or ends.
test: lint
	$(MAKE) --jobs=2 test-tensorflow test-jax

lint: $(VENV)/ready-to-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

# Nothing is fetched but the packages that build it.
docs: $(VENV)/ready-for-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

test-tensorflow test-jax: test-%: $(VENV)/ready-to-test
	KERAS_BACKEND=$* $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# What is said of predictions, and what scripts compute; no file of more than 20 CPU seconds.
QUICK := tests/faults tests/numerics tests/test_kl_schedules.py tests/test_priors.py tests/test_kl.py \
    $(addprefix tests/callbacks/test_,every_steps.py noise_warmup.py predictive_metrics.py) \
    $(addprefix tests/metrics/test_metrics_,calibration.py classification.py detection.py regression.py selective.py) \
    $(addprefix tests/prediction/test_,calibration.py columns.py conformal.py decisions.py quantiles.py summary.py) \
    $(addprefix tests/scripts/test_,anytime_script.py bandit.py example_figures.py lenet5_figures.py \
        out_of_distribution.py prune_script.py reporting.py result_tables.py selective_risk.py small_data.py)

test-quick: $(VENV)/ready-to-test
	KERAS_BACKEND=tensorflow $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder $(QUICK)

coverage: $(VENV)/ready-to-test
	rm -f .coverage
	for backend in tensorflow jax; do \
	    KERAS_BACKEND=$$backend $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder \
	        --cov=tfp_bnn --cov-branch --cov-append --cov-report= || exit 1; \
	done
	$(BIN)/coverage report --show-missing --fail-under=95

$(VENV)/bin/python:
	@echo "Setting up $(VENV): some minutes the first time ..."
	$(PYTHON) -m venv $(VENV)
	$@ -m pip install --quiet --upgrade pip

$(VENV)/ready: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --progress-bar on --requirement requirements.txt --editable .
	touch $@

# Has all that `ready` has: what only tests installs once.
$(VENV)/ready-to-test: requirements.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --progress-bar on --requirement requirements.txt --editable ".[test]"
	touch $(VENV)/ready $@

$(VENV)/ready-for-docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --progress-bar on --editable ".[docs]"
	touch $@

clean:
	rm -rf $(VENV) runs site .jax_cache
