# make demo      set up .venv with what generation needs, and make a first piece in out/demo
# make test      set up .venv with everything and run the tests that take no minutes
# make test-all  run the others too: notebooks, the pages of commands, figures measured again
# make lint      set up .venv and run ruff and mypy
#
# PYTHON=python3.12 make test chooses the Python (3.10 to 3.13). The set-up runs once, and again when
# the locks, setup.cfg or the chosen Python change.

# A continuous-integration service's variable must not change what the tests see.
unexport CI

# The first that runs, fits and can make an environment; a name alone may be a shim for a Python that is not there.
fits = import sys, ensurepip, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))
candidates = $(or $(PYTHON),python3.11 python3.12 python3.13 python3.10 python3)
pip = .venv/bin/python -m pip -qq --disable-pip-version-check install

# An environment made with another Python than the one asked for by name is made anew.
ifdef PYTHON
version = import sys; print(sys.version_info[:2])
ifneq ($(shell ($(PYTHON) -c '$(version)') 2>/dev/null),$(shell (.venv/bin/python -c '$(version)') 2>/dev/null))
.PHONY: .venv/made
endif
endif

.PHONY: demo test test-all lint

demo: .venv/light
	@.venv/bin/calmvae demo -o out/demo

# A file's tests stay together: they share models and graphs.
pytest = .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test: .venv/ready
	@$(pytest) -m "not slow"

test-all: test
	@$(pytest) -m slow

lint: .venv/ready
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy
	@.venv/bin/lint-imports

.venv/made:
	@python=; for p in $(candidates); do "$$p" -c '$(fits)' >/dev/null 2>&1 && python="$$p" && break; done; \
	if [ -z "$$python" ]; then \
	    echo "calmvae needs a Python from 3.10 to 3.13 with its venv module, and none of these is one: $(candidates);" \
	        "install one, or name it as in: PYTHON=/path/to/python3.11 make test" >&2; exit 2; \
	fi; \
	echo "Setting up .venv with $$python"; "$$python" -m venv --clear .venv
	@touch $@

# Everything in a lock, each file checked against its hash. Two packages may come as source only (promise always,
# tinysoundfont on some systems); they go second, so that they are built with the locked tools and not the newest ones.
define install
	@awk '/^[^ ]/ { source = /^(promise|tinysoundfont)==/ } !source' $(1) >.venv/wheels.txt
	@$(pip) --require-hashes --no-deps --only-binary :all: -r .venv/wheels.txt
	@$(pip) --require-hashes --no-deps --no-build-isolation --use-pep517 -r $(1)
	@$(pip) --no-deps --no-build-isolation --editable .
	@touch $@
endef

.venv/light: .venv/made requirements-light.lock setup.cfg setup.py
	@echo "Installing what generation needs: about 60 MB to download"
	$(call install,requirements-light.lock)

.venv/ready: .venv/light requirements.lock
	@echo "Installing TensorFlow, Magenta and the tests' tools: about 840 MB to download, a few minutes"
	$(call install,requirements.lock)
