# Every target does its own set-up into .venv, from the versions in constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
PIP := $(BIN)/python $(INSTALL)


.PHONY: help setup setup-lab compiled demo test test-slow test-compiled lint format hw bench bench-lerobot bench-loop bench-compiled bench-envelope bench-twin clean

help:            ## this list
	@grep -E '^[a-z-]+: .*##|^[a-z-]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

$(VENV)/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[dev,clip]'
	@touch $@

$(VENV)/lab-ready: $(VENV)/ready
	$(PIP) --editable '.[dev,lab]'
	@touch $@

setup: $(VENV)/ready    ## make .venv with what the runtime and the twin need
setup-lab: $(VENV)/lab-ready ## the same, and what training and the tests need (torch)

compiled: $(VENV)/ready ## make .venv-compiled, whose robot-run limits commands in compiled code (needs a C compiler)
	$(BIN)/python -m venv .venv-compiled
	.venv-compiled/bin/python $(INSTALL) '.[clip]'
	ROBOT_RUNTIME_COMPILE=1 .venv-compiled/bin/python $(INSTALL) --no-deps --force-reinstall .

# A copy of the tree, compiled in place: for tests and benchmarks, which run the tree that they stand in.
COMPILED := build/compiled
$(COMPILED)/ready: $(VENV)/ready setup.py $(shell find robot_runtime calibration models sim tests benchmarks examples hw_tests docs -name '*.py' -o -name '*.toml' -o -name '*.md')
	rm -rf $(COMPILED)
	mkdir -p $(COMPILED)
	cp -r robot_runtime calibration models sim tests benchmarks examples hw_tests docs setup.py pyproject.toml README.md CHANGELOG.md LICENSE Makefile $(COMPILED)
	cd $(COMPILED) && ROBOT_RUNTIME_COMPILE=1 $(CURDIR)/$(BIN)/python -W ignore setup.py --quiet build_ext --inplace
	@touch $@

demo: $(VENV)/ready     ## scan a twin, move it, fly a policy on it
	$(BIN)/python examples/demo.py

test: $(VENV)/lab-ready     ## all fast tests (two cores, a few minutes)
	$(BIN)/pytest -n 2 tests hw_tests

test-slow: $(VENV)/lab-ready ## the long studies and the large fuzzing runs
	$(BIN)/pytest -n 2 -m slow tests

test-compiled: $(VENV)/lab-ready $(COMPILED)/ready ## the tests of the runtime, with the envelope compiled
	cd $(COMPILED) && PYTHONPATH=. $(CURDIR)/$(BIN)/python -m pytest -n 2 tests/robot_runtime hw_tests

lint: $(VENV)/lab-ready     ## ruff and mypy, strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/lab-ready   ## let ruff lay out the code
	$(BIN)/ruff check --fix . && $(BIN)/ruff format .

hw: $(VENV)/ready       ## hardware tests against the twin; ARGS="--port /dev/ttyUSB0 --arm NAME" for a real arm
	$(BIN)/pytest hw_tests $(ARGS)

bench: $(VENV)/ready    ## speed against peers, as ratios from one run
	$(BIN)/python benchmarks/bus.py $(ARGS)

.venv-lerobot/ready: constraints.txt
	$(PYTHON) -m venv .venv-lerobot
	.venv-lerobot/bin/python -m pip install --quiet --no-deps lerobot==0.4.4
	.venv-lerobot/bin/python -m pip install --quiet --constraint constraints.txt deepdiff draccus tqdm termcolor einops packaging dynamixel-sdk pyserial numpy torch
	@touch $@

bench-lerobot: $(VENV)/ready .venv-lerobot/ready ## the same with lerobot beside it (downloads torch)
	LEROBOT_PYTHON=.venv-lerobot/bin/python $(BIN)/python benchmarks/bus.py --wire $(ARGS)

bench-loop: $(VENV)/ready ## what a control cycle costs, how late it is, against peers
	$(BIN)/python benchmarks/loop.py $(ARGS)

bench-compiled: $(COMPILED)/ready ## the same with the envelope compiled
	cd $(COMPILED) && PYTHONPATH=. $(CURDIR)/$(BIN)/python benchmarks/loop.py $(ARGS)

bench-envelope: $(VENV)/ready ## what limiting a command costs
	$(BIN)/python benchmarks/envelope.py $(ARGS)

bench-twin: $(VENV)/ready ## how much faster than the clock the lock-step twin runs
	$(BIN)/python benchmarks/twin.py $(ARGS)

clean:           ## remove .venv and caches
	rm -rf $(VENV) .venv-lerobot .venv-compiled .mypy_cache .ruff_cache .pytest_cache build *.egg-info
