# make demo    set up .venv and make a first piece in out/demo
# make test    set up .venv and run the tests
# make lint    set up .venv and run ruff and mypy
#
# PYTHON=python3.12 make test chooses the Python (3.10 to 3.13). The set-up runs once, and again when
# requirements.lock, setup.cfg or the chosen Python changes.

# A continuous-integration service's variable must not change what the tests see.
unexport CI

# The first that runs, fits and can make an environment; a name alone may be a shim for a Python that is not there.
fits = import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))
candidates = $(or $(PYTHON),python3.11 python3.12 python3.13 python3.10 python3)
pip = .venv/bin/python -m pip --quiet --disable-pip-version-check install

# An environment made with another Python than the one asked for by name is made anew.
ifdef PYTHON
version = import sys; print(sys.version_info[:2])
ifneq ($(shell $(PYTHON) -c '$(version)' 2>&1),$(shell .venv/bin/python -c '$(version)' 2>&1))
.PHONY: .venv/locked
endif
endif

.PHONY: demo test lint

demo: .venv/ready
	@.venv/bin/calmvae demo -o out/demo

test: .venv/ready
	@.venv/bin/python -m pytest

lint: .venv/ready
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy

# Everything in the lock, each file checked against its hash. setuptools and wheel come first: `promise` is published
# as source only and is built with them, not with whatever version is newest today.
.venv/locked: requirements.lock
	@python=; for p in $(candidates); do "$$p" -c '$(fits)' >/dev/null 2>&1 && python="$$p" && break; done; \
	if [ -z "$$python" ]; then \
	    echo "calmvae needs a Python from 3.10 to 3.13 with its venv module, and none of these is one: $(candidates);" \
	        "install one, or name it as in: PYTHON=/path/to/python3.11 make test" >&2; exit 2; \
	fi; \
	echo "Setting up .venv with $$python: about 1 GB to download the first time, then about two minutes"; \
	"$$python" -m venv --clear .venv
	@awk '/^[^ ]/ { take = /^(setuptools|wheel)==/ } take' requirements.lock >.venv/build.txt
	@$(pip) --require-hashes --no-deps -r .venv/build.txt
	@$(pip) --require-hashes --no-deps --no-build-isolation --use-pep517 -r requirements.lock
	@touch $@

.venv/ready: .venv/locked setup.cfg setup.py
	@$(pip) --no-deps --no-build-isolation --editable .
	@touch $@
