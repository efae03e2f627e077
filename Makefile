# make demo: train on generated pedestrians and print the table.  make test: the test suite; make test-slow: those of its
# tests that take some ten seconds each or more.  make lint: ruff and mypy.
# Everything is installed into .venv; PYTHON chooses the interpreter (3.10 or newer, 3.11 is the reference).
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
# one thread per test process: two processes use two cores better than two threads each would
PYTEST = OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n auto --maxprocesses 4

.PHONY: demo test test-slow lint install install-dev release-check test-paddle-2.6 test-trackers test-recordings clean

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@

demo: install
	$(VENV)/bin/python tools/make_demo_data.py --out data/demo
	$(VENV)/bin/python tools/train.py -c configs/demo.yaml --overwrite

test: install-dev
	$(PYTEST) -m "not slow"

# kills at many moments, several processes, whole programs and notebooks
test-slow: install-dev
	$(PYTEST) -m slow

lint: install-dev
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

# wheel, source archive and list of parts into dist/, built twice, compared and tried; with TAG=v0.1.0 as a release
release-check: install .venv-release/.installed
	.venv-release/bin/python .ci/release.py --python $(VENV)/bin/python $(if $(TAG),--tag $(TAG))

.venv-release/.installed: requirements-release.txt
	$(PYTHON) -m venv .venv-release
	.venv-release/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-release.txt
	touch $@

# from drawn recordings to a trained network, at full size: recall, purity and mAP; long (420 batches of training)
test-recordings: install-dev
	OMP_NUM_THREADS=2 $(VENV)/bin/python -m pytest -s --long tests/recordings/test_the_whole_way.py

# the newest paddle that GPU users get from the public registry
test-paddle-2.6: .venv-paddle-2.6/.installed
	OMP_NUM_THREADS=1 .venv-paddle-2.6/bin/python -m pytest -n auto --maxprocesses 4

.venv-paddle-2.6/.installed: requirements.txt requirements-dev.txt setup.py
	$(PYTHON) -m venv .venv-paddle-2.6
	.venv-paddle-2.6/bin/python -m pip install --quiet --disable-pip-version-check \
	    "paddlepaddle==2.6.2" "numpy<2" "paddle2onnx<2" -r requirements.txt -r requirements-dev.txt
	touch $@

# Does a tracker mix people up less with the network of RUN? The released packages are AGPL, and torch is large (7 GB with
# its CUDA libraries): both only here, in an environment of their own. They would install what they miss while they run.
RUN ?= output/demo
test-trackers: install-dev .venv-trackers/.installed
	test -f $(RUN)/config.yaml || $(MAKE) demo
	$(VENV)/bin/python tools/make_demo_data.py --recordings data/recordings
	$(VENV)/bin/python benchmarks/trackers.py prepare $(RUN) output/trackers
	YOLO_AUTOINSTALL=false .venv-trackers/bin/python benchmarks/trackers.py track data/recordings output/trackers

.venv-trackers/.installed:
	$(PYTHON) -m venv .venv-trackers
	.venv-trackers/bin/python -m pip install --quiet --disable-pip-version-check ultralytics "boxmot[onnx]" motmetrics
	touch $@

clean:
	rm -rf .venv .venv-paddle-2.6 .venv-release .venv-trackers output build dist ppreid.egg-info
