# Go, git and make are all that build, demo and test need. lint fetches its two tools through
# the Go module proxy; race needs a C compiler.

COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null && { test -z "$$(git status --porcelain)" || echo -dirty; })
COMMIT  := $(subst $() ,,$(COMMIT))
RELEASE ?= $(shell git describe --tags --exact-match 2>/dev/null)
VERSION := queen-rbee/cmd/internal/version
LDFLAGS := -s -w -X $(VERSION).commit=$(COMMIT) -X $(VERSION).release=$(RELEASE)

BINARIES := $(notdir $(patsubst %/main.go,%,$(wildcard cmd/queen-rbee/main.go cmd/rbee-*/main.go)))

# Tests of whole processes starve when too many packages run beside them.
P       ?= 2
TIMEOUT ?= 10m
SEEDS   ?= 1000
SEED    ?= 1
FUZZTIME ?= 5s
BENCH   ?=

GOLANGCI_VERSION    := v2.15.0
STATICCHECK_VERSION := v0.8.2
TOOLS ?= $(CURDIR)/bin/tools

# A nightly length: make chaos CHAOS="-duration 30m -seed 7". Root makes the network and disk faults possible.
CHAOS ?= -duration 10m

.PHONY: all build demo test sim chaos bench bench-tools race lint tools fmt fuzz clean $(BINARIES)

all: build

build: $(BINARIES)

# Static binaries: they run on any machine of the same system, whatever its C library.
$(BINARIES):
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/$@ ./cmd/$@

demo: build
	bin/rbee-keeper demo

test:
	CGO_ENABLED=0 go test -p $(P) -timeout $(TIMEOUT) ./...

# A longer hunt than make test does: make sim SEEDS=100000 SEED=1.
sim:
	CGO_ENABLED=0 go test ./schedule/sim -run '^TestSeeds$$' -v -timeout 0 -seeds $(SEEDS) -seed $(SEED)

# The program is built, not run by go run, so that a Ctrl-C reaches it alone.
chaos: build
	CGO_ENABLED=0 go build -trimpath -o bin/chaos ./cmd/internal/chaos/cmd
	RBEE_E2E_BIN=$(CURDIR)/bin bin/chaos $(CHAOS)

# Every figure beside its baseline: make bench BENCH="-run 'commit' -rounds 9 -quick"; -help tells more.
bench: build
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/bench ./cmd/internal/bench/run
	bin/bench $(BENCH)

# The relays that ours is measured against; bench runs without them, and says what it lacks.
bench-tools:
	apt-get update
	apt-get install -y --no-install-recommends nginx haproxy

# Whole processes are tested by make test; RBEE_E2E_RACE=1 builds those with the detector too.
# -short draws fewer cases where one goroutine does all: the detector sees nothing new in them.
race:
	CGO_ENABLED=1 go test -race -short -vet=off -p $(P) -timeout $(TIMEOUT) $$(go list ./... | grep -v /internal/e2e)

# A tool is installed once for each version and found by its name.
tools: $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) $(TOOLS)/staticcheck-$(STATICCHECK_VERSION)

$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION):
	GOBIN=$(TOOLS) GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/golangci-lint $@

$(TOOLS)/staticcheck-$(STATICCHECK_VERSION):
	GOBIN=$(TOOLS) GOFLAGS= go install honnef.co/go/tools/cmd/staticcheck@$(STATICCHECK_VERSION)
	mv $(TOOLS)/staticcheck $@

lint: tools
	$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) run ./...
	$(TOOLS)/staticcheck-$(STATICCHECK_VERSION) ./...

fmt: tools
	$(TOOLS)/golangci-lint-$(GOLANGCI_VERSION) fmt ./...

# One target after the other, each for FUZZTIME: go test fuzzes one at a time.
fuzz:
	@set -e; grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$$file"); do \
			echo "fuzz $$target in $$(dirname "$$file")"; \
			CGO_ENABLED=0 go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -parallel $(P) "$$(dirname "$$file")" </dev/null; \
		done; \
	done

clean:
	rm -rf bin
