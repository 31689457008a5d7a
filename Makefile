# revalexo_clip: everything a fresh machine needs is set up by the targets themselves, into .venv.
#
#   make demo    set-up, demo data, pretrain, evaluate, export
#   make test    set-up, linters, type checker, test suite

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := data/demo

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-long lint format bench bench-data bench-encoders bench-training bench-evaluation golden clean clean-demo

help:  ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

# The set-up is done once, and again when what is installed changes.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) (a few minutes, once)"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.installed  ## make .venv with the tested versions

demo: runs/demo/finished  ## demo data, pretrain, evaluate and export: minutes the first time, seconds after that
	@$(BIN)/rxclip evaluate --ckpt "$$(cat $<)"
	@$(BIN)/rxclip export-encoder --modality imu --ckpt "$$(cat $<)"

# Names the run that the demo trained; made anew when the experiment has changed.
runs/demo/finished: experiments/demo.py | $(VENV)/.installed
	@$(BIN)/rxclip synthesize $(DEMO)
	@$(BIN)/rxclip pretrain experiments/demo.py
	@echo "runs/$$(readlink runs/latest)" > $@

# A file's tests stay in one process, where they share what was trained for them.
PYTEST := $(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile

test: setup lint  ## linters, types and the test suite, but for what takes minutes
	$(PYTEST) -m 'not long'

test-fast: setup  ## the tests that take little time
	$(PYTEST) -m 'not slow and not long'

test-long: setup  ## the tests that take minutes: processes killed again and again, training at full length
	$(PYTEST) -m long

lint: setup  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: bench-data bench-encoders bench-training bench-evaluation  ## all benchmarks below, one after the other: most of an hour

bench-data: setup  ## what a training sample costs, beside the way published systems make one
	@$(BIN)/python -m benchmarks.data_path

bench-encoders: setup  ## what a training step of the video encoders costs, beside PyTorchVideo's own modules
	@$(BIN)/python -m benchmarks.encoders

bench-training: setup  ## the loss of large batches, a second process, waiting for data
	@$(BIN)/python -m benchmarks.training

bench-evaluation: setup  ## what it takes to measure 50,000 windows
	@$(BIN)/python -m benchmarks.evaluation

golden: setup  ## refresh tests/golden from the experiments; review the difference before committing
	$(BIN)/python -m tests.test_golden

clean-demo:  ## remove the demo's data and runs, so that `make demo` starts afresh
	rm -rf $(DEMO) runs/demo runs/latest

clean:  ## remove everything that was made here: .venv, demo data, runs, caches
	rm -rf $(VENV) $(DEMO) data/benchmark runs *.egg-info build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
