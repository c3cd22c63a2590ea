# Needs python3 (3.11 or later, with venv) and make; everything else goes into .venv.

PYTHON ?= python3
BIN := .venv/bin
INPUTS := setup.cfg pyproject.toml s3shim/__init__.py

.PHONY: serve test cluster crowd proxy fuzz check crash fuzz-requests conformance conformance-garage conformance-upstream bench bench-nats bench-garage gate model docs clean

serve: .venv/serve.stamp
	@exec $(BIN)/s3shim serve $(if $(LISTEN),--listen "$(LISTEN)") $(if $(DATA),--data "$(DATA)")

# In three processes: most tests wait for disks and servers. WORKER=gthread or WORKER=s3shim: the tests of the wire go
# through that gunicorn worker.
test: .venv/test.stamp
	$(BIN)/python -m pytest -n 3 --dist loadfile $(if $(WORKER),--worker $(WORKER)) $(TESTS)

check: .venv/check.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q tests/test_house.py

# A million requests that are nearly right in process, 50,000 over sockets; REQUESTS, SOCKETS, SEED choose others.
fuzz-requests: .venv/test.stamp
	$(BIN)/python -m tests.wire.fuzz $(if $(REQUESTS),--requests $(REQUESTS)) \
		$(if $(SOCKETS),--sockets $(SOCKETS)) $(if $(SEED),--seed $(SEED)) $(if $(FIRST),--first $(FIRST))
# 100,000 streams of bytes that are nearly requests; STREAMS, SEED and FIRST choose others.
fuzz: .venv/test.stamp
	$(BIN)/python -m tests.server.fuzz $(if $(STREAMS),--streams $(STREAMS)) $(if $(SEED),--seed $(SEED)) \
		$(if $(FIRST),--first $(FIRST))

# 5,000 idle and 500 slow connections, and what they cost others; IDLE, SLOW and SECONDS choose others.
crowd: .venv/test.stamp
	$(BIN)/python -m tests.server.crowd $(if $(IDLE),--idle $(IDLE)) $(if $(SLOW),--slow $(SLOW)) \
		$(if $(SECONDS),--seconds $(SECONDS))

# A cluster of three nats-servers on this machine, longer than in make test; TRIALS chooses how long.
cluster: .venv/test.stamp
	$(BIN)/python -m pytest tests/nats/test_cluster.py --trials $(or $(TRIALS),1000)

# Needs nginx: see docs/conformance.md.
proxy: .venv/test.stamp
	$(BIN)/python -m pytest conformance/proxy

# Needs Linux, root, strace and mkfs.ext4: see docs/durability.md.
crash: .venv/test.stamp
	$(BIN)/python -m crash $(foreach suite,$(ONLY),--only $(suite)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(SEED),--seed $(SEED)) $(if $(WORK),--work "$(WORK)")

# Needs rclone, s3cmd and git, for s3tests a checkout of ceph/s3-tests, for matrix SDKs: see docs/conformance.md.
conformance: .venv/conformance.stamp
	$(BIN)/python -m conformance $(if $(SUITE),--only $(SUITE)) $(if $(CASE),--case "$(CASE)") \
		$(if $(S3TESTS),--s3-tests "$(S3TESTS)") $(if $(NATS_S3),--nats-s3 "$(NATS_S3)") $(if $(NCPS),--ncps "$(NCPS)") \
		$(if $(STORAGE),--storage $(STORAGE)) $(if $(SIZE),--size $(SIZE)) $(if $(UPDATE),--update)

# Needs garage: see docs/conformance.md.
conformance-garage: .venv/test.stamp
	$(BIN)/python -m conformance.garage $(if $(TESTS),$(TESTS))

# SERVER is minio or versitygw, which must be on PATH: see docs/conformance.md.
conformance-upstream: .venv/test.stamp
	$(BIN)/python -m conformance.upstream $(SERVER) $(if $(TESTS),$(TESTS))

# Needs Go; measures s3shim and the peers that are found on PATH, with GROWTH=1 how costs grow: see docs/performance.md.
bench: .venv/test.stamp
	cd bench/load && go vet . && go test .
	$(BIN)/python -m bench$(if $(GROWTH),.growth) $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(ENDPOINT),--endpoint "$(ENDPOINT)") $(if $(WORK),--work "$(WORK)") $(if $(DOCS),--docs)

# The same for s3shim over NATS and, where it is on PATH, nats-s3; GIANT=1 puts and gets 2 GiB too.
bench-nats: .venv/test.stamp
	$(BIN)/python -m bench.nats $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(GIANT),--giant) \
		$(if $(WORK),--work "$(WORK)") $(if $(DOCS),--docs)

# The same for Garage itself, s3shim over it and, where it is on PATH, versitygw over it; needs garage.
bench-garage: .venv/test.stamp
	$(BIN)/python -m bench.garage $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(GIANT),--giant) \
		$(if $(WORK),--work "$(WORK)") $(if $(DOCS),--docs)

# Is part of make test too; UPDATE=1 makes what is measured the bounds.
gate: .venv/test.stamp
	$(BIN)/python -m bench.gate $(if $(UPDATE),--update)

model: .venv/test.stamp
	$(BIN)/python conformance/model/extract.py > s3shim/data/operations.json.new
	mv s3shim/data/operations.json.new s3shim/data/operations.json

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

.venv/conformance.stamp: $(INPUTS) | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[conformance]'
	@touch .venv/serve.stamp $@
