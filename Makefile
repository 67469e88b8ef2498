# make         install into .venv, run the pipeline on the demo world, say where the report is
# make test    the same checks that gate every change
# make test-slurm   the tiny world under a real Slurm of one node (tests/install-system.sh)
# make test-chaos   jobs, training and driver killed a hundred times
# make bench   the ratios that performance claims rest on
# make bench-demo   the demo's methods on a world that nobody tuned on
# make purge DATASET=name   remove all that was made from a data set, the reports with its faces too
# make clean   remove what the pipeline made (not .venv)
SHELL := /bin/bash
PYTHON ?= python3.11
BIN := .venv/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slurm test-chaos bench bench-demo purge clean setup lint schema constraints
.DEFAULT_GOAL := demo

demo: setup
	snakemake --cores all
	@echo "report: $(CURDIR)/results/report/index.html"

setup: .venv/installed

# torchvision's wheels are built for CUDA and do not import beside a CPU torch: tools/ has the shim.
.venv/installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "need $(PYTHON); or: make PYTHON=python3.12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -c 'import torchvision' 2>/dev/null \
	  || $(BIN)/python -m pip install --quiet --disable-pip-version-check tools/torchvision-cpu
	@$(BIN)/python -c 'import torchvision'
	@touch $@

lint: setup
	ruff check .
	ruff format --check .
	mypy
	lint-imports
	snakefmt --check Snakefile workflow
	snakemake --lint

test: lint
	python -m pytest --numprocesses 2 --dist loadfile --durations=10 -ra

test-slurm: setup
	EXPRESSWAY_REQUIRE_SYSTEM=1 python -m pytest --durations=0 tests/workflow/test_slurm.py

test-chaos: setup
	python -m pytest -m chaos -s --durations=0 tests/chaos

# What performance claims rest on, then the rest; each has its time, the table at the end has all.
BENCHMARKS := frames faces emoclip_epoch expclip_epoch scale demo \
  stores loader parsing captions teacher_embeddings finecliper_step hesp_step
BENCH_SECONDS := 1800

bench: setup
	@mkdir -p state/bench; failed=; set -o pipefail; for name in $(BENCHMARKS); do \
	  echo "== $$name"; \
	  timeout $(BENCH_SECONDS) python benchmarks/$$name.py | tee state/bench/$$name.txt \
	    || failed="$$failed $$name"; \
	done; python benchmarks/table.py && { [ -z "$$failed" ] || { echo "failed:$$failed"; exit 1; }; }

bench-demo: setup
	@mkdir -p state/bench; set -o pipefail; \
	  python benchmarks/demo_methods.py | tee state/bench/demo_methods.txt

schema: setup
	expressway schema

# Needs uv. No +cpu: the pins must hold for CUDA builds, too.
constraints:
	{ head -n 1 constraints.txt; uv pip compile pyproject.toml --extra dev --python-version 3.11 \
	  --no-header --no-annotate --quiet $${UV_FIND_LINKS:+--find-links $$UV_FIND_LINKS} \
	  | sed 's/+cpu//'; } > constraints.new && mv constraints.new constraints.txt

# The videos, the manifest and the configuration stay.
purge:
	@[ -n '$(DATASET)' ] && [ -f 'config/datasets/$(DATASET).yaml' ] \
	  || { echo 'make purge DATASET=NAME, a name in config/datasets'; exit 1; }
	rm -rf 'results/$(DATASET)' 'logs/$(DATASET)' 'logs/benchmarks/$(DATASET)' \
	  'state/journal/$(DATASET)' 'state/hashes/$(DATASET).json' results/report

clean:
	rm -rf results logs state .snakemake data/*/clips
