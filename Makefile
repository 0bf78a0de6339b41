# tridet: the front door. `make` or `make help` lists the targets.

# The first Python that tridet supports; `make PYTHON=/path/to/python3.11 demo` overrides.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.10; do \
	$$python -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$python && break; done)
MODELS ?= models
SOURCES ?= models/pcb/samples
# Of `make plan`: a folder in MODELS, and fp32, fp16 or int8 in place of what its manifest says.
MODEL ?= pcb
PRECISION ?=
# Of `make eval` and `make check-data`.
DATA ?= data/boards/data.yaml
# How many boards `make boards` draws to calibrate with, and how many to judge with.
BOARDS ?= 500
# Says that so many are drawn; other programs, or another number, draw them anew.
DRAWN := data/boards/.drawn-$(BOARDS)
ARGS ?=

BIN := .venv/bin
# Of its wheel only the binaries are used, none of its Python: so without what that asks for, NumPy 1 among it.
TRITON := nvidia-pytriton==0.7.0
WITH_PRECISION = $(if $(PRECISION),--precision $(PRECISION))
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo stream-demo eval check-data test lint format serve detect bench repository plans plan check-plans boards check setup setup-dev setup-rtx setup-build setup-cameras constraints clean distclean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  %-13s %s\n' "$$name" "$$text"; done

demo: setup ## Serve the default detector on a real tritonserver and annotate six boards
	@$(BIN)/python tools/demo.py

serve: repository ## Serve every detector in MODELS on this machine (ARGS="--help" for options)
	@$(BIN)/python tools/serve.py $(ARGS)

detect: setup ## Detect in SOURCES with the server that `make serve` runs; pictures go to out/detect
	@$(BIN)/tridet detect $(SOURCES) --save out/detect $(ARGS)

repository: setup ## Render model_repository/ from the manifests in MODELS
	@$(BIN)/tridet-build repository --models "$(MODELS)"

plan: setup-build ## Build, prove and install the TensorRT plan of MODEL, in PRECISION (needs TensorRT and a GPU)
	@$(BIN)/python -m tridet_build plans "$(MODELS)/$(MODEL)" --models "$(MODELS)" $(WITH_PRECISION) $(ARGS)

plans: setup-build ## The same for every detector in MODELS
	@$(BIN)/python -m tridet_build plans --models "$(MODELS)" $(WITH_PRECISION) $(ARGS)

check-plans: setup-build setup-rtx boards ## Compile every detector in every precision with TensorRT for RTX: needs no GPU
	@$(BIN)/python -m tridet_build plans --check --models "$(MODELS)" $(WITH_PRECISION) $(ARGS)

boards: $(DRAWN) ## Draw synthetic boards: what the default detector is calibrated and judged on

$(DRAWN): tools/boards.py $(wildcard tools/pcb_boards/*.py) | setup
	@$(BIN)/python tools/boards.py --out data/boards --train $(BOARDS) --test $(BOARDS) --seed 7 --overwrite
	@touch $@

check: setup ## Check what tritonserver would load from model_repository/
	@$(BIN)/tridet-build check $(ARGS)

bench: setup-dev ## Measure tridet beside two other ways to serve; prints the tables of docs/measurements/pipeline.md
	@$(BIN)/python tools/figures/bench.py $(ARGS)

eval: setup-dev ## Evaluate MODEL on DATA (YOLO data.yaml or COCO) through the server that `make serve` runs
	@$(BIN)/python tools/evaluate.py "$(DATA)" --model "$(MODEL)" $(ARGS)

check-data: setup-dev ## Check the data set DATA before training: labels, balance, sizes, leaks between splits
	@$(BIN)/python tools/check_dataset.py "$(DATA)" $(ARGS)

stream-demo: setup-dev setup-cameras ## Two RTSP cameras through the default detector; leaves the live page in out/stream-demo
	@$(BIN)/python tools/stream_demo.py

.PHONY: docs
docs: .venv/.docs ## Build the documentation into out/site, its links checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

test: setup-dev setup-rtx setup-build setup-cameras ## Run all tests, the real tritonserver included
	@$(BIN)/python -m pytest $(ARGS)

lint: setup-dev ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: setup-dev ## Rewrite the sources in the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

setup: .venv/.server ## Install the client and the local server into .venv

setup-dev: .venv/.dev ## Install the test tools as well

setup-rtx: .venv/.rtx ## Install TensorRT for RTX as well

setup-build: .venv/.build ## Install the build tools as well: PyTorch, Ultralytics, ModelOpt, Polygraphy

setup-cameras: ## Install a browser and GStreamer's RTSP server (Debian packages), which the tests and stream-demo use
	@tools/install_cameras.sh

constraints: setup-dev ## Pin the newest versions that pyproject.toml allows
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --all-extras --group pyproject.toml:dev \
		--no-header --no-annotate --no-emit-package tridet client/pyproject.toml build/pyproject.toml \
		--output-file constraints.txt

clean: ## Remove what was made, but not .venv
	rm -rf out runs dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f model_repository/*_detector/1/model.onnx

distclean: clean ## Remove .venv too
	rm -rf .venv

.venv/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "make: error: expected Python 3.10 to 3.13 on PATH, found none" >&2; exit 1; }
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "make: error: $(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

.venv/.server: .venv/pyvenv.cfg pyproject.toml client/pyproject.toml build/pyproject.toml constraints.txt
	@echo "Installing the client and the local server (about a minute)"
	@$(INSTALL) --upgrade 'pip>=25.1'
	@$(INSTALL) --editable './client[stream,bench]' --editable ./build
	@$(INSTALL) --no-deps '$(TRITON)'
	@$(call FIX_OPENCV)
	@touch $@

.venv/.dev: .venv/.server
	@echo "Installing the test tools"
	@$(INSTALL) --group dev
	@$(call FIX_OPENCV)
	@touch $@

.venv/.docs: .venv/.dev
	@echo "Installing the documentation tools"
	@$(INSTALL) --group docs
	@touch $@

.venv/.rtx: .venv/.server
	@echo "Installing TensorRT for RTX (about 260 MB)"
	@$(INSTALL) --editable './build[rtx]'
	@touch $@

.venv/.build: .venv/.server
	@echo "Installing the build tools (some minutes: PyTorch and, from PyPI, its CUDA libraries)"
	@$(INSTALL) --editable './build[full]'
	@$(call FIX_OPENCV)
	@touch $@

# opencv-python wants libGL, which servers and containers lack; the headless build of the same version
# puts the same module in its place.
FIX_OPENCV = $(BIN)/python -c 'import cv2' 2>/dev/null || $(INSTALL) --no-deps --force-reinstall \
	"opencv-python-headless==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("opencv-python"))')"
