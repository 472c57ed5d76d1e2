# make demo   the whole story on this machine        make test   everything CI checks
# make sandbox  private services to develop against  make help   this list
# make lint-iam the IAM policies of docs/iam, with parliament

CARGO ?= cargo
EXPORTBOX = ./target/debug/exportbox
# Tests mostly wait for databases, stores and each other.
export RUST_TEST_THREADS ?= 6

.PHONY: help demo test lint lint-iam sandbox build tools

help:
	@sed -n '/^# make/s/^# //p' Makefile

demo: build
	@$(EXPORTBOX) demo $(ARGS)

sandbox: build
	@$(EXPORTBOX) sandbox $(ARGS)

test: tools lint
	$(CARGO) test --locked

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
