# `make help` says what there is. Nothing has to be installed first but Python 3.11+, Node and Java 17.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PY := .venv/bin/python
# Tools may use the layer.
RUN := PYTHONPATH=layers/headroom $(PY) -m
DEV := .venv/.stamp
SAM := .venv-sam/.stamp
STACK := .venv-stack/.stamp
AUDIT := .venv-audit/.stamp
LITELLM := .venv-litellm/.stamp

# The code that is checked; each exists, or the check is not asked of it.
CODE := $(wildcard layers/headroom/headroom functions tools tests clients)

# Dozens of short processes import the same modules: what one has compiled, the others find.
unexport PYTHONDONTWRITEBYTECODE

# These reach the demo as they are: TRACE=file or folder, and what else it takes from the environment.
export TRACE

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort \
		| awk 'BEGIN {FS = ":.*## "} {printf "  make %-16s %s\n", $$1, $$2}'

## The application on this machine

.PHONY: up
up: $(DEV) $(SAM) $(STACK) ## Deploy to a local AWS and provision examples (FRESH=1 forgets the state, PORT=n, NOW=2027-01-31T23:50:00Z)
	@$(PY) -m tools.local_stack up $(if $(filter 1,$(FRESH)),--fresh) $(if $(PORT),--port $(PORT)) $(if $(NOW),--now $(NOW))

.PHONY: down
down: ## Stop what `make up` started; its state is kept
	@if [ -f $(DEV) ]; then $(PY) -m tools.local_stack down; fi

.PHONY: env
env: ## Print the stack's address and an example organization's keys as shell variables
	@if [ -f $(DEV) ]; then $(PY) -m tools.local_stack env; else echo "Run: make up" >&2; exit 1; fi

.PHONY: mail
mail: $(DEV) ## Print the mail that the local stack has sent
	@$(PY) -m tools.local_stack mail

.PHONY: close
close: $(DEV) ## Close the billing periods that are due on the local stack, as the schedule does
	@$(PY) -m tools.local_stack close

.PHONY: chase
chase: $(DEV) ## See to invoices that are due on the local stack, as the schedule does
	@$(PY) -m tools.local_stack chase

.PHONY: pay
pay: $(DEV) ## Show payments, or act for a cardholder or a bank (DO=card CARD=asks, DO=confirm, DO=dispute, DO=win, PAYMENT=id)
	@$(PY) -m tools.local_stack pay $(DO) $(if $(CARD),--card $(CARD)) $(if $(PAYMENT),--payment $(PAYMENT))

.PHONY: demo
demo: up ## Replay usage through the deployed API and prove the ledger (TRACE=csv or folder)
	@$(RUN) tools.demo

.PHONY: bench
bench: machine $(DEV) ## Measure calls, writes and throughput against the naive way
	@$(RUN) tools.bench

.PHONY: cost
cost: machine $(DEV) ## Compute what a million requests cost at AWS's list prices
	@$(RUN) tools.cost

.PHONY: rehearse-restore
rehearse-restore: $(DEV) ## Back the table up, restore it beside itself, prove it (TABLE=name for AWS)
	@$(RUN) tools.restore $(if $(TABLE),--table $(TABLE))

.PHONY: bench-close
bench-close: machine $(DEV) ## Close one organization of 10k, 100k and 1M lines (LINES=n at most; BESIDE=31: authorize beside as many closes)
	@$(RUN) $(if $(BESIDE),tools.bench.beside --closes $(BESIDE),tools.bench.closing $(if $(LINES),--lines $(LINES)))

## Checks and tests

.PHONY: test
test: machine lint validate audit $(STACK) $(LITELLM) ## Run everything: checks, unit to property tests, races, the deployed stack
	@$(PY) -m pytest --numprocesses 2

.PHONY: check
check: lint ## Run the gate: format, lint, types, template, fast tests
	@$(PY) -m pytest $(wildcard tests/unit tests/contract tests/property clients/python/tests)

