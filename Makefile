# Goals:
# - one command each to build, try, deploy, run and remove Carnation
# - the same commands work on AWS and, if AWS_ENDPOINT_URL is set, on local AWS
# - the same source always gives the same bytes
# - you install only Go, Python 3.10 or newer, make and, to use AWS, the AWS CLI (version 1 or 2)
#
# Anything longer than a few lines of shell lives in scripts/. GNU Make 3.81, the version of macOS, is enough.

# Settings, on the command line or in the environment, e.g. make deploy BUCKET=my-bucket KMS_KEY_ID=...
#   BUCKET          S3 bucket for templates and code, in the stack's region; if not set, that of the stack or of
#                   make prerequisites
#   KMS_KEY_ID      id of the KMS key that encrypts everything; if not set, as for BUCKET
#   PROJECT         template parameter ProjectName, carnation if not set
#   ENVIRONMENT     template parameter Environment: devl if not set, test or prod; make prerequisites makes a key and a bucket
#                   for this environment alone if it is set, and for all if not
#   EMAIL           template parameter SNSSubscriptionEmail: the address that gets the alarms
#   PARAMETERS      "Key=Value Key=Value": any other template parameters; a value can have spaces within parentheses, as in
#                   PARAMETERS="RetrySchedule=rate(1 hour)"
#   STACK_NAME      PROJECT-ENVIRONMENT if not set
#   PREFIX          folder in the bucket, carnation if not set
#   ARCH            arm64 or x86_64; if not set, arm64 on AWS, and the architecture of this machine on local AWS
#   REGION          if not set, that of AWS_REGION, AWS_DEFAULT_REGION or the AWS profile
#   TAGS            "Key=Value Key=Value": all tags of the stack and its resources; the tags stay as they are if not set
#   SERVICE_ROLE_ARN            role with which CloudFormation works, instead of your permissions
#   KEY_ADMINISTRATOR_ROLE_ARN  for make prerequisites: the only role that may administer the key; make prerequisites
#                   must run with it, or with it as SERVICE_ROLE_ARN
#   DEPLOY_TIMEOUT  minutes that prerequisites, deploy and destroy wait for an operation on a stack, 30 if not set
#   YES             1: deploy and destroy do not ask
#   START, END      range of events of a run; END is the first number after it
#   RATE            share of these events that fail on purpose, from 0 to 1
#   MODE            mode of the demo: inline if not set, or distributed
#   CONSOLE         1: the demo keeps its local AWS, with a web page that shows it, until Ctrl-C
# An update of a stack keeps every template parameter that is not set here, except LambdaArchitecture, which ARCH sets.
STACK_NAME     ?= $(or $(PROJECT),carnation)-$(or $(ENVIRONMENT),devl)
PREFIX         ?= carnation
ifeq ($(origin ARCH),undefined)
ARCH           := $(if $(AWS_ENDPOINT_URL),$(subst aarch64,arm64,$(shell uname -m)),arm64)
endif
DEPLOY_TIMEOUT ?= 30
REGION         := $(or $(REGION),$(AWS_REGION),$(AWS_DEFAULT_REGION))
export STACK_NAME PREFIX ARCH DEPLOY_TIMEOUT

# AWS CLI 1 reads only AWS_DEFAULT_REGION. The SDK for Go and AWS CLI 2 prefer AWS_REGION.
ifneq ($(REGION),)
export AWS_REGION := $(REGION)
export AWS_DEFAULT_REGION := $(REGION)
endif

