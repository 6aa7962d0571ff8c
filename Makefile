# Two commands: `make book` and `make test`. Each makes .venv and installs what it needs. `make help` lists the rest.

# The Python of .venv, if there is one; `make PYTHON=...` names another.
ifeq ($(origin PYTHON),undefined)
PYTHON := $(shell .venv/bin/python -c 'import sys; print(sys._base_executable)' 2>/dev/null || echo python3)
endif
# Every tool is a module of this interpreter: the scripts beside it name the place where they were installed.
RUN := .venv/bin/python -m
INSTALLED := .venv/.installed
# A checkout that was copied or moved brings an environment that names the old place, and that of another version of
# Python is not the one that is asked for: it is installed anew.
ifneq ($(shell cat $(INSTALLED) 2>/dev/null),$(CURDIR) $(shell $(PYTHON) -V 2>/dev/null))
.PHONY: $(INSTALLED)
endif

# One thread for each process: two on two cores would slow each other down, and other counts give other last digits.
export OMP_NUM_THREADS := 1
# Progress bars would get into stored outputs.
export TQDM_DISABLE := 1
export GCLIB_PROGRESS := 0
# A person's own settings of Python and pytest reach nothing here; gclib/notebook/surroundings.py lists what else changes
# what is run, and keeps it out of tests and pages. Compiled modules are kept: without them imports take three times as long.
unexport $(filter-out PYTHONHOME,$(filter PYTHON%,$(.VARIABLES))) PYTEST_ADDOPTS PYTEST_PLUGINS

.PHONY: help book pdf test types pytest soak bench refresh lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

book: $(INSTALLED)  ## execute every notebook into build/, then build the HTML from those copies
	@$(RUN) gclib.cli book --execute

pdf: $(INSTALLED)  ## the book as one PDF, build/book.pdf; needs Chromium or Google Chrome, three minutes and 2 GB of memory
	@$(RUN) gclib.notebook.edition

test: $(INSTALLED)  ## everything that must hold: style, types, tests, stored outputs, the book in a browser
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	@$(MAKE) --no-print-directory --jobs types pytest

types: $(INSTALLED)
	$(RUN) mypy

pytest: $(INSTALLED)  # a third process for two cores: each waits a fifth of its time
	$(RUN) pytest -n 3 --dist loadfile --no-loadscope-reorder --nbval --nbval-current-env notebooks tests gclib

soak: $(INSTALLED)  ## the long tests: many kills and restarts, every page at every size and theme
	$(RUN) pytest -n 2 -m soak tests

bench: $(INSTALLED)  ## speed, side by side with the usual ways
	$(RUN) benchmarks

refresh: $(INSTALLED)  ## execute the committed notebooks again, in place, with their defaults
	$(RUN) gclib.train.fingerprint
	$(RUN) gclib.cli refresh
	$(RUN) gclib.notebook.readme

# Keeps the versions that are there where it can; remove requirements.lock first to take the newest of everything.
lock: $(INSTALLED)  ## make requirements.lock from pyproject.toml
	$(RUN) uv pip compile pyproject.toml --extra book --extra grid --extra photos --extra onnx --extra dev --universal --python-version 3.11 \
		--fork-strategy fewest --no-annotate --no-emit-index-url --no-emit-find-links \
		--custom-compile-command "make lock" --quiet --output-file requirements.lock

clean:  ## remove what was built; .venv stays
	rm -rf build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# What is wrong with $(PYTHON), in one line; empty if nothing is.
python-problem = $(shell \
	if ! command -v $(PYTHON) >/dev/null; then \
		echo "$(PYTHON) not found: install Python 3.11, 3.12 or 3.13, or name yours: make PYTHON=/path/to/python3"; \
	elif ! $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then \
		echo "$$($(PYTHON) -V 2>&1) is not supported: Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=/path/to/python3"; \
	elif ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) has no venv: install it (on Debian and Ubuntu: apt install python3-venv) or name another: make PYTHON=/path/to/python3"; \
	fi)

# uv installs the lock about three times faster than pip, so pip installs only uv, in the version of the lock.
$(INSTALLED): requirements.lock pyproject.toml
	$(if $(python-problem),$(error $(python-problem)))
	@echo "installing what requirements.lock names into .venv: 6 GB on Linux, about a minute"
	@[ "$$(.venv/bin/python -V 2>&1)" = "$$($(PYTHON) -V 2>&1)" ] || rm -rf .venv
	@$(PYTHON) -m venv .venv
	@$(RUN) pip install --quiet --disable-pip-version-check --constraint requirements.lock uv
	@$(RUN) uv pip install --quiet --python .venv/bin/python --no-deps --requirement requirements.lock --editable .
	@echo "$(CURDIR)" "$$(.venv/bin/python -V)" > $@
