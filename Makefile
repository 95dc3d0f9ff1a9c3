# Goals:
# - one command each to build, try, deploy, run and remove Carnation
# - the same commands serve AWS and, with AWS_ENDPOINT_URL set, local AWS
# - the same source gives the same bytes, wherever and whenever it is built
# - nothing to install but Go, Python 3.10 or newer and make, and for AWS your own aws CLI (1 or 2)
#
# Anything longer than a few lines of shell lives in scripts/. GNU Make 3.81, as macOS has it, is enough.

# Settings, on the command line or in the environment, e.g. make deploy BUCKET=my-bucket KMS_KEY_ID=...
#   BUCKET          S3 bucket for templates and code, in the stack's region; if not set the stack's own, or that of
#                   make prerequisites
#   KMS_KEY_ID      id of the KMS key that encrypts everything; if not set as with BUCKET
#   PROJECT         template parameter ProjectName, carnation if not set
#   ENVIRONMENT     template parameter Environment: devl if not set, test or prod
#   EMAIL           template parameter SNSSubscriptionEmail: who gets the alarms
#   PARAMETERS      "Key=Value Key=Value": any other template parameters
#   STACK_NAME      PROJECT-ENVIRONMENT if not set
#   PREFIX          folder in the bucket, carnation if not set
#   ARCH            arm64 or x86_64; if not set arm64, and on local AWS this machine's
#   REGION          if not set what AWS_REGION, AWS_DEFAULT_REGION or the AWS profile says
#   DEPLOY_TIMEOUT  minutes that prerequisites, deploy and destroy wait for a stack, 30 if not set
#   YES             1: destroy does not ask
#   START, END      range of events of a run, half open
#   MODE            of the demo, inline if not set, or distributed
#   RATE            share of them that fails on purpose, 0 to 1
# An update of a stack keeps each template parameter that is not set here, but for ARCH.
STACK_NAME     ?= $(or $(PROJECT),carnation)-$(or $(ENVIRONMENT),devl)
PREFIX         ?= carnation
ARCH           ?= $(if $(AWS_ENDPOINT_URL),$(subst aarch64,arm64,$(shell uname -m)),arm64)
DEPLOY_TIMEOUT ?= 30
REGION         := $(or $(REGION),$(AWS_REGION),$(AWS_DEFAULT_REGION))
export STACK_NAME PREFIX ARCH DEPLOY_TIMEOUT

# aws CLI 1 knows only the one name, the SDK for Go and CLI 2 prefer the other.
ifneq ($(REGION),)
export AWS_REGION := $(REGION)
export AWS_DEFAULT_REGION := $(REGION)
endif

# What the scripts read from aws is plain lines, whatever your configuration says.
export AWS_PAGER :=
export AWS_CLI_AUTO_PROMPT := off
export AWS_CLI_ERROR_FORMAT := legacy

# Your own aws comes first; a virtual environment made by `make tools` has one too.
export PATH := $(PATH):$(CURDIR)/.venv/bin

# Local AWS runs the functions on this very machine.
function_os   = $(if $(AWS_ENDPOINT_URL),$(shell uname -s | tr A-Z a-z),linux)
goarch.arm64  = arm64
goarch.x86_64 = amd64
goarch        = $(or $(goarch.$(ARCH)),$(error ARCH is "$(ARCH)": must be arm64 or x86_64))

functions  := generate-data insert-data plan-shards
out        := build/$(ARCH)
bootstraps := $(functions:%=$(out)/%/bootstrap)
zips       := $(functions:%=$(out)/%.zip)
go_build    = CGO_ENABLED=0 go build -trimpath
# carnation version shows the commit. go build would fail if git refuses to read the checkout.
vcs         = $(shell git status >/dev/null 2>&1 && echo auto || echo false)

.DELETE_ON_ERROR:
.PHONY: help tools build package prerequisites upload deploy run status destroy local demo test chaos load bench check vulncheck fmt clean go-build need-aws upload-package deploy-package

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-13s  %s\n", $$1, $$2 }' Makefile
	@sed -n -e '/^# Settings/,/^[^#]/{' -e 's/^# //p' -e '}' Makefile

tools: ## Download the Go modules, and make sure of the Python tools: those on PATH, or else in .venv
	@go mod download
	@scripts/python-tools

