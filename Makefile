# Every target makes the virtual environment it needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed
INTEROP_STAMP := .venv-interop/installed

.PHONY: demo policies weights test coverage test-slow test-cluster test-browser test-device test-interop test-wheel test-lowest mutants check docs clean
.DEFAULT_GOAL := demo

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install -e '.[dev]'
	touch $@

# With a further extra: cluster, browser, docs.
.venv/installed-%: $(STAMP)
	PIP_CONSTRAINT=$(CURDIR)/constraints.txt $(BIN)/pip install -e '.[dev,$*]'
	touch $@

# An environment of its own: the libraries of the examples do not all take the versions of constraints.txt.
$(INTEROP_STAMP): pyproject.toml examples/requirements.txt
	$(PYTHON) -m venv .venv-interop
	.venv-interop/bin/pip install -e . -r examples/requirements.txt
	touch $@

SEQUENTIAL := --only sequential-teacher sequential-student sequential-small-student

# More passes or placements than these gain little a second; `policies` has them all the same.
demo: $(STAMP)  ## label, train, distil and compare: the main job, resumable; some four minutes on 2 cores
	$(BIN)/offload-gym warm-up
	$(BIN)/python -m agents --teacher-passes 8 --rl-placements 100000 \
		$(SEQUENTIAL) ppo-sequential --output results/agents
	$(BIN)/python -m benchmarks policies --seed 20261122 --num-instances 10000 --agents results/agents \
		--json results/policies.json --csv results/policies.csv --plots results/plots
	$(BIN)/python -m benchmarks streams --seed 20261122 --num-streams 100 --num-planned 4 --num-hindsight 4 \
		--arrivals-per-s 8 --json results/streams.json --plots results/plots
	$(BIN)/python -m benchmarks report

# n = 8 comes last of the trainings: the reinforcement-learning agents are the slowest.
policies: $(STAMP)  ## the networks of docs/policies.md and its studies, resumable; under two hours
	$(BIN)/python -m agents --num-tasks 12 --num-labels 120000 $(SEQUENTIAL) --output results/policies/n12
	$(BIN)/python -m agents --num-tasks 16 --num-labels 80000 $(SEQUENTIAL) --output results/policies/n16
	$(BIN)/python -m agents --num-tasks 4 --max-tasks 16 --num-labels 120000 $(SEQUENTIAL) --output results/policies/any
	$(BIN)/python -m agents --objective mean --num-labels 120000 $(SEQUENTIAL) --output results/policies/mean
	$(BIN)/python -m agents --scenario multi_edge --num-labels 80000 $(SEQUENTIAL) --output results/policies/multi_edge
	$(BIN)/python -m agents --scenario vision --num-labels 120000 $(SEQUENTIAL) --output results/policies/vision
	$(BIN)/python -m agents --output results/policies/n8
	$(BIN)/python -m agents distillation --output results/distillation
	$(BIN)/python -m agents ablation
	$(BIN)/python -m benchmarks front --seed 20261122 --json results/front.json --plot results/front.png
	$(BIN)/python -m benchmarks deployment --seed 20261122

weights: policies  ## the networks that the package ships
	for network in teacher student small-student; do \
		cp results/policies/n8/sequential-$$network.safetensors offload_gym/weights/default-$$network.safetensors; \
		for preset in vision multi_edge; do \
			cp results/policies/$$preset/sequential-$$network.safetensors offload_gym/weights/$$preset-$$network.safetensors; \
		done; \
	done

# These have targets of their own.
ELSEWHERE := not cluster and not interop and not browser and not device

test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and $(ELSEWHERE)"

# Tests whose kernels run once more as Python, since no tool sees into compiled ones; in one thread, that of the test,
# which is stopped after a while.
KERNEL_TESTS := annealing best_response cell cell_learning cell_policies chain delay dependencies energy envs \
	graph_networks heft layers masks mobility networks numerics observation padding pareto portfolio properties \
	properties_cells properties_streams random_numbers sampling small_draws solvers stream_beliefs stream_cloning stream_env \
	stream_failures stream_lookahead stream_losses stream_mobility stream_mobility_futures stream_networks \
	stream_planning stream_references stream_rules stream_sampling streams_rules streams_twins vector

MEASURED := $(BIN)/python -m coverage run -m pytest -n 2 --dist loadfile -m "not slow and $(ELSEWHERE)"

coverage: $(STAMP)  ## lines and branches that the tests reach
	rm -rf build/coverage
	$(MEASURED)
	NUMBA_DISABLE_JIT=1 NUMBA_NUM_THREADS=1 $(MEASURED) $(KERNEL_TESTS:%=tests/test_%.py)
	$(BIN)/python -m coverage combine
	$(BIN)/python -m coverage report --include "agents/*" --fail-under 90; agents=$$?; \
		$(BIN)/python -m coverage report --include "offload_gym/*" --fail-under 95 && exit $$agents

test-slow: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "slow and $(ELSEWHERE)"

test-cluster: .venv/installed-cluster  ## on a real Ray and a real Dask, both on this machine
	$(BIN)/python -m pytest -m cluster

test-browser: .venv/installed-browser  ## the page of `benchmarks report` in a headless Chromium
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
		{ echo "make test-browser needs chromium and chromedriver: on Debian, apt-get install chromium chromium-driver" >&2; exit 1; }
	$(BIN)/python -m pytest -m browser

test-device: $(STAMP)  ## exported headers on microcontrollers under QEMU; docs/device.md has the apt line
	$(BIN)/python -m pytest -m device

test-interop: $(INTEROP_STAMP)  ## train each file of examples/, some ten minutes
	.venv-interop/bin/python -m pytest -rP -m interop tests/test_examples.py

# The wheel without torch and all other extras, tested from outside the repository.
WHEEL_TESTS := command_line delay demonstrations instances padding policies sampling scenario solvers vector

# $(call test_wheel,ENVIRONMENT,CONSTRAINTS)
define test_wheel
	rm -rf dist $(1)
	$(BIN)/python -m build --wheel --outdir dist
	$(PYTHON) -m venv $(1)
	PIP_CONSTRAINT=$(CURDIR)/$(2) $(1)/bin/pip install dist/*.whl mypy pytest
	bin=$(CURDIR)/$(1)/bin outside=$$(mktemp -d) && cp -r tests pyproject.toml $$outside && cd $$outside && \
		$$bin/python -c "import importlib.util as u, offload_gym as o; assert 'site-packages' in o.__file__ and not u.find_spec('torch')" && \
		$$bin/offload-gym solve default && \
		$$bin/mypy --strict --config-file= tests/public_types.py && \
		$$bin/python -m pytest $(WHEEL_TESTS:%=tests/test_%.py) && rm -rf $$outside
endef

test-wheel: $(STAMP)
	$(call test_wheel,.venv-wheel,constraints.txt)

test-lowest: $(STAMP)  ## the same with the lowest versions that pyproject.toml allows
	$(call test_wheel,.venv-lowest,constraints-lowest.txt)

mutants: $(STAMP)  ## checks of small draws fail on kernels that are changed: 180 changes of each; some ten minutes
	$(BIN)/python -W ignore tests/mutants.py --sample 180 --seed 1

check: $(STAMP)  ## lint, types, and the bounds of the structure
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/structure.py

docs: .venv/installed-docs  ## the site, into docs/_build/html; warnings are errors
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env docs docs/_build/html

clean:
	rm -rf .venv .venv-interop .venv-wheel .venv-lowest dist results docs/_build
