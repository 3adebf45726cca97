# Quilt's commands. `make run` on a fresh Debian 12 with Rust is all it takes; `make help` lists the rest.
#
#   make run ARGS='--listen 0.0.0.0:8080'     further settings, see the README
#   make test CHECKS='fmt clippy'             only some of the checks, see .make/check
#   make SKIP_SETUP=1 ...                     installs no packages

CARGO ?= cargo
QUILT = $${CARGO_TARGET_DIR:-target}/release/quilt
export CARGO CHECKS

.PHONY: help run demo test bench tradeoff deb fmt build setup

help:
	@echo 'make run     install what is missing, build, serve on http://127.0.0.1:8080'
	@echo 'make demo    the same, with four synthetic people in the room "demo"'
	@echo 'make test    install the test tools too, then run every check'
	@echo 'make bench   measure CPU, latency and memory; prints a table and JSON lines'
	@echo 'make tradeoff  hold meetings as mesh, SFU and MCU; writes a report of what each costs'
	@echo 'make deb     make a Debian package with the service'
	@echo 'make fmt     format the Rust code'

setup:
	@.make/setup build run

build: setup
	$(CARGO) build --release --locked

run: build
	exec "$(QUILT)" serve $(ARGS)

demo: build
	exec "$(QUILT)" serve --demo $(ARGS)

bench: build
	exec "$(QUILT)" bench $(ARGS)

tradeoff:
	@.make/setup build run tradeoff
	$(CARGO) build --release --locked
	exec "$(QUILT)" tradeoff $(ARGS)

deb:
	@.make/setup build deb
	$(CARGO) build --release --locked
	.make/deb

test:
	@.make/setup build run deb test
	@.make/check $(CHECKS)

fmt:
	$(CARGO) fmt