# Local AWS has no endpoints for FIPS, dual stack or an account. With such a setting, aws would refuse to call it.
ifneq ($(filter http://127.0.0.1:% http://localhost:%,$(AWS_ENDPOINT_URL)),)
export AWS_USE_FIPS_ENDPOINT := false
export AWS_USE_DUALSTACK_ENDPOINT := false
export AWS_ACCOUNT_ID_ENDPOINT_MODE := disabled
endif

# If aws is not on your PATH, the one that `make tools` installs is used.
export PATH := $(PATH):$(CURDIR)/.venv/bin

# Local AWS runs the functions on this machine.
function_os   = $(if $(AWS_ENDPOINT_URL),$(shell uname -s | tr A-Z a-z),linux)
goarch.arm64  = arm64
goarch.x86_64 = amd64
goarch        = $(or $(goarch.$(ARCH)),$(error ARCH is "$(ARCH)": must be arm64 or x86_64))

functions  := generate-data insert-data plan-shards
out        := build/$(ARCH)
bootstraps := $(functions:%=$(out)/%/bootstrap)
zips       := $(functions:%=$(out)/%.zip)
# All that is compiled here has the same flags, so that what two commands need is compiled once. -dwarf=false leaves out debug
# information: compiling is faster without it, and the functions are linked without it anyway.
go_flags   := -trimpath -gcflags=all=-dwarf=false
# Settings of a shell, or of go env -w, must not change what is built, so each is here with Go's default. -p changes only the load.
go_settings = CGO_ENABLED=0 GO111MODULE=on GOAMD64=v1 GOARM64=v8.0 GOFIPS140=off GOWORK=off GOEXPERIMENT= GO_EXTLINK_ENABLED= \
              GOFLAGS='$(go_flags) $(filter -p=%,$(GOFLAGS))'
go_build    = $(go_settings) go build
# What runs on this machine is built for it.
for_here    = set -- $$(go env GOHOSTOS GOHOSTARCH) && GOOS=$$1 GOARCH=$$2
# Runs a command with the Python tools on PATH, and with these flags for its go commands. go run takes them, too. go tool does not.
with_tools  = CGO_ENABLED=0 GOFLAGS="$(go_flags) $$(go env GOFLAGS)" scripts/python-tools
# carnation version shows the commit. go build would fail if git refuses to read the checkout.
vcs         = $(shell git status >/dev/null 2>&1 && echo auto || echo false)

.DELETE_ON_ERROR:
.PHONY: help tools build package prerequisites upload deploy run status verify destroy local demo test deploy-tests chaos load bench screenshots check vulncheck fmt clean go-build need-aws upload-package deploy-package

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s  %s\n", $$1, $$2 }' Makefile
	@sed -n -e '/^# Settings/,/^[^#]/{' -e 's/^# //p' -e '}' Makefile

tools: ## Download the Go modules, and install the Python tools in .venv if PATH does not have them
	@go mod download
	@scripts/python-tools

build: build/carnation $(bootstraps) ## Build the functions and the carnation command under build/

# go build itself decides what to build again.
go-build:

build/carnation: go-build
	$(for_here) $(go_build) -buildvcs=$(vcs) -o $@ ./cmd/carnation

# One go build of all functions takes a third of the time of three.
$(out)/go: go-build
	GOOS=$(function_os) GOARCH=$(goarch) $(go_build) -buildvcs=false -tags lambda.norpc -ldflags '-s -w' -o $@/ $(functions:%=./cmd/%)

# go build sets a new time even if it has built nothing. Without one, the zip is not made again. Files are replaced in one step,
# because another make may use them at the same time: two demos share them.
$(bootstraps): $(out)/%/bootstrap: $(out)/go
	@cmp -s $</$* $@ || { mkdir -p $(@D) && cp $</$* $@.$$$$ && mv $@.$$$$ $@; }

package: $(zips) ## Zip the functions for Lambda

# go run, because go tool would not take GOFLAGS and would compile the standard library again.
$(zips): %.zip: %/bootstrap
	$(for_here) $(go_settings) go run github.com/aws/aws-lambda-go/cmd/build-lambda-zip -o $@.$$$$ $< && mv $@.$$$$ $@

prerequisites: need-aws ## Create or update the stack with the KMS key and the bucket that deploy uses
	@scripts/prerequisites

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

verify: build/carnation ## Try everything that a devl or test stack does, and print what held (CHECKS=insert,alarm)
	@build/carnation verify --stack-name "$$STACK_NAME" $${CHECKS:+--checks "$$CHECKS"}

destroy: need-aws ## Delete the stack and follow it until it is gone (YES=1: without asking)
	@scripts/destroy

local: build/carnation ## Run local AWS in the foreground
	@scripts/python-tools build/carnation local

demo: build/carnation ## Deploy everything on local AWS and show a run that fails, a retry and a success (MODE=distributed, CONSOLE=1)
	@CONSOLE="$(CONSOLE)" scripts/python-tools scripts/demo $(or $(MODE),inline)

# GOGC: compilers, checks and most tests end before their garbage matters.
test: check ## Check, then run all tests
	@GOGC=400 $(with_tools) scripts/test

deploy-tests: tools ## Run the tests of make deploy and the like (AWS= another aws command, such as that of AWS CLI 2)
	@$(with_tools) go test -count=1 -timeout 20m -run 'Make|Failed(Creation|Deployments)|Destroy' ./internal/e2e -args -aws "$(AWS)"

chaos: tools ## Play fault scenarios on local AWS and account for every event (SEEDS=25, SEED=1 the first one, BROWSER=1 also on the page)
	@$(with_tools) go test -count=1 -timeout 0 -v -run '^TestChaos$$' ./internal/e2e -args -seeds "$(or $(SEEDS),25)" -seed "$(or $(SEED),1)" -looked "$(if $(BROWSER),$(or $(SEEDS),25),0)"

load: tools ## Run the tests under load, which take minutes
	@$(with_tools) go test -count=1 -timeout 20m -v -run 'Largest|Fifty|TwoThousand|TestYourOwnEvents' ./internal/e2e -args -load

# benchstat needs several runs: make bench COUNT=6
bench: tools ## Run the benchmarks, which take minutes, into build/bench.txt, and plot build/performance.svg (COUNT=1)
	@mkdir -p build
	@$(with_tools) scripts/bench "$(or $(COUNT),1)" build/bench.txt build/performance.svg

screenshots: tools ## Take the pictures of the console and of a report for docs/images, on local AWS, with Chromium or Chrome
	@mkdir -p docs/images
	@$(with_tools) go test -count=1 -timeout 20m -run '^TestScreenshots$$' ./internal/e2e -args -screenshots ../../docs/images

check: tools ## Check format, Go, templates, state machine, scripts and workflows
	@GOGC=400 $(with_tools) scripts/check

# Not part of check, because it needs the network. It fails if it finds something (Error 3) and if it cannot look (Error 1).
vulncheck: ## Check for known vulnerabilities that the Go code can reach (VULNDB= a copy of the database)
	@go tool govulncheck -test $(if $(VULNDB),-db "$(VULNDB)") ./... || { code=$$?; \
	  test $$code -eq 3 || echo "make vulncheck: not checked, as said above; the database is $(or $(VULNDB),https://vuln.go.dev)" >&2; \
	  exit $$code; }

fmt: ## Format the Go code
	gofmt -w .

clean: ## Remove what was built
	rm -rf build
