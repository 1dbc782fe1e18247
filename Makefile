# make run            environment, build, controller on the simulated arm (ARGS="--rate 500" is passed on)
# make test           every test (TESTS="tests/unit" for some, PYTEST_ARGS="-x" for pytest's own flags)
# make test-arm64     the arm64 release under emulation (opt-in: cross compiles first)
# make bench          benchmarks; tables to the terminal and to docs/benchmarks.md
# make lint           ruff, mypy, generated documents
# make wheels         wheels of the program for amd64 and arm64, in dist/ (PYTHONS="3.11 3.13" for several)
# make release        release trees and their archives for amd64 and arm64, in dist/ (VERSION=0.2.0)
# make package        Debian packages for amd64 and arm64, in dist/ (ARCHITECTURES=amd64 for one)
# make image          SD card for Raspberry Pi class boards, and its update bundle (root, 20 minutes; docs/image.md)
# make test-image     boots that card in an emulator (30 minutes)
# make lock           renew the lock files from pyproject.toml
# make clean          remove environments and everything built

PYTHON ?= python3
VENV   ?= .venv
ARGS   ?=
TESTS  ?= tests
PYTEST_ARGS ?=
# A run of every test uses two processors (tests/conftest.py says how), and also fails when a safety requirement is left
# without a test that passed.
WHOLE := -n 2 --traceability build/traceability.md
BIN := $(VENV)/bin
ARCHITECTURES ?= amd64 arm64
PYTHONS ?= 3.11
VERSION ?=
SOURCES := setup.py pyproject.toml $(wildcard ext/*.pyx ext/*.pxi ext/*.pxd ext/*.hpp) \
           $(wildcard controller/spec/*.py)

.PHONY: run test bench lint docs lock clean build dev wheels release package test-arm64 image test-image

run: build
	@$(BIN)/allyarm run $(ARGS)

build: $(VENV)/.built

test: dev
	@$(BIN)/python -m pytest $(TESTS) $(if $(filter-out tests,$(TESTS)),,$(WHOLE)) $(PYTEST_ARGS)

# Cross compiles and runs the arm64 release under qemu-user: apt install qemu-user-static gcc-aarch64-linux-gnu
# g++-aarch64-linux-gnu libc6-dev-arm64-cross; as root.
test-arm64: dev
	@ALLYARM_ARM64=1 $(BIN)/python -m pytest tests/system/test_arm64.py $(PYTEST_ARGS)

bench: dev
	@$(BIN)/python -m benchmarks.run $(ARGS)

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m controller.spec.check
	@$(BIN)/python -m controller.spec.docs --check

docs: dev
	@$(BIN)/python -m controller.spec.docs
	@$(BIN)/allyarm check --defaults > systemd/allyarm.toml

# Same commit, same bytes: packaging/ says how. docs/deploy.md tells what is in them.
wheels: dev
	@for a in $(ARCHITECTURES); do for p in $(PYTHONS); do \
		$(BIN)/python packaging/wheels.py --architecture $$a --python $$p || exit 1; done; done

release: dev
	@for a in $(ARCHITECTURES); do for p in $(PYTHONS); do \
		$(BIN)/python packaging/tree.py --architecture $$a --python $$p --version "$(VERSION)" || exit 1; done; done

package: dev
	@for a in $(ARCHITECTURES); do for p in $(PYTHONS); do \
		$(BIN)/python packaging/deb.py --architecture $$a --python $$p --version "$(VERSION)" || exit 1; done; done

$(VENV)/.packages: requirements.lock ext/preflight.py
	@$(PYTHON) ext/preflight.py
	@echo "making the environment in $(VENV) (once, about a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	@touch $@

# First the editable install, which builds too; later a changed source is rebuilt in place without pip.
$(VENV)/.built: $(VENV)/.packages $(SOURCES)
	@echo "building the core"
	@if [ -e $(BIN)/allyarm ]; then $(BIN)/python setup.py --quiet build_ext --inplace; else \
		$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-build-isolation --no-deps --editable .; fi
	@$(BIN)/python -m compileall -q controller
	@touch $@

dev: $(VENV)/.dev

$(VENV)/.dev: $(VENV)/.built requirements-dev.lock
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-dev.lock
	@touch $@

# KEYS=FOLDER signs with keys of your own (image/keys.py).
IMAGE_PYTHON := 3.13
IMAGE_OPTIONS = $(if $(KEYS),--keys $(KEYS))
image: dev
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(PYTHON) image/build.py $(IMAGE_OPTIONS) \
		--deb "$$($(BIN)/python packaging/deb.py --architecture arm64 --python $(IMAGE_PYTHON) --output dist | tail -1)"

# Two more bundles of the same system, to be installed and refused.
TESTED := build/image/tested
test-image: dev
	@rm -rf $(TESTED) && mkdir -p $(TESTED) && ln dist/allyarm-image-*-arm64.* $(TESTED)/
	@$(PYTHON) image/build.py $(IMAGE_OPTIONS) --reuse --bundle-only --version 0.0.9 --output $(TESTED)/older
	@$(PYTHON) image/build.py $(IMAGE_OPTIONS) --reuse --bundle-only --version 99.0.0 --output $(TESTED)/newer
	@ALLYARM_IMAGES=$(TESTED) $(BIN)/python -m pytest tests/image -x $(PYTEST_ARGS)

lock: build
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url \
		--no-emit-find-links --extra build --extra update --output-file requirements.lock pyproject.toml
	@$(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe --no-emit-index-url \
		--no-emit-find-links --extra build --extra update --extra dev --output-file requirements-dev.lock pyproject.toml

clean:
	rm -rf .venv* build dist *.egg-info ext/generated ext/*.cpp controller/*.so controller/*/*.so
	rm -rf tests/hmi/node_modules benchmarks/node/node_modules
