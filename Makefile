# Set-up and the two commands of the README. Everything lives in .venv; what is installed is not fetched again.
#
#   make demo          the main job: export, measure, check, report      (ARGS="--views 5" adds options)
#   make test          ruff, vulture, import-linter, mypy and the tests
#   make test-slow     also the tests that take minutes or gigabytes
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
# One stamp an installed set. It is written last, so what was interrupted is taken up again.
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
# Core ML packages are made anywhere; only a Mac has use for them in the demo.
DEMO_EXTRAS := da3,onnx,openvino,report,predict$(if $(filter Darwin,$(shell uname -s)),$(COMMA)coreml)
# Core AI's wheels want glibc 2.34 or macOS 26; elsewhere its tests skip.
HAS_COREAI := import os, platform, sys; mac = sys.platform == "darwin"; \
	found = platform.mac_ver()[0] if mac else (os.confstr("CS_GNU_LIBC_VERSION") or "0").split()[-1]; \
	print("yes" * (tuple(map(int, found.split(".")))[:2] >= ((26, 0) if mac else (2, 34))))
TEST_EXTRAS := da3,onnx,openvino,report,predict,coreml,tensorrt,test$(if $(shell "$(PYTHON)" -c '$(HAS_COREAI)' 2>/dev/null),$(COMMA)coreai)
ARGS ?=
PYTEST_ARGS ?=
# One test process a core, four at most, and one thread in each: a process takes about 1 GB.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/pytest
PARALLEL := -n auto --maxprocesses 4

.PHONY: help demo test test-slow records clean

help:
	@sed -n '3,7s/^# *//p' Makefile

demo: $(DEMO_STAMP)
	$(BIN)/depthport run $(ARGS)

test: $(TEST_STAMP)
	$(BIN)/ruff check .
	$(BIN)/vulture
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy -p depthport -p tests
	$(PYTEST) $(PARALLEL) $(PYTEST_ARGS)

test-slow: $(TEST_STAMP)
	$(PYTEST) -m "slow or not slow" $(PYTEST_ARGS)

# Everything that is shown of recorded runs is made from them here; the picture needs Chromium. Git leaves the page out.
RECORDS := $(sort $(dir $(wildcard bench/records/*/results.json)))

records: $(if $(filter $(VENV)/bin,$(BIN)),$(DEMO_STAMP))
	$(BIN)/depthport report $(RECORDS) --out bench/records --picture
	$(BIN)/python -m depthport.bench.report.markdown.excerpt README.md $(RECORDS)

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
	@touch $(DEMO_STAMP) $@

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
