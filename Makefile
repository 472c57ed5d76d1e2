# make demo   the whole story on this machine        make test   everything CI checks
# make sandbox  private services to develop against  make help   this list
# make lint-iam the IAM policies of docs/iam, with parliament
# make chaos SEED=7 MINUTES=30   a long round of everything at once; its last line has the figures
# make bench  every figure against its floor, in a release build: CASE=queue, ROUNDS=5, SCALE=1 (an hour in all)
# make docs  write the parts of the documents that are made from the program and the code
# make mutations  take each guard away and see a test miss it (half an hour)

CARGO ?= cargo
EXPORTBOX = ./target/debug/exportbox
# Tests mostly wait for databases, stores and each other.
export RUST_TEST_THREADS ?= 6

PGBOUNCER = PATH="$$PATH:/usr/sbin:/usr/local/sbin" command -v pgbouncer >/dev/null

.PHONY: help demo test docs bench chaos mutations lint lint-iam sandbox build tools clock pooler

help:
	@sed -n '/^# make/s/^# //p' Makefile

demo: build
	@$(EXPORTBOX) demo $(ARGS)

sandbox: build
	@$(EXPORTBOX) sandbox $(ARGS)

chaos: tools clock
	CHAOS_SEED="$(SEED)" CHAOS_MINUTES="$(MINUTES)" $(CARGO) test --locked --test chaos

test: tools clock pooler lint
	@if $(PGBOUNCER); then $(CARGO) test --locked; \
	else echo "no pgbouncer: the tests that put one before the database are not run"; EXPORTBOX_WITHOUT_PGBOUNCER=1 $(CARGO) test --locked; fi

docs: tools
	UPDATE_DOCS=1 $(CARGO) test --locked --test suite docs::

bench: tools
	CASE="$(CASE)" ROUNDS="$(ROUNDS)" SCALE="$(SCALE)" $(CARGO) bench --locked --bench measure

mutations: tools
	MUTATION="$(MUTATION)" $(CARGO) test --locked --test suite mutations:: -- --include-ignored --nocapture

lint: tools
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	$(CARGO) clippy --locked --no-default-features -- -D warnings

# The policies of docs/iam against AWS's own list of actions; needs Python and a way to PyPI, so it is no part of `make test`.
lint-iam:
	@test -x target/lint-iam/bin/parliament || { python3 -m venv target/lint-iam && target/lint-iam/bin/pip install -q parliament==1.6.4 'setuptools<81'; }
	@target/lint-iam/bin/python .ci/lint-iam docs/iam

build: tools
	$(CARGO) build --locked

# A C compiler for the crates that need one, and PostgreSQL's server binaries: installed only where they are missing.
tools:
	@command -v $(CARGO) >/dev/null || { echo "cargo is missing: install Rust from https://rustup.rs"; exit 1; }
	@{ $(CARGO) fmt --version && $(CARGO) clippy --version; } >/dev/null 2>&1 || { command -v rustup >/dev/null && rustup component add rustfmt clippy; } || \
		{ echo "rustfmt and clippy are missing: install them with your Rust, or use https://rustup.rs"; exit 1; }
	@need=""; \
	command -v cc >/dev/null || need="gcc libc6-dev"; \
	found=""; \
	for bin in "$$EXPORTBOX_PG_BIN" $$(dirname "$$(readlink -f "$$(command -v postgres 2>/dev/null)" 2>/dev/null)" 2>/dev/null) /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql@*/bin; do \
		if [ -x "$$bin/postgres" ] && [ -x "$$bin/initdb" ]; then \
			major=$$("$$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'); \
			[ "$$major" -ge 14 ] && found="$$bin"; \
		fi; \
	done; \
	[ -n "$$found" ] || need="$$need postgresql"; \
	[ -n "$$need" ] || exit 0; \
	if ! command -v apt-get >/dev/null; then echo "missing: $$need; install it (PostgreSQL 14 or newer, server and client) with your system's package manager"; exit 1; fi; \
	if [ "$$(id -u)" = 0 ]; then sudo=""; elif command -v sudo >/dev/null; then sudo="sudo"; \
	else echo "missing: $$need; run as root: apt-get install -y $$need"; exit 1; fi; \
	echo "installing $$need"; \
	$$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $$need

# A fake clock for the round of faults. A nicety: without it no worker's clock is off, and the round says so.
clock:
	@ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || { \
		sudo=""; [ "$$(id -u)" = 0 ] || sudo="sudo -n"; \
		{ $$sudo apt-get update -q && $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends faketime; } >/dev/null 2>&1 || \
		echo "skipped: faketime could not be installed, so no clock will be off in the round of faults"; }

# PgBouncer, for the tests that put one between daemon and database. Where it cannot be had they are left out, and say so.
pooler:
	@$(PGBOUNCER) || { \
		if [ "$$(id -u)" = 0 ]; then sudo=""; else sudo="sudo -n"; fi; \
		install="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends pgbouncer"; \
		command -v apt-get >/dev/null && echo "installing pgbouncer" && \
			{ $$install || { $$sudo apt-get update -q && $$install; }; } >/dev/null 2>&1; \
		true; \
	}
