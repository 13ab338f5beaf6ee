# Parity: the commands of README.md and of CI. Everything is installed into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKSPACE ?= out

.PHONY: demo test check format docs help-texts bench-ratings bench-engine bench-arena bench-judge bench-scale bench-backends install install-dev clean

demo: $(VENV)/installed
	$(BIN)/parity demo --workspace $(WORKSPACE)

test: $(VENV)/installed-dev
	./scripts/install_chromium.sh
	./scripts/install_postgresql.sh
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The documents as a site in out/docs; a warning is an error.
docs: $(VENV)/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# Each command's help into its page; a test compares them.
help-texts: $(VENV)/installed-dev
	$(BIN)/python scripts/update_help_texts.py

bench-ratings: $(VENV)/installed-dev
	$(BIN)/python benchmarks/ratings.py $(if $(ARENA_RANK_PYTHON),--arena-rank-python $(ARENA_RANK_PYTHON))

bench-engine: $(VENV)/installed-dev
	$(BIN)/python benchmarks/engine_processes.py --pairs 5
	$(BIN)/python benchmarks/engine.py --pairs 5 --threads 1 $(if $(SHARE),--share $(SHARE))

bench-arena: $(VENV)/installed-dev
	$(BIN)/python benchmarks/arena.py

bench-judge: $(VENV)/installed-dev
	$(BIN)/python benchmarks/judge.py

bench-scale: $(VENV)/installed-dev
	$(BIN)/python benchmarks/scale.py

bench-backends: $(VENV)/installed-dev
	$(BIN)/python benchmarks/backends.py

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

# torch comes first and alone, so that its pinned build is taken before anything else asks for one.
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) out .mypy_cache .pytest_cache .ruff_cache .hypothesis
