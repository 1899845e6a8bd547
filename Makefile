# make demo    installs into .venv and makes the IR and Raman spectrum of liquid water
# make test    installs into .venv and runs the test suite
# make help    lists the rest

PYTHON ?= python3
# Which build of torch to install, as pip takes it. The default is what the tests run
# with. For a GPU, give another version or an index, e.g.
#   make demo TORCH="torch --index-url URL-OF-THE-CUDA-BUILDS"
TORCH ?= torch==2.13.0
# Compiler of the kernel for GPUs, for its tests, where torch has brought none along.
TRITON ?= triton==3.9.0
# Tests that run at the same time.
JOBS ?= 3
# Length of the production run of the demos, ps.
DEMO_PS ?= 8
DEMO_IPI_PS ?= 2
DEMO_TRPMD_PS ?= 3
# Inputs for each target of `make fuzz`.
FUZZ ?= 1000000
# Images of containers: which, on what system, under which tag, and who builds them
# (docker, podman, buildah) with which further options.
IMAGES ?= driver lammps ipi
BASE ?= debian:12-slim
TAG ?= latest
BUILDER ?= docker
BUILD_OPTIONS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
# One thread each: two processes with two threads on two cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help demo demo-ipi trpmd-demo autotrain-demo test test-slow fuzz soak lint format engines engines-slurm engines-images images install install-dev clean FORCE

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

demo: install ## IR and Raman of liquid water, streamed out of a LAMMPS run
	$(BIN)/mimyria-driver demo --engine lammps --picoseconds $(DEMO_PS) --directory demo-output

demo-ipi: install ## the same with i-PI as integrator and LAMMPS (apt) as force client
	$(BIN)/mimyria-driver demo --engine ipi --picoseconds $(DEMO_IPI_PS) --directory demo-ipi-output

trpmd-demo: install ## quantum nuclei beside classical ones: ring polymers with i-PI and LAMMPS (apt)
	$(BIN)/mimyria-driver demo --engine trpmd --picoseconds $(DEMO_TRPMD_PS) --directory demo-trpmd-output

autotrain-demo: install ## from a trajectory of water to converged spectra by itself, with CP2K (apt)
	mkdir -p autotrain-demo-output
	cp -n inputs/autotrain/water/* autotrain-demo-output/
	cd autotrain-demo-output && test -f water.complete || { ../$(BIN)/lmp -in in.lammps && touch water.complete; }
	cd autotrain-demo-output && OMP_NUM_THREADS=1 ../$(BIN)/mimyria autotrain autotrain.toml

test: install-dev ## the test suite (engines that are not installed are skipped, with CI=true not)
	$(PYTEST) -n $(JOBS) --dist worksteal -m "not slow and not soak"

test-slow: install-dev ## what takes longer than ten seconds a test
	$(PYTEST) -m "slow and not soak"

fuzz: install-dev ## mutated messages for the wire, i-PI's protocol and dumps; FUZZ=1000000 inputs each
	$(BIN)/python tests/fuzz/fuzzing.py --inputs $(FUZZ)

soak: install-dev ## long runs and many faults: most of an hour
	$(PYTEST) -m soak -s

lint: install-dev ## style, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: docs
docs: install-dev ## the manual as pages, docs/_build/html; a warning is an error
	$(BIN)/python -m sphinx --quiet --fail-on-warning --nitpicky --builder html docs docs/_build/html

format: install-dev ## bring the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

engines: ## LAMMPS with its PYTHON package, CP2K, a browser for the tests, from Debian (needs root)
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    lammps python3-zmq openmpi-bin cp2k chromium >/dev/null

engines-slurm: ## Slurm for the tests of a cluster, from Debian (needs root)
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    munge slurm-client slurmctld slurmd >/dev/null

engines-images: ## what the test of the images builds them with, from Debian (needs root)
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    buildah debootstrap >/dev/null

# BUILDAH_FORMAT: health checks are no part of OCI's format.
images: ## images of driver, LAMMPS and i-PI; BASE= and TORCH= for a GPU (docs/containers.md)
	@set -e; for image in $(IMAGES); do \
	    echo "building mimyria-$$image:$(TAG) on $(BASE)"; \
	    DOCKER_BUILDKIT=1 BUILDAH_FORMAT=docker $(BUILDER) build $(BUILD_OPTIONS) \
	        --file docker/Dockerfile --target $$image --tag mimyria-$$image:$(TAG) \
	        --build-arg BASE="$(BASE)" --build-arg TORCH="$(TORCH)" \
	        --build-arg VERSION="$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' mimyria/__init__.py)" \
	        --build-arg REVISION="$$(git rev-parse HEAD 2>/dev/null || echo unknown)" . ; \
	done

install: $(VENV)/.installed ## the program with everything it needs to run the demo
install-dev: $(VENV)/.installed-dev ## the same, and what tests and lint need

# The stamp holds the wish for torch, so that another TORCH= installs anew.
$(VENV)/.torch: FORCE
	@test -x $(BIN)/python || { echo "creating $(VENV) with $$($(PYTHON) --version)"; $(PYTHON) -m venv $(VENV); }
	@test "$$(cat $@ 2>/dev/null)" = "$(TORCH)" || { \
	    echo "installing $(TORCH)"; $(PIP) $(TORCH) && printf '%s\n' "$(TORCH)" > $@; }

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	@echo "installing mimyria and its engines"
	@$(PIP) --editable ".[driver,engines,web]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	@echo "installing what tests and lint need"
	@$(BIN)/python -c "import triton" 2>/dev/null || test "$$(uname -sm)" != "Linux x86_64" || $(PIP) $(TRITON)
	@$(PIP) --editable ".[driver,engines,web,test,lint,docs]"
	@touch $@

clean: ## remove what the other targets made
	rm -rf $(VENV) demo-output demo-ipi-output demo-trpmd-output autotrain-demo-output .mypy_cache .ruff_cache .pytest_cache .hypothesis docs/_build docs/inputs
