# Set-up and the two commands of the README. Everything lives in .venv; installed packages are not fetched again.
#
#   make demo          the main job: export, measure, check, report      (ARGS="--views 5" adds options)
#   make test          the whole check: lint, types, every test but the slow ones
#   make coverage      the same tests, and which lines they reach; below the floor (pyproject.toml) it fails
#   make test-fast     the tests of arithmetic, choice and report, without a browser: a minute
#   make test-slow     also the tests that take minutes or gigabytes
#   make lint          ruff, vulture, import-linter; eslint for the page's scripts if Node.js is installed  (SELECT=ANN: further rules)
#   make format        ruff format, and the fixes that ruff can make
#   make typecheck     mypy
#   make docs          docs/ as a site, into build/docs
#   make lock          rewrite constraints.txt; its pins are kept  (UPGRADE=1 takes the newest, UPGRADE="a b" two)
#   make hooks         pre-commit hooks
#   make records       bench/records/*/results.json to bench/records/report.{md,html,png} and README's figures
#   make clean         remove .venv and caches; artifacts and results stay
#
# PYTHON names the interpreter (3.10 to 3.13); by default the first one found. On Linux, PyPI's torch brings CUDA. For
# the CPU build: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

COMMA := ,
VENV := .venv
BIN := $(VENV)/bin
# One stamp per installed set. It is written last, so an interrupted installation is resumed.
PYTHON_STAMP := $(VENV)/.python
DEMO_STAMP := $(VENV)/.demo
TEST_STAMP := $(VENV)/.test

SUPPORTED := import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in python3 python3.13 python3.12 python3.11 python3.10 python; do \
	"$$name" -c '$(SUPPORTED)' 2>/dev/null && echo "$$name" && break; done)

PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet --no-warn-conflicts --constraint constraints.txt
# depth-anything-3 asks for numpy<2, xformers, open3d, pycolmap, ..., which its network never imports, and for
# Python <= 3.13 (meaning 3.13.0): only its own files are taken.
DA3 := depth-anything-3==0.1.1
# litert-torch and executorch ask for transformers, kagglehub, hydra, ..., which no conversion imports: their own files are
# taken, and what is imported by name.
PHONES := litert-torch litert-converter ai-edge-litert ai-edge-quantizer executorch torchao jax jaxlib opt-einsum absl-py \
	immutabledict multipledispatch backports-strenum tabulate pandas pytz python-dateutil six ruamel-yaml
# A plug-in provider of ONNX Runtime that runs on any CPU; it declares an older ONNX Runtime than it works with.
PLUGIN := onnxruntime-ggml
# What the runtime in a browser serves to its page; not a Python package.
WEB := onnxruntime-web@1.30.0
# Core ML packages can be made anywhere; only a Mac uses them in the demo.
DEMO_EXTRAS := da3,onnx,openvino,report,predict$(if $(filter Darwin,$(shell uname -s)),$(COMMA)coreml)
# Core AI's wheels need glibc 2.34 or macOS 26; elsewhere its tests skip.
HAS_COREAI := import os, platform, sys; mac = sys.platform == "darwin"; \
	found = platform.mac_ver()[0] if mac else (os.confstr("CS_GNU_LIBC_VERSION") or "0").split()[-1]; \
	print("yes" * (tuple(map(int, found.split(".")))[:2] >= ((26, 0) if mac else (2, 34))))
TEST_EXTRAS := da3,onnx,openvino,report,predict,coreml,tensorrt,docs,fleet,test$(if $(shell "$(PYTHON)" -c '$(HAS_COREAI)' 2>/dev/null),$(COMMA)coreai)
ARGS ?=
PYTEST_ARGS ?=
# One test process a core, four at most, and one thread in each: a process takes about 1 GB.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest
PARALLEL := -n auto --maxprocesses 4
FAST := $(addprefix tests/bench/,choice plan report results statistics) tests/exporters/core
SELECT ?=
ESLINT := eslint@9.39.5
# uv resolves for every system at once; it is not needed for anything else.
UV := uv>=0.9,<1

.PHONY: help demo test test-fast test-slow coverage lint lint-python lint-js format typecheck docs lock hooks records clean

help:
	@sed -n '/^#   make/s/^# *//p' Makefile

demo: $(DEMO_STAMP)
	$(BIN)/depthport run $(ARGS)

test: lint-python typecheck
	$(PYTEST) $(PARALLEL) $(PYTEST_ARGS)

