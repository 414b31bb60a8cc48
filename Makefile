# `make demo` and `make test` are for users; both install what they need into .venv first.
PYTHON ?= python3
LOCK ?= envs/cpu.lock
BIN := .venv/bin
DEMO := results/demo_test_meteor.json
RULES ?= study
# Worker processes of the tests; auto: one for each core, and one more.
WORKERS ?= auto
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS)
DOES ?= Do something.
# Tests start hundreds of processes. Without compiled files, each would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
# Names in docs/figures.yaml.
RECORDS ?= demo

.PHONY: install demo check test test-all format generate figures new-stage
install: .venv/.installed

.venv/.installed: $(LOCK) envs/cpu.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# The full pipeline on a synthetic dataset: about six minutes on two cores.
demo: install
	$(BIN)/snakemake --cores 2 $(DEMO) results/demo_submission.json results/demo/report/index.html
	@$(BIN)/python -m workflow.scripts.print_scores $(DEMO)
	@echo "Scores:  $(DEMO)"
	@echo "Report:  results/demo/report/index.html"

# Lint, format, types, generated files.
check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/python -m workflow.scripts.generate --check
	$(BIN)/mypy --num-workers 2

# All checks and tests but the long campaigns. make test PART=captioning: only the tests of one package.
ifdef PART
test: install
	$(PYTEST) --part $(PART)
else
test: check
	$(PYTEST)
endif

# Everything, as CI does.
test-all: check
	$(PYTEST) --campaigns

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# Write every generated file: the configuration's defaults and schema, the table of reruns, parts of the documents.
generate: install
	$(BIN)/python -m workflow.scripts.generate

# Renew figures of the documents: run their commands, then copy the results. make figures RECORDS="pretraining ablation"
figures: install
	$(BIN)/snakemake --cores 2 $$($(BIN)/python -m workflow.scripts.figures targets $(RECORDS))
	$(BIN)/python -m workflow.scripts.figures copy $(RECORDS)

# Write the skeleton of a new stage: make new-stage NAME=verb_noun DOES="One sentence." [RULES=study]
new-stage: install
	$(BIN)/python -m workflow.scripts.new_stage "$(NAME)" --does "$(DOES)" --rules "$(RULES)"
