# Everything runs in .venv, which is made from the lock when it is missing or the lock has changed.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.made-from-$(shell cksum requirements.lock pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)

.DEFAULT_GOAL := help

$(STAMP):
	rm -rf .venv
	$(PYTHON) -m venv .venv
	@echo "Installing the locked dependencies (a few minutes, once) …"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

demo: $(STAMP)  ## Back up a simulated tenant: full, live changes, incremental, what changed
	$(BIN)/entra-pipeline demo

# Many tests wait for servers and processes of their own: four workers keep two cores busy.
test: $(STAMP)  ## Run the tests
	$(BIN)/python -m pytest -n 4 --dist loadfile

# Only modules with such tests are imported.
quick: $(STAMP)  ## Run the tests that need no server and no other process (under two minutes)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m pure $$(grep -rl --include='test_*.py' 'pytest.mark.pure' tests)

chaos: $(STAMP)  ## Kill backups at 50 random moments, on local storage and on S3, and restores at 50
	$(BIN)/python -m pytest tests/chaos tests/restore/test_disasters_killed.py \
		tests/restore/test_disasters_hostile.py --chaos-kills 50

# What it draws depends on the order of requests, so no two runs are the same: it is not among the tests.
storm: $(STAMP)  ## Back up a tenant in which everything misbehaves at two percent
	$(BIN)/python -m pytest tests/backup/storm.py

years: $(STAMP)  ## Let scopes of four points a day live for 400 days, pruned daily (some minutes)
	$(BIN)/python -m pytest tests/store/test_years.py --retention-days 400

SEEDS ?= 500
FIRST ?= 0
PROVE = $(if $(SEED),--seed $(SEED) $(if $(SHOW),--show),$(if $(CUTS),--cuts $(CUTS),--seeds $(SEEDS) --first $(FIRST)))
prove: $(STAMP)  ## Prove the engine by simulation: [SEEDS=500] [FIRST=0], [SEED=17] replays one, [CUTS=all] crashes
	$(BIN)/python -m tests.proof $(PROVE) $(if $(MUTATION),--mutation $(MUTATION))

lint: $(STAMP)  ## Style, types, and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)  ## Format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

dagster: $(STAMP)  ## Dagster's own UI with the demo scope, at http://127.0.0.1:3000: no sign-in, for one person's machine
	@echo "Dagster's own UI has no sign-in: whoever reaches 127.0.0.1:3000 on this machine, a web page in your browser" \
		"included, can launch jobs. entra-pipeline serve puts a sign-in before it."
	umask 077 && mkdir -p .dagster && cp dagster.yaml .dagster/dagster.yaml
	umask 077 && DAGSTER_HOME=$(CURDIR)/.dagster $(BIN)/dagster dev --workspace workspace.yaml

COMPILE = uv pip compile --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --upgrade
lock:  ## Renew the locks from pyproject.toml: of development, of the image, of its SBOM (needs uv)
	$(COMPILE) --group dev pyproject.toml --output-file requirements.lock
	$(COMPILE) --constraint requirements.lock --extra postgres --extra k8s --extra docker --extra celery pyproject.toml \
		--output-file deploy/image/requirements.lock
	echo cyclonedx-bom | $(COMPILE) - --output-file deploy/image/sbom.lock

bench: .venv-bench/.made  ## Run the benchmarks (half an hour, on a quiet machine), and write docs/benchmarks.md
	.venv-bench/bin/python -m benchmarks

.venv-bench/.made: requirements.lock benchmarks/requirements.lock
	rm -rf .venv-bench
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --progress-bar off --require-hashes \
		-r requirements.lock -r benchmarks/requirements.lock
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

models: $(STAMP)  ## Renew what the catalogue keeps of msgraph-sdk's models (after a new version or object type)
	$(BIN)/python -m entra_pipeline.catalogue.shipped

clean:  ## Remove what running and building left behind
	rm -rf .venv .venv-bench .demo .dagster .hypothesis .mypy_cache .pytest_cache .ruff_cache

help:  ## This list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo test quick chaos prove bench lint format dagster lock models clean help
