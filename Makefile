# Everything happens in .venv, made from the pins in constraints.txt.
PYTHON ?= $(firstword $(foreach v,python3.11 python3.12 python3.13,$(if $(shell $(v) -c "" 2>/dev/null && echo yes),$(v))) python3)
VENV := .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt
PYTEST_SHARED = --dist loadgroup --no-loadscope-reorder
DEMO_DIR ?= results/quickstart
KILLS ?= 70
SECONDS_A_TARGET ?= 60

# Processes of the tests load bytecode; without, each of hundreds compiles the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test suite test-slow lint format docs bench bench-gpu bench-cluster chaos fuzz clean

help:  ## show what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(VENV)/.dev  ## set up .venv for development

demo: $(VENV)/.run  ## run the quickstart study, print its table, write its report
	$(BIN)/python run.py --rq quickstart --output_dir $(DEMO_DIR)
	$(BIN)/aes-lipi analyse $(DEMO_DIR)

test: $(VENV)/.dev  ## lint, check types, run the test suite
	$(MAKE) --jobs 2 lint suite

suite: $(VENV)/.dev  ## run the test suite alone
	$(BIN)/python -m pytest -n auto $(PYTEST_SHARED) -m "not slow"

test-slow: $(VENV)/.dev  ## run the long tests too
	COLD_STARTS=1 $(BIN)/python -m pytest -n auto $(PYTEST_SHARED) --hypothesis-profile thorough

lint: $(VENV)/.dev  ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## bring the code into its one format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs  ## build the documentation, build/docs/html/index.html
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --jobs auto --doctree-dir build/docs/doctrees docs build/docs/html
	PYTHONPATH=docs $(BIN)/python -m sitegen.check build/docs/html

bench: $(VENV)/.dev  ## measure speed: steps, crossover, whole trials
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.step
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.step --losses
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.crossover
	PYTHONPATH=tests $(BIN)/python -m benchmarks.trial

bench-gpu: $(VENV)/.dev  ## check and measure the engine for a GPU: ten minutes, less without one
	PYTHONPATH=tests $(BIN)/python -m benchmarks.gpu

bench-cluster: $(VENV)/.dev  ## measure what Ray costs here: half an hour, on a quiet machine
	PYTHONPATH=tests $(BIN)/python -m benchmarks.cluster.chain
	PYTHONPATH=tests $(BIN)/python -m benchmarks.cluster.costs
	PYTHONPATH=tests $(BIN)/python -m benchmarks.cluster.overhead
	PYTHONPATH=tests $(BIN)/python -m benchmarks.cluster.soak
	PYTHONPATH=tests $(BIN)/python -m benchmarks.cluster.scale

chaos: $(VENV)/.dev  ## kill a study's processes at random moments, in all placements
	PYTHONPATH=tests $(BIN)/python -m chaos --kills $(KILLS)

fuzz: $(VENV)/.dev  ## look for input that is not refused in one line
	PYTHONPATH=tests $(BIN)/python -m fuzz.readers --seconds $(SECONDS_A_TARGET)

clean:  ## remove .venv and caches; results stay
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks

$(VENV)/.run: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable ".[dev]"
	touch $@ $(VENV)/.run

$(VENV)/.docs: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable ".[docs]"
	touch $@ $(VENV)/.run
