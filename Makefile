# Needs python3 (3.11 or later, with venv) and make; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
INPUTS := setup.cfg pyproject.toml s3shim/__init__.py

.PHONY: serve test check docs clean

serve: .venv/serve.stamp
	@exec $(BIN)/s3shim serve $(if $(LISTEN),--listen "$(LISTEN)") $(if $(DATA),--data "$(DATA)")

test: .venv/test.stamp
	$(BIN)/python -m pytest $(TESTS)

check: .venv/check.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_house.py

docs: .venv/serve.stamp
	$(BIN)/python -m s3shim.routes.docs > docs/operations.md
	$(BIN)/python -m s3shim.cli.docs README.md

clean:
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "s3shim needs Python 3.11 or later; $(PYTHON) is older or missing (PYTHON=... names another)" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/serve.stamp: $(INPUTS) | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv/test.stamp: $(INPUTS) | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch .venv/serve.stamp $@

.venv/check.stamp: $(INPUTS) | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch .venv/serve.stamp .venv/test.stamp $@
