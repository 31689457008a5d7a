# revalexo_clip: every target first installs what it needs into .venv.
#
#   make demo                  install, simulate recordings, pretrain, evaluate, export
#   make encoder-in-the-box    install, simulate bodies, pretrain an encoder of any sensors, export
#   make test                  install, linters, type checker, tests

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   := data/demo
BODIES := data/bodies.npz

.DEFAULT_GOAL := help
.PHONY: help setup demo encoder-in-the-box test test-long test-lowest test-gpu lint format docs audit dist bench bench-data bench-encoders bench-training \
        bench-evaluation bench-features bench-scale bench-stream bench-gpu bench-any-sensor wheels-gpu ablation rivals golden clean clean-demo

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 28

# Installed once, and again when the dependencies change.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@echo "setting up $(VENV) (a few minutes, once)"
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# What the demo does without: linters, and all optional extras, because they are tested.
$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "adding what tests need to $(VENV) (a few minutes, once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(VENV)/.installed-dev  ## create .venv with the tested versions of everything

demo: runs/demo/finished  ## simulate recordings, pretrain, evaluate, export: about six minutes; seconds when repeated
	@$(BIN)/rxclip evaluate --ckpt "$$(cat $<)"
	@$(BIN)/rxclip export-encoder --modality imu --ckpt "$$(cat $<)"

# Contains the path of the demo's run; the demo is trained again if the experiment has changed.
runs/demo/finished: experiments/demo.py | $(VENV)/.installed
	@$(BIN)/rxclip synthesize $(DEMO) --subjects 12 --overlap 4
	@$(BIN)/rxclip pretrain experiments/demo.py
	@echo "runs/$$(readlink runs/latest)" > $@

# Hours of simulated movement, for experiments/any_sensor.py. What it is worth: docs/experiments.md, "Any sensors".
encoder-in-the-box: runs/any_sensor/finished  ## simulate bodies, pretrain an IMU encoder of any sensors, export it (little better than new weights on real people)
	@$(BIN)/rxclip export-encoder --modality imu --ckpt "$$(cat $<)"

$(BODIES): | $(VENV)/.installed
	@$(BIN)/rxclip synthesize $@ --world 2 --places all --no-video --subjects 40 --minutes 8

# As for the demo: the path of the run, which is repeated if the experiment or the data have changed.
runs/any_sensor/finished: experiments/any_sensor.py $(BODIES) | $(VENV)/.installed
	@$(BIN)/rxclip pretrain experiments/any_sensor.py
	@echo "runs/$$(readlink runs/latest)" > $@

# Compiled modules are kept even if the environment says otherwise: tests start hundreds of Python processes.
export PYTHONDONTWRITEBYTECODE =

# All tests of a file run in one process, where they share trained models.
SPREAD := -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
PYTEST := $(BIN)/pytest $(SPREAD)
# One more than there are processors: long tests often wait, for a disk or for another process.
LONG_PROCESSES = $(shell $(BIN)/python -c 'import os; print(min(os.cpu_count(), 7) + 1)')

test: setup lint  ## linters, type checker, and all tests that take about a second at most
	$(PYTEST) -m 'not long'

test-long: setup  ## all other tests: several processes, killed processes, training at full length
	$(PYTEST) -n $(LONG_PROCESSES) -m long

# These two run with PYTHON, which has the packages of a GPU machine, and not in .venv: see docs/gpu.md.
test-gpu:  ## the tests that need CUDA, with PYTHON
	$(PYTHON) -m pytest -m gpu tests/test_gpu.py tests/training tests/pretraining

bench-gpu:  ## everything to know of a GPU, with PYTHON: parity, time and memory, largest batch, a profile
	@$(PYTHON) -m benchmarks.gpu

WHEELS_PYTHON ?= 3.12
wheels-gpu: setup  ## fill wheels/ with what a GPU machine without network lacks (WHEELS_PYTHON: its Python)
	@$(BIN)/python -m benchmarks.gpu.wheels wheels --python $(WHEELS_PYTHON)

# The rooms that call other packages in the most ways, without the trackers, whose lowest versions are not proven.
LOWEST := tests/core tests/config tests/cli/test_help.py tests/cli/test_cli.py tests/data/test_video.py \
          tests/data/test_imu.py tests/data/test_motion.py tests/data/revalexo/test_revalexo.py tests/export \
          tests/runs tests/training/test_loaders.py tests/pretraining/test_validation.py tests/metrics

.venv-lowest/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv --clear .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt \
	  -e '.[cluster,devices,hub,onnx,text]' pandas pytest pytest-xdist hypothesis
	@touch $@

test-lowest: .venv-lowest/.installed  ## those of `make test` with the lowest version of each dependency that pyproject.toml allows
	.venv-lowest/bin/pytest $(SPREAD) -m 'not long' $(LOWEST)

lint: setup  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup  ## format the code with ruff
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: setup  ## build the site of the documentation into site/; broken links and missing descriptions fail
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "to read it: $(BIN)/python -m http.server --directory site"

# Needs a service on the network. A machine without it, or without pip-audit, is not a failure; a finding is.
audit:  ## known vulnerabilities of the pinned packages (pip-audit), if the service can be reached
	@PYTHON=$(PYTHON) .ci/audit

# In no environment of those above: it makes its own, an empty one.
dist:  ## build sdist and wheel into dist/, check them, install each into an empty environment (a few minutes)
	@PYTHON=$(PYTHON) .ci/dist

bench: bench-data bench-encoders bench-training bench-evaluation bench-features bench-scale bench-stream  ## all benchmarks below, one after the other (most of an hour)

bench-data: setup  ## cost of a training sample, compared with published systems
	@$(BIN)/python -m benchmarks.data_path

bench-encoders: setup  ## cost of a training step of the video encoders, compared with PyTorchVideo
	@$(BIN)/python -m benchmarks.encoders

bench-training: setup  ## cost of the loss of large batches, a second process, waiting for data
	@$(BIN)/python -m benchmarks.training

bench-evaluation: setup  ## cost of the metrics of 50,000 windows
	@$(BIN)/python -m benchmarks.evaluation

bench-features: setup  ## cost of a training step with kept features of a frozen encoder
	@$(BIN)/python -m benchmarks.feature_cache

bench-scale: setup  ## start-up with a million clips, the loss of 131,072 pairs, the loader by number of workers
	@$(BIN)/python -m benchmarks.scale

bench-stream: setup  ## time from the last sample of a window to its predictions, by IMU encoder
	@$(BIN)/python -m benchmarks.stream

ablation: setup  ## results of the recommended recipe without each of its ingredients (hours)
	@$(BIN)/python -m benchmarks.ablation

bench-any-sensor: setup  ## macro F1 of one pretrained AnySensor on single sensors, beside encoders trained for each (half an hour)
	@$(BIN)/python -m benchmarks.any_sensor sensors

rivals: setup  ## results of the recommended recipe beside the objectives of IMU2CLIP, PRIMUS and COMODO (hours)
	@$(BIN)/python -m benchmarks.rivals

golden: setup  ## rewrite tests/golden from the experiments; review the difference before committing
	$(BIN)/python -m tests.test_golden

clean-demo:  ## delete the demo's data and runs, so that `make demo` starts from the beginning
	rm -rf $(DEMO) runs/demo runs/latest

clean:  ## delete .venv, simulated data, runs and caches
	rm -rf $(VENV) .venv-lowest .venv-audit .venv-dist dist $(DEMO) $(BODIES) data/benchmark runs wheels site *.egg-info build .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