.PHONY: lint
lint: $(DEV)
	@.venv/bin/ruff format --check --quiet $(CODE) || { echo "Run: make format"; exit 1; }
	@.venv/bin/ruff check --quiet $(CODE)
	@.venv/bin/mypy
	@.venv/bin/cfn-lint --template template.yaml

.PHONY: validate
validate: $(SAM)
	@SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam validate --lint --template template.yaml --region us-east-1
	@.venv-sam/bin/python -m tools.expand_template > .venv-sam/production.json
	@# SAM has used up these two parameters by then.
	@.venv/bin/cfn-lint --template .venv-sam/production.json --ignore-checks W2001

.PHONY: audit
audit: $(AUDIT) ## Check the template against known mistakes of security (checkov)
	@.venv-audit/bin/checkov --config-file .checkov.yaml | tee .venv-audit/found.txt
	@! grep -q "Parsing errors" .venv-audit/found.txt  # checkov itself lets what it cannot read pass.

.PHONY: format
format: $(DEV) ## Format the code and mend what the linter can
	@.venv/bin/ruff check --quiet --fix-only $(CODE)
	@.venv/bin/ruff format $(CODE)

.PHONY: emulator
emulator: machine $(DEV) $(STACK) ## Run the races on Amazon's DynamoDB Local
	@$(PY) -m pytest tests/emulator

.PHONY: e2e
e2e: machine $(DEV) $(SAM) $(STACK) ## Run the tests of the deployed stack
	@$(PY) -m pytest tests/e2e

.PHONY: browser
browser: machine $(DEV) $(SAM) $(STACK) ## Run the tests of the page in Chromium; pictures go to build/screenshots
	@$(PY) -m pytest tests/browser

## Building

.PHONY: build
build: $(DEV) $(SAM) ## Build for AWS; then: .venv-sam/bin/sam deploy --config-env dev
	@find functions -type d -name __pycache__ -exec rm -r {} +
	@PATH="$(CURDIR)/.venv/bin:$$PATH" SAM_CLI_TELEMETRY=0 .venv-sam/bin/sam build
	@$(PY) -m tools.release .aws-sam/build/template.yaml

.PHONY: test-events
test-events: $(DEV) $(SAM) ## Put the examples in events/ behind "Test" of a stack's functions (STACK_NAME=name)
	@$(RUN) tools.put_test_events $(STACK_NAME)

.PHONY: openapi
openapi: $(DEV) ## Rebuild the OpenAPI document from the handlers
	@$(RUN) tools.build_openapi

.PHONY: prices
prices: $(DEV) ## Rebuild the price book in the layer from genai-prices
	@$(RUN) tools.build_price_book

.PHONY: picture
picture: up ## Take the README's picture of the page anew (after make demo)
	@$(RUN) tools.picture

COMPILE = .venv/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" \
	$(if $(filter 1,$(UPGRADE)),--upgrade)

.PHONY: lock
lock: $(DEV) ## Lock the requirements anew (UPGRADE=1 for newer versions)
	@for set in layers/{headroom,documents}/requirements requirements/{uv,dev,sam,stack,audit,litellm}; do \
		$(COMPILE) $$set.in --output-file $$set.txt; \
	done

.PHONY: clean
clean: down ## Stop the stack and remove all that was built, and its state
	@rm -rf .local .local-e2e .aws-sam build .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis
	@find . -type d -name __pycache__ -exec rm -r {} +

.PHONY: machine
machine:
	@tools/check_machine.sh

# An environment is built anew when its requirements change, and only then.

$(DEV): requirements/dev.txt requirements/uv.txt layers/headroom/requirements.txt layers/documents/requirements.txt
	@tools/make_venv.sh .venv requirements/dev.txt

$(SAM): requirements/sam.txt | $(DEV)
	@tools/make_venv.sh .venv-sam requirements/sam.txt

$(STACK): requirements/stack.txt | $(DEV)
	@tools/make_venv.sh .venv-stack requirements/stack.txt

$(AUDIT): requirements/audit.txt | $(DEV)
	@tools/make_venv.sh .venv-audit requirements/audit.txt

$(LITELLM): requirements/litellm.txt | $(DEV)
	@tools/make_venv.sh .venv-litellm requirements/litellm.txt
