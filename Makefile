# Everything is installed and written under .local/, but for what `make build` puts in .aws-sam/.
SHELL := /bin/bash
VENV := .local/venv
PYTHON := $(VENV)/dev/bin/python
# SAM downloads wheels for another processor by name alone: as a constraint, the hashes hold for those too.
SAM := PIP_CONSTRAINT=layers/dependencies/requirements.txt PATH="$(CURDIR)/$(VENV)/sam/bin:$$PATH" sam
MACHINE := $(if $(filter x86_64 amd64,$(shell uname -m)),x86_64,arm64)
SOURCES := template.yaml $(shell find functions layers -type f -not -name '*.pyc')
# sam build ships no bytecode, and a function's disk is read-only: without it every cold start compiles anew.
# Of the dependencies nobody reads the sources: half the files, and a third of the bytes, stay here.
COMPILE := $(VENV)/sam/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash
# Nor does anybody paint text or AVIF here, convert colour profiles, or show powertools' pages.
UNREAD := _avif.* _imagingcms.* _imagingft.* _imagingmorph.* _imagingtk.* libavif-* libbrotli* libfreetype-* \
	libharfbuzz-* liblcms2-* libpng16-* swagger-ui*
define compile
	@$(COMPILE) -x /Dependencies/ $(1)
	@$(COMPILE) -b -s $(1)/Dependencies -p /opt $(1)/Dependencies
	@find $(1)/Dependencies -type f \( -name '*.py' -o -name '*.pyi' $(UNREAD:%=-o -name '%') \) -delete
	@find $(1)/Dependencies -name __pycache__ -prune -exec rm -r {} +
endef
RESOLVE := $(VENV)/update/bin/uv pip compile --quiet --upgrade --system-certs --python-version 3.13 --python-platform linux \
	--only-binary :all: --generate-hashes --no-annotate --no-header
PORT ?= 8080
NODE := $(if $(shell command -v npm),.local/node/ready)
# The published clients that are not of this project's own environment.
CLIENTS := $(VENV)/clients-0.28.1/ready $(VENV)/clients-langchain/ready $(NODE)
E ?= direct
ENV ?= default
export SAM_CLI_TELEMETRY := 0

.PHONY: help run invoke test lint unit stack clients chaos model fuzz soak bench cost build deploy update ready clean
.DELETE_ON_ERROR:

help:
	@echo "make run             the local stack, on PORT (8080)"
	@echo "make invoke F=generate E=direct"
	@echo "                     one function as Lambda runs it, on events/F/E.json, beside a running stack"
	@echo "make test            everything that is checked"
	@echo "make lint | unit | stack"
	@echo "                     a part of it"
	@echo "make clients         every published client in every case it can express, as a table; with ONLY=curl some"
	@echo "make chaos           2,000 jobs whose calls fail and whose processes die, and their books; 45 minutes"
	@echo "make model           the long form of the drawn lives of jobs, and of two at once; with LIVES=1000 so many"
	@echo "make fuzz            50,000 hostile inputs of all kinds, as a table; with INPUTS=1000 so many"
	@echo "make soak            500 files in the inbox, good and bad, as a table; 10 minutes"
	@echo "make bench           what a picture costs in CPU and memory, beside a plain script; with PROFILE=1 where"
	@echo "make cost            what 1,000 images cost on AWS, item by item, and how it grows; into the README"
	@echo "make build           what is deployed, to dev or ENV, for the architecture in samconfig.toml"
	@echo "make deploy          build, and deploy to dev; with ENV=prod to prod (samconfig.toml)"
	@echo "make update          the newest versions of all dependencies, with their hashes and licences"
	@echo "make clean           forget all that was installed and built"

run: $(VENV)/dev/ready
	@exec $(PYTHON) -m local.stack --port $(PORT)

invoke: $(VENV)/dev/ready ready
	@exec $(PYTHON) -m local.invoke $(F) $(E)

# They wait more than they work: side by side they take half as long. Each tells what it has to say at its end.
test:
	@echo "· lint, unit tests and stack tests side by side: about 8 minutes on 2 cores"
	@$(MAKE) --no-print-directory -j 3 $(if $(filter output-sync,$(.FEATURES)),--output-sync=line) stack unit lint

