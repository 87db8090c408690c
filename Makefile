# `make demo` and `make test` are each all the set-up that a fresh machine needs: a Python 3.10 or newer and a network.
# PYTHON=… names the interpreter to build the environment with; else the best one on the PATH is taken.

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
JOBS := 2

.PHONY: campaign engines tables demo docs test numpy2 lint bench results corpus clean help
.NOTPARALLEL:
.DELETE_ON_ERROR:

help:
	@echo "make demo     train two plain NumPy programs under MinPy, on real data"
	@echo "make test     the test suite"
	@echo "make numpy2   what takes NumPy apart (blocks, loops, the table, tapes), tested with NumPy 2"
	@echo "make docs     the manual as web pages, its tutorials executed, into docs/_build/html"
	@echo "make lint     ruff: rules and layout"
	@echo "make bench    what MinPy costs and gains, as ratios to plain NumPy"
	@echo "make results  the same for whole programs beside Numba, JAX and others, into docs/results.md (hours)"
	@echo "make corpus   pass all the standard library's tests and a dozen installed packages through the rewriter"
	@echo "make engines  40,000 random programs with every engine forced on, against plain Python"
	@echo "make tables   derivatives of every row of the table: all operands made of its samples, on every back end"
	@echo "make campaign  100,000 random programs: gradients and side effects against plain Python"
	@echo "make clean    remove the environment and everything that was built"

demo: $(VENV)/.has-demo
	@echo "== minpy run examples/train_digits.py"
	@$(PY) -m minpy run examples/train_digits.py
	@echo "== minpy run examples/grad_digits.py"
	@$(PY) -m minpy run examples/grad_digits.py

# Neighbours run in one process, which keeps what their fixtures have made.
test: $(VENV)/.has-test
	@$(PY) -m pytest -n $(JOBS) --dist worksteal

# MXNet keeps the other targets on NumPy 1. Blocks and loops call NumPy's inner loops and rely on its order of additions,
# and the table says what each function gives: all of that is NumPy 2's business as well.
numpy2: $(VENV)-numpy2/.has-test
	@$(VENV)-numpy2/bin/python -m pytest -n $(JOBS) --dist worksteal tests/fuse tests/jit tests/engines tests/programs tests/autodiff tests/runtime

lint: $(VENV)/.has-dev
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

# A page whose code raises, a link that leads nowhere, a docstring that cannot be read: each ends it.
docs: $(VENV)/.has-docs
	$(PY) -m sphinx -b html -q -W --keep-going docs docs/_build/html
	@echo "open docs/_build/html/index.html"

bench: $(VENV)/.has-bench
	$(PY) -m benchmarks

# On a quiet machine. A file that is there is not made again; FLAGS=--fast makes all of them in half the time.
OUT := benchmarks/out
FIGURES := $(addprefix $(OUT)/,programs-1 forward-1 programs-2 forward-2 workloads cold)
$(OUT)/programs-2.json $(OUT)/cold.json: FLAGS := --fast

results: $(FIGURES:=.json)
	$(PY) -m benchmarks.results $(OUT)

$(OUT)/programs-%.json: $(VENV)/.has-results
	@mkdir -p $(OUT)
	$(PY) -m benchmarks programs --peers numba jax --threads $* $(FLAGS) -o $@

$(OUT)/forward-%.json: $(VENV)/.has-results
	@mkdir -p $(OUT)
	$(PY) -m benchmarks forward --threads $* $(FLAGS) -o $@

$(OUT)/workloads.json $(OUT)/cold.json: $(OUT)/%.json: $(VENV)/.has-results
	@mkdir -p $(OUT)
	$(PY) -m benchmarks $* $(FLAGS) -o $@

# The test-suite takes a sample of the same files.
corpus: $(VENV)/.has-test
	@echo "== the full corpus, half an hour on two cores: every file of the standard library's tests and of a dozen packages"
	MINPY_CORPUS=full $(PY) -m pytest -n $(JOBS) tests/transform/test_corpus.py

# The test-suite takes some of the smaller operands of each row.
tables: $(VENV)/.has-test
	MINPY_TABLES=full $(PY) -m pytest -n $(JOBS) tests/runtime/test_table_orders.py

# The test-suite runs the first five hundred.
campaign: $(VENV)/.has-test
	@echo "== 100,000 random programs, half an hour on one core; what is wrong is written to campaign/"
	$(PY) tests/programs/campaign.py --jobs $(JOBS)

# The test-suite runs some three hundred.
engines: $(VENV)/.has-test
	@echo "== 40,000 random programs with every engine forced on, an hour on one core; what differs is written to campaign/engines/"
	$(PY) tests/engines/forced_campaign.py --jobs $(JOBS)

clean:
	rm -rf $(VENV) $(VENV)-numpy2 build dist docs/_build campaign .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. It is editable, so that a change of the source needs no installation; a change of pyproject.toml
# does, and each stamp below is older than it then.

$(PY):
	@python=$$(.ci/find-python $(if $(PYTHON),"$(PYTHON)")) && echo "== making $(VENV) with $$python" && rm -rf $(VENV) && \
	{ "$$python" -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; }

$(VENV)-numpy2/.has-test: pyproject.toml $(PY)
	@echo "== installing minpy[test] and NumPy 2 into $(VENV)-numpy2"
	@$(PY) -m venv $(VENV)-numpy2
	@$(VENV)-numpy2/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]' 'numpy>=2'
	@touch $@

$(VENV)/.has-demo: EXTRAS := cpu,examples
$(VENV)/.has-test: EXTRAS := cpu,test
$(VENV)/.has-bench: EXTRAS := cpu,bench,examples
$(VENV)/.has-results: EXTRAS := cpu,bench,peers,examples
$(VENV)/.has-docs: EXTRAS := cpu,docs
$(VENV)/.has-dev: EXTRAS := dev
$(VENV)/.has-%: pyproject.toml $(PY)
	@echo "== installing minpy[$(EXTRAS)] into $(VENV)"
	@$(PY) -c 'import sys; sys.version_info < (3, 13) or print("== Python", sys.version.split()[0], "is too new for MXNet: the NumPy path is used")'
	@$(PIP) --editable '.[$(EXTRAS)]'
	@touch $@
