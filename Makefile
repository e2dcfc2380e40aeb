# `make demo` and `make test` do everything on a machine that has Python and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS ?= dev
INSTALLED := $(VENV)/.installed-$(EXTRAS)

.PHONY: demo test lint benchmark release-check space clean

demo: $(INSTALLED)
	$(BIN)/python scripts/demo.py --output demo $(ARGS)

test: lint
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

benchmark: $(INSTALLED)
	$(BIN)/python scripts/benchmark.py --json docs/performance.json
	$(BIN)/python scripts/performance.py

# Before a release: every recipe trains, is pushed and comes back; the wheel installs from the index, and pushes.
release-check: $(INSTALLED)
	HF_HUB_OFFLINE=1 OMP_NUM_THREADS=1 TRANSFORMERS_VERBOSITY=error $(BIN)/python -m pytest -m slow

# What to push to a Space: its own files and the package beside them.
space:
	rm -rf build/space
	mkdir -p build/space
	cp space/* build/space
	cp -r src/sketch_prompt build/space
	find build/space -name __pycache__ -prune -exec rm -r {} +

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) demo build dist src/*.egg-info
