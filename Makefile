# One verb per chore. Everything is installed from constraints.txt, into a venv of its own
# for each version of Python: `make test PYTHON=python3.13` disturbs nothing of 3.11's.

PYTHON  ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VENV    := .venv/$(VERSION)
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check
UV      := uv>=0.9,<1
N       ?= 20000
SEED    ?= 1
MINUTES ?= 20
GATES   := $(CURDIR)/.venv/manifests

.DEFAULT_GOAL := help
.PHONY: help venv run test lint format conformance mutants image-test manifests-test lock bench soak clean
.DELETE_ON_ERROR:

ifeq ($(VERSION),)
$(error PYTHON=$(PYTHON) does not run: name a Python, 3.11 or newer)
endif

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

venv: $(VENV)/.installed ## install the package and its tools into .venv/VERSION

run: venv ## supervise the demonstration servers
	$(BIN)/a2a-sup run examples/demo.toml $(ARGS)

test: venv tests/npm/node_modules/.installed ## run the tests; ARGS="-k name -x" goes to pytest
	tests/system-parts
	$(BIN)/pytest $(ARGS)

lint: venv ## check style, types and layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: venv ## put the code into the one style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

conformance: venv ## compare with Erlang/OTP's supervisor; N=20000 scenarios, SEED=1
	tests/system-parts
	$(BIN)/python -m tests.conformance -n $(N) --seed $(SEED) $(ARGS)

mutants: venv ## put mistakes into the core, one by one: is each found? ARGS="3 7" tries some
	tests/system-parts
	$(BIN)/python -m tests.conformance.mutants $(ARGS)

image-test: venv $(GATES)/.installed ## build the Dockerfile and run the image as PID 1
	$(GATES)/bin/hadolint Dockerfile
	tests/image/prepare
	$(BIN)/pytest tests/image --override-ini 'python_files=gate_*.py' $(ARGS)

manifests-test: venv $(GATES)/.installed ## build and check what is in k8s/, and the alerts
	$(BIN)/pytest tests/k8s --override-ini 'python_files=gate_*.py' $(ARGS)

bench: venv ## measure everything, peers too, for an hour; ONLY="restart start" some of it
	$(BIN)/python -m bench $(ONLY)

soak: venv ## let everything go wrong at random for MINUTES=20: does anything leak or break?
	$(BIN)/python -W error -m bench.soak --minutes $(MINUTES) $(ARGS)

lock: ## pin what pyproject.toml and package.json ask for; ARGS=--upgrade takes newer versions
	$(PYTHON) -m venv --clear .venv/lock
	.venv/lock/bin/python -m pip --disable-pip-version-check install --quiet '$(UV)'
	.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --extra dev --custom-compile-command 'make lock' --output-file constraints.txt $(ARGS) \
	    pyproject.toml
	.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --extra mcp --constraint constraints.txt --custom-compile-command 'make lock' \
	    --output-file constraints-run.txt $(ARGS) pyproject.toml
	.venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --custom-compile-command 'make lock' --output-file tests/k8s/tools.txt $(ARGS) \
	    tests/k8s/tools.in
	npm install --package-lock-only --no-audit --no-fund --prefix tests/npm
	rm -r .venv/lock

clean: ## remove whatever these targets made
	rm -rf .venv .state build dist tests/npm/node_modules
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- files -------------------------------------------------------------------------------------

$(VENV)/.pinned: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo '$(PYTHON) is Python $(VERSION): 3.11 or newer is needed' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	    { echo '$(PYTHON) cannot make venvs: on Debian, install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP) install --quiet --require-hashes -r constraints.txt
	@touch $@

$(VENV)/.installed: pyproject.toml $(VENV)/.pinned
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	$(PIP) check
	@touch $@

$(GATES)/.installed: tests/k8s/tools.txt
	$(PYTHON) -m venv --clear $(GATES)
	$(GATES)/bin/python -m pip --disable-pip-version-check install --quiet --require-hashes -r $<
	tests/k8s/system-parts
	@touch $@

tests/npm/node_modules/.installed: tests/npm/package-lock.json
	tests/system-parts
	npm ci --no-audit --no-fund --prefix tests/npm
	@touch $@