coverage: $(TEST_STAMP)
	@mkdir -p build/coverage
	$(PYTEST) $(PARALLEL) --cov --cov-report=term:skip-covered $(PYTEST_ARGS)

test-fast: $(TEST_STAMP)
	$(PYTEST) -m "not slow and not browser" $(FAST) $(PYTEST_ARGS)

test-slow: $(TEST_STAMP)
	$(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

lint: lint-python lint-js

lint-python: $(TEST_STAMP)
	$(BIN)/ruff check $(if $(SELECT),--select $(SELECT) --statistics) .
	$(BIN)/ruff format --check .
	$(BIN)/vulture
	$(BIN)/lint-imports --no-cache

# Checking the page's scripts takes Node.js, which nothing else here needs.
lint-js:
	@if command -v npx >/dev/null; then npx --yes $(ESLINT) bench/report/page/assets/page; \
	else echo "Node.js is not here: the page's scripts are not linted"; fi

format: $(TEST_STAMP)
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

typecheck: $(TEST_STAMP)
	$(BIN)/mypy -p depthport -p tests

docs: $(TEST_STAMP)
	$(BIN)/mkdocs build --strict --site-dir build/docs

lock: $(TEST_STAMP)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet '$(UV)'
	.ci/lock.sh $(BIN)/uv $(subst $(COMMA)coreai,,$(TEST_EXTRAS))$(COMMA)coreai '$(PHONES)'

hooks: $(TEST_STAMP)
	@$(PIP) pre-commit
	$(BIN)/pre-commit install

# Everything that is shown of recorded runs is made from them here; the picture needs Chromium. Git leaves the page out.
RECORDS := $(sort $(dir $(wildcard bench/records/*/results.json)))

records: $(if $(filter $(VENV)/bin,$(BIN)),$(DEMO_STAMP))
	$(BIN)/depthport report $(RECORDS) --out bench/records --picture
	for page in README.md docs/cpu.md; do $(BIN)/python -m depthport.bench.report.markdown.excerpt $$page $(RECORDS); done

# A virtual environment holds its own path and a link to its interpreter: after the checkout has moved, or the
# interpreter has gone, it is made anew.
MADE_FOR := $(shell test -x $(BIN)/python && cat $(PYTHON_STAMP) 2>/dev/null)
ifneq ($(MADE_FOR),$(CURDIR))
.PHONY: $(PYTHON_STAMP)
endif

$(PYTHON_STAMP):
	@"$(PYTHON)" -c '$(SUPPORTED)' 2>/dev/null || { echo "depthport needs Python 3.10 to 3.13, and \
	$(if $(PYTHON),$(PYTHON) is none,none was found): name one with make demo PYTHON=/path/to/python3.12" >&2; exit 2; }
	@said=$$("$(PYTHON)" -m venv $(if $(wildcard $(PYTHON_STAMP)),--clear) $(VENV) 2>&1) || { echo "$(PYTHON) \
	can't make a virtual environment ($${said##*$$'\n'}); on Debian: apt install python3-venv" >&2; exit 2; }
	@echo "$(CURDIR)" > $@

$(DEMO_STAMP): $(PYTHON_STAMP) pyproject.toml constraints.txt
	@echo "Installing depthport and what it runs on into $(VENV) (once; torch is most of it) ..."
	@$(PIP) setuptools
	@$(PIP) --no-deps --ignore-requires-python $(DA3)
	@$(PIP) --no-build-isolation --editable '.[$(DEMO_EXTRAS)]'
	@touch $@

$(TEST_STAMP): $(PYTHON_STAMP) pyproject.toml constraints.txt
	@echo "Installing depthport, what it runs on and the tests' tools into $(VENV) (once; torch is most of it) ..."
	@$(PIP) setuptools
	@$(PIP) --no-deps --ignore-requires-python $(DA3)
	@$(PIP) --no-build-isolation --editable '.[$(TEST_EXTRAS)]'
	@$(PIP) --no-deps $(PHONES) || echo "the phones' converters have no packages for this Python: their tests will skip" >&2
	@$(PIP) --no-deps $(PLUGIN) || echo "$(PLUGIN) has no package for this Python: its tests will skip" >&2
	@npm install --prefix $(VENV) --no-save --no-package-lock --ignore-scripts --no-audit --no-fund --silent $(WEB) >/dev/null 2>&1 \
		|| echo "npm can't install $(WEB) here: its tests in a browser will skip" >&2
	@touch $(DEMO_STAMP) $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