build: build/carnation $(bootstraps) ## Build the functions and the carnation command under build/

# go build itself knows what has to be built anew.
go-build:

build/carnation: go-build
	$(go_build) -buildvcs=$(vcs) -o $@ ./cmd/carnation

$(bootstraps): $(out)/%/bootstrap: go-build
	GOOS=$(function_os) GOARCH=$(goarch) $(go_build) -buildvcs=false -tags lambda.norpc -ldflags '-s -w' -o $@ ./cmd/$*

package: $(zips) ## Zip the functions, as Lambda wants them

# A zip is replaced as a whole, because somebody else may upload it at this moment: two demos share it.
$(zips): %.zip: %/bootstrap
	go tool build-lambda-zip -o $@.$$$$ $< && mv $@.$$$$ $@

prerequisites: need-aws ## Create or update the stack of the KMS key and the bucket that deploy takes
	@echo "ProjectName=$(or $(PROJECT),carnation)" | scripts/apply-stack "$(or $(PROJECT),carnation)-prerequisites" cft/carnation-prerequisites-stack.yaml

# Both look up the bucket and the key before anything is built: if they are missing, the error comes at once.
upload: need-aws ## Copy templates, state machine and zips to s3://BUCKET/PREFIX
	@scripts/with-prerequisites $(MAKE) --no-print-directory upload-package

deploy: need-aws ## Upload, then create or update the stack and follow it
	@scripts/with-prerequisites $(MAKE) --no-print-directory deploy-package

upload-package: package
	@scripts/upload $(out)

deploy-package: package
	@scripts/deploy $(out)

need-aws:
	@command -v aws >/dev/null || { echo "make $(MAKECMDGOALS): aws is not on PATH: install the AWS CLI, https://aws.amazon.com/cli/" >&2; exit 1; }

run: build/carnation ## Start an execution and follow it (START=1 END=21 RATE=0.5)
	@build/carnation run --stack-name "$$STACK_NAME" $${START:+--start-seq "$$START"} $${END:+--end-seq "$$END"} $${RATE:+--failure-rate "$$RATE"}

status: build/carnation ## Show the table, the queues and the last executions
	@build/carnation status --stack-name "$$STACK_NAME"

destroy: need-aws ## Delete the stack and follow it until it is gone (YES=1: without asking)
	@scripts/destroy

local: build/carnation ## Run local AWS in the foreground
	@scripts/python-tools build/carnation local

demo: build/carnation ## Deploy everything on local AWS and show a run that fails, a retry and a success (MODE=distributed)
	@scripts/python-tools scripts/demo $(or $(MODE),inline)

test: check ## Check, then run all tests
	scripts/python-tools go test -count=1 -timeout 20m ./...

chaos: tools ## Play fault scenarios on local AWS and account for every event (SEEDS=25, SEED=1 the first one)
	@scripts/python-tools go test -count=1 -timeout 0 -v -run '^TestChaos$$' ./internal/e2e -args -seeds "$(or $(SEEDS),25)" -seed "$(or $(SEED),1)"

load: tools ## Run the tests under load, which take minutes
	@scripts/python-tools go test -count=1 -timeout 20m -v -run 'Largest|Fifty|TwoThousand' ./internal/e2e -args -load

# For benchstat, which wants several: make bench COUNT=6
bench: tools ## Run the benchmarks, which take minutes, into build/bench.txt, and plot build/performance.svg (COUNT=1)
	@mkdir -p build
	@scripts/python-tools scripts/bench "$(or $(COUNT),1)" build/bench.txt build/performance.svg

check: tools ## Check format, Go, templates, state machine, scripts and workflows
	@scripts/python-tools scripts/check

# Not part of check, as it needs the network. Whether it finds something (Error 3) or cannot look (Error 1), it fails.
vulncheck: ## Check for known vulnerabilities that the Go code can reach (VULNDB= a copy of the database)
	@go tool govulncheck -test $(if $(VULNDB),-db "$(VULNDB)") ./... || { code=$$?; \
	  test $$code -eq 3 || echo "make vulncheck: not checked, as said above; the database is $(or $(VULNDB),https://vuln.go.dev)" >&2; \
	  exit $$code; }

fmt: ## Format the Go code
	gofmt -w .

clean: ## Remove what was built
	rm -rf build
