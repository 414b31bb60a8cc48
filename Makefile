# Two commands for users: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
LOCK ?= envs/cpu.lock
BIN := .venv/bin
DEMO := results/demo_test_meteor.json

.PHONY: install demo test format
install: .venv/.installed

.venv/.installed: $(LOCK) envs/cpu.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# The whole road on a corpus that it makes itself: about ten minutes on two cores.
demo: install
	$(BIN)/snakemake --cores 2 $(DEMO) results/demo_submission.json results/demo/report/index.html
	@cat results/demo/report/scores.md
	@echo "Scores:  $(DEMO)"
	@echo "Report:  results/demo/report/index.html"

test: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/mypy
	$(BIN)/python -m pipeline.config.schema
	$(BIN)/python -m pytest

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow
	$(BIN)/python -m pipeline.config.schema --write