lint: export AWS_DEFAULT_REGION ?= us-east-1
lint: $(VENV)/dev/ready $(VENV)/sam/ready $(VENV)/checkov/ready
	@echo "· lint and types"
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy --strict
	@echo "· template"
	@$(VENV)/sam/bin/cfn-lint template.yaml
	@$(VENV)/checkov/bin/checkov -f template.yaml --framework cloudformation --skip-download --compact --quiet

unit: $(VENV)/dev/ready
	@echo "· unit tests"
	@nice $(PYTHON) -m pytest tests/unit tests/functions

stack: $(VENV)/dev/ready ready $(CLIENTS)
	@echo "· template and stack tests"
	@$(PYTHON) -m pytest -n 3 --no-loadscope-reorder --basetemp=.local/tests tests/template tests/stack
	@$(PYTHON) -m pytest -n 0 -s tests/roles

clients: $(VENV)/dev/ready ready $(CLIENTS)
	@PYTHONPATH=layers/easel exec $(PYTHON) -m tests.stack.clients.matrix $(ONLY)

chaos: $(VENV)/dev/ready ready
	@PYTHONPATH=layers/easel exec $(PYTHON) -m tests.stack.chaos $(if $(SEED),--seed $(SEED))

model: $(VENV)/dev/ready
	@EASEL_MODEL=$(or $(LIVES),300) $(PYTHON) -m pytest --show-capture=no tests/functions/test_model.py tests/functions/test_interleavings.py

fuzz: $(VENV)/fuzz/ready
	@PYTHONPATH=layers/easel exec $(VENV)/fuzz/bin/python -W ignore -m tests.fuzz $(INPUTS)

soak: $(VENV)/dev/ready ready
	@PYTHONPATH=layers/easel exec $(PYTHON) -m tests.stack.soak

bench: $(VENV)/dev/ready ready
	@PYTHONPATH=layers/easel exec $(PYTHON) -m bench

cost: $(VENV)/dev/ready
	@PYTHONPATH=layers/easel exec $(PYTHON) -m bench.cost

build: $(VENV)/sam/ready
	@$(SAM) build --config-env $(ENV)
	$(call compile,.aws-sam/build)
	@du -sh .aws-sam/build/*/

deploy: build
	@$(SAM) deploy --config-env $(ENV)

# What the local stack runs on.
ready: $(VENV)/ministack/ready .local/build/template.yaml

.local/build/template.yaml: $(SOURCES) | $(VENV)/sam/ready
	@echo "· sam build for this machine ($(MACHINE))"
	@$(SAM) build --cached --cache-dir .local/cache --build-dir .local/build \
		--parameter-overrides Architecture=$(MACHINE) > .local/build.log 2>&1 || { cat .local/build.log; exit 1; }
	$(call compile,.local/build)
	@touch $@

# Nothing is installed but files whose hash is written down, and no code of theirs runs meanwhile.
$(VENV)/%/ready: requirements/%.txt | $(VENV)/pip/ready
	@echo "· installing requirements/$*.txt"
	@rm -rf $(@D)
	@$(VENV)/pip/bin/python -m venv --without-pip $(@D)
	@$(VENV)/pip/bin/python -m pip --python $(@D)/bin/python install --quiet --quiet --disable-pip-version-check \
		--no-compile --no-deps --only-binary :all: --require-hashes -r requirements/$*.txt
	@touch $@

$(VENV)/pip/ready:
	@rm -rf $(@D)
	@python="$$(local/find-python)" && "$$python" -m venv $(@D)
	@touch $@

.local/node/ready: requirements/package.json
	@echo "· installing $<"
	@mkdir -p $(@D) && cp $< $(@D)
	@npm install --prefix $(@D) --no-package-lock --no-audit --no-fund --loglevel=error
	@touch $@

# From the names in requirements/*.in to the newest versions, every dependency of theirs, and every hash.
update: $(VENV)/update/ready
	@$(RESOLVE) requirements/layer.in -o layers/dependencies/requirements.txt
	@for names in $(filter-out requirements/layer.in,$(wildcard requirements/*.in)); do \
		echo "· $$names"; $(RESOLVE) $$names -o "$${names%.in}.txt" || exit 1; done
	@$(MAKE) --no-print-directory LICENSES.md

LICENSES.md: $(VENV)/dev/ready
	@$(PYTHON) -m local.licences > $@

clean:
	rm -rf .local .aws-sam .mypy_cache .ruff_cache .pytest_cache .hypothesis
