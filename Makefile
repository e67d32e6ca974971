# Everything a person or CI runs. A fresh clone needs Python 3.11 or newer and a package index; nothing is asked.
PYTHON ?= python3
CONFIG ?= configs/survey_demo.yaml
BIN ?= .venv/bin
BUNDLE ?= bundle
BUNDLE_FOR ?=
DRIVER_SERVER ?= driver-server
FOLDERS := configs instruments envs models agent archive surveys training review console

# No dependency reports home.
export DO_NOT_TRACK := 1
export MLFLOW_DISABLE_TELEMETRY := true
export RAY_USAGE_STATS_ENABLED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Frames are small: more threads would only wait for each other, and results would depend on their number.
export OMP_NUM_THREADS ?= 1

.PHONY: help night test slow coverage check nexus notebooks benchmarks bundle driver-zip clean

help:  ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' Makefile

night: .venv/core  ## Survey a simulated specimen and write the morning report (CONFIG=... for another)
	$(BIN)/adaptem survey $(CONFIG)

test: .venv/dev  ## The default tests, a quarter of an hour on 2 cores
	$(BIN)/pytest -n auto --dist loadscope

slow: .venv/dev  ## The campaigns: crash and stop tests, the offline bundle
	$(BIN)/pytest -m slow

coverage: .venv/dev  ## Every line and branch of what the guard refuses and books by, in its own process too
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest -q tests/instruments tests/e2e/test_e2e_link_defects.py \
		-k "(guard or ledger or latch or limits or overlap or watchdog or as_they_are) and not planted"
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --show-missing --fail-under=100

check: .venv/dev  ## Format, types, layers, security
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive $(FOLDERS) adaptem.py

rllib: .venv-rllib/made  ## RLlib's adapter, in an environment of its own
	.venv-rllib/bin/python -m pytest -p no:cacheprovider tests/training/test_training_rllib.py

nexus: .venv-nexus/made .venv/dev  ## Exports judged by others: pynx validate and the rocrate library, in an environment of their own
	$(BIN)/pytest tests/archive/test_archive_export_judged.py

.venv-nexus/made: Makefile
	test -x .venv-nexus/bin/python || $(PYTHON) -m venv .venv-nexus
	.venv-nexus/bin/python -m pip install --quiet 'pynxtools==0.16.0' 'rocrate==0.16.0'
	touch $@

.venv-rllib/made: pyproject.toml constraints.txt
	test -x .venv-rllib/bin/python || $(PYTHON) -m venv .venv-rllib
	grep -v '^gymnasium==' constraints.txt > .venv-rllib/constraints.txt
	.venv-rllib/bin/python -m pip install --quiet --constraint .venv-rllib/constraints.txt --editable '.[train,rllib]' \
		pytest pytest-timeout hypothesis
	touch $@

notebooks: .venv/dev  ## Run docs/notebooks
	$(BIN)/pytest --nbmake --nbmake-timeout=300 docs/notebooks

benchmarks: .venv/dev  ## Every benchmark, quickly, to see that it runs
	for name in alignment backends calibration campaign detection devices fewshot find flag_folders flag_history flag_kinds flag_labels flag_nulls flags focusing guard holes holes_prior holes_speed known_features lattice_strain learning_nights library loop night property property_eels quality recall_bound resume review_page scoring segmentation simulator survey_policy throughput tracking warm_start zero_shot; do \
		$(BIN)/python -m benchmarks.$$name --quick || exit 1; done

bundle: .venv/core  ## A folder from which an offline machine installs (BUNDLE_FOR='--platform win_amd64 --python-version 3.11')
	rm -rf build $(BUNDLE)
	mkdir -p $(BUNDLE)/wheels
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir $(BUNDLE)/wheels .
	$(BIN)/python -m pip download --quiet --only-binary=:all: $(BUNDLE_FOR) --constraint constraints.txt \
		--dest $(BUNDLE)/wheels $(BUNDLE)/wheels/adaptem-*.whl
	cp -r docs README.md CHANGELOG.md LICENSE $(BUNDLE)/
	mkdir $(BUNDLE)/configs && cp configs/*.yaml $(BUNDLE)/configs/
	printf '%s\n' "$$INSTALL" > $(BUNDLE)/install.sh && chmod +x $(BUNDLE)/install.sh
	rm -rf build

driver-zip:  ## The driver server for an instrument's own computer: a folder and a zip that run without pip
	rm -rf $(DRIVER_SERVER) $(DRIVER_SERVER).zip
	mkdir -p $(DRIVER_SERVER)/server
	cp instruments/server/*.py $(DRIVER_SERVER)/server/
	cp docs/plain_driver.py LICENSE $(DRIVER_SERVER)/
	printf '%s\n' "$$DRIVER_README" > $(DRIVER_SERVER)/README.txt
	cd $(dir $(abspath $(DRIVER_SERVER))) && $(PYTHON) -m zipfile -c $(abspath $(DRIVER_SERVER)).zip $(notdir $(DRIVER_SERVER))

clean:  ## Remove what was built; surveys stay
	rm -rf .venv build dist bundle driver-server driver-server.zip *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find $(FOLDERS) tests benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Two environments in one folder; the stamps make them anew when what they are made from changes.
.venv/core: pyproject.toml constraints.txt
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: .venv/core
	.venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,review,notify,parquet,postgres,validate,formats,simulate,see,train,sb3,minari,detwin,de,nion,thermofisher,micromanager]'
	touch $@

# Trained weights travel inside the wheel, as package data.
define INSTALL
#!/bin/sh
# Install adaptem from this folder alone, without a network: ./install.sh [FOLDER OF THE NEW ENVIRONMENT]
set -eu
here=$$(cd "$$(dirname "$$0")" && pwd)
target=$${1:-adaptem-env}
"$${PYTHON:-python3}" -m venv "$$target"
"$$target/bin/python" -m pip install --no-index --find-links "$$here/wheels" adaptem
echo "Installed. Next: $$target/bin/adaptem doctor"
endef
export INSTALL

define DRIVER_README
The driver server of adaptem: it holds the instrument's driver, and blanks the beam when nobody can be heard.

Needs Python 3.8 or newer and numpy, nothing else. Copy this folder to the instrument's computer, write your driver
(plain_driver.py is a complete one that you can try), and in this folder run

    python -m server --driver plain_driver.py --token-file token.txt --port 7654 --name NAME

It listens on this computer alone. From the computer that runs adaptem open a tunnel to it,

    ssh -L 7654:127.0.0.1:7654 USER@THIS_COMPUTER

copy token.txt there, and give the config:  instrument: {kind: remote, port: 7654, token_file: token.txt, name: NAME}
endef
export DRIVER_README
