# tridet: the front door. `make` or `make help` lists the targets.

# By default the first on PATH from 3.10 to 3.13; `make PYTHON=/path/to/python3.11 demo` overrides.
PYTHON ?=
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
# The marks of pyproject.toml that `make test-quick` leaves out.
SLOW := server or full or cameras or packaging or gpu or docker

BIN := .venv/bin
# Of its wheel only the binaries are used, none of its Python: so without what that asks for, NumPy 1 among it.
TRITON := nvidia-pytriton==0.7.0
WITH_PRECISION = $(if $(PRECISION),--precision $(PRECISION))
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo stream-demo eval check-data test test-quick test-docker smoke attack docs lint format serve detect bench repository plans plan check-plans boards check setup setup-dev setup-rtx setup-build setup-cameras setup-docker have-data constraints clean distclean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | \
		while IFS="$$(printf '\t')" read -r name text; do printf '  %-13s %s\n' "$$name" "$$text"; done

demo: setup ## Serve the default detector on a real tritonserver and annotate six boards
	@$(BIN)/python tools/demo.py

serve: setup ## Serve every detector in MODELS on this machine (ARGS="--help" for options)
	@$(BIN)/tridet-build repository --models "$(MODELS)" --keep-going
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

eval: have-data setup-dev ## Evaluate MODEL on DATA (YOLO data.yaml or COCO) through the server that `make serve` runs
	@$(BIN)/python tools/evaluate.py "$(DATA)" --model "$(MODEL)" $(ARGS)

check-data: have-data setup-dev ## Check the data set DATA before training: labels, balance, sizes, leaks between splits
	@$(BIN)/python tools/check_dataset.py "$(DATA)" $(ARGS)

# The default data is drawn; other data is missed before a minute goes by installing.
have-data: $(if $(filter data/boards/data.yaml,$(DATA)),$(DRAWN))
	@test -e "$(DATA)" || { echo 'make: error: DATA: expected a data.yaml or a COCO file, found no $(DATA)' >&2; exit 1; }

stream-demo: setup-dev setup-cameras ## Two RTSP cameras through the default detector; leaves the live page in out/stream-demo
	@$(BIN)/python tools/stream_demo.py

docs: .venv/.docs ## Build the documentation into out/site, its links checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

test: setup-dev setup-rtx setup-build setup-cameras ## Run all tests but the containers', the real tritonserver included
	@$(BIN)/python -m pytest -m "not docker" $(ARGS)

test-quick: setup-dev ## Run the tests that need no server, no PyTorch, no TensorRT and no browser, in two minutes
	@$(BIN)/python -m pytest --numprocesses 2 -m "not ($(SLOW))" $(ARGS)

test-docker: repository setup-dev setup-docker ## Build the containers and run them in a Docker engine of their own (as root)
	@$(BIN)/python -m pytest -m docker tests/deploy $(ARGS)

smoke: ## Make a fresh environment with PYTHON, serve, detect on each transport and stream a file in it
	@TRITON='$(TRITON)' tools/smoke.sh $(PYTHON)

attack: setup-dev ## Attack a real server on this machine, and say what came of it; prints the table of docs/reliability.md
	@$(BIN)/python tools/figures/attack.py $(ARGS)

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

setup-docker: ## Install a Docker engine, Compose and debootstrap (Debian packages), which the container tests use
	@tools/install_docker.sh

constraints: setup-dev ## Pin the newest versions that pyproject.toml allows
	@$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.10 --all-extras --group pyproject.toml:dev --group pyproject.toml:docs \
		--no-header --no-annotate --no-emit-package tridet client/pyproject.toml build/pyproject.toml \
		--output-file constraints.txt

clean: ## Remove what was made, but not .venv
	rm -rf out runs dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	rm -f model_repository/*_detector/1/model.onnx

distclean: clean ## Remove .venv too
	rm -rf .venv

.venv/pyvenv.cfg:
	@tools/make_environment.sh .venv $(PYTHON)

.venv/.server: .venv/pyvenv.cfg pyproject.toml client/pyproject.toml build/pyproject.toml build/hatch_build.py constraints.txt
	@echo "Installing a current pip"
	@$(INSTALL) --upgrade 'pip>=25.1'
	@echo "Installing the client: gRPC, OpenCV, Pillow, rich; PyAV, supervision, aiohttp, matplotlib to draw and stream"
	@$(INSTALL) --editable './client[track,bench]'
	@echo "Installing the build tools: ONNX, ONNX Runtime, pydantic"
	@$(INSTALL) --editable ./build
	@echo "Installing tritonserver: the binaries of $(TRITON)"
	@$(INSTALL) --no-deps '$(TRITON)'
	@$(FIX_OPENCV)
	@touch $@

.venv/.dev: .venv/.server
	@echo "Installing the test tools: pytest, mypy, ruff, hypothesis, playwright"
	@$(INSTALL) --group dev
	@$(FIX_OPENCV)
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
	@echo "Installing PyTorch, Ultralytics, ModelOpt, Polygraphy (some minutes; from PyPI with CUDA libraries)"
	@$(INSTALL) --editable './build[full]'
	@$(FIX_OPENCV)
	@touch $@

# trackers and Ultralytics bring opencv-python, which needs libGL, and servers and containers lack that;
# opencv-python-headless puts its files in the same place.
FIX_OPENCV = $(BIN)/python -c 'import cv2' 2>/dev/null || $(INSTALL) --no-deps --force-reinstall opencv-python-headless
