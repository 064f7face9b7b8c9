# make demo   builds and answers a question from Go's own documentation, on embedded defaults
# make test   runs everything
# make build  one static binary: bin/decouple
# make soak   random programs and random calls under faults, for SOAK=10m each
# make lint   static checks, and known vulnerabilities (fetches its data)

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -s -w -X main.version=$(VERSION)
BIN      := bin/decouple
QUESTION ?= How does a Go program make a write in one goroutine visible to another?
GODOC    := $(shell $(GO) env GOROOT 2>/dev/null)/doc

.PHONY: soak demo test build lint check-go check-postgres check-node clean

check-go:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or newer is needed: https://go.dev/doc/install" >&2; exit 1; }

build: check-go
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/decouple

# The demo keeps its data in .demo, so that a second one finds its notes unchanged. Without Go's documentation it asks our own.
demo: build
	@if [ -f "$(GODOC)/go_mem.html" ]; then \
		echo "Asking Go's documentation in $(GODOC): $(QUESTION)" >&2; \
		$(BIN) research "$(QUESTION)" --docs "$(GODOC)" --model builtin --data .demo; \
	else \
		echo "This Go has no documentation in $(GODOC), so the demo asks this project's own docs." >&2; \
		$(BIN) research "What does the journal promise when a process is killed?" --docs docs --model builtin --data .demo; \
	fi

# The tests start a PostgreSQL of their own. Its server programs are installed where that can be done without asking, and else it is said what is missing.
check-postgres:
	@ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || command -v postgres >/dev/null || { command -v pg_config >/dev/null && test -x "$$(pg_config --bindir)/postgres"; } || { \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "Installing PostgreSQL's server programs for the tests" >&2; \
			{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql; } >&2; \
		else \
			echo "The tests need PostgreSQL's server programs, 15 or newer: install them, on Debian with: apt-get install postgresql" >&2; exit 1; \
		fi; }

# The gateway is tested by the vendors' own clients, those for Node among them, and against servers of another author. Their packages are installed where the lock file has changed.
CONFORMANCE := gateway/conformance
check-node:
	@command -v npm >/dev/null || { echo "The tests of the gateway need npm: install Node 22 or newer, on Debian with: apt-get install npm (a Node that is too old to run them installs one that is not)" >&2; exit 1; }
	@cmp -s $(CONFORMANCE)/package-lock.json $(CONFORMANCE)/node_modules/.installed || { \
		echo "Installing the Node packages that test the gateway" >&2; \
		(cd $(CONFORMANCE) && npm ci --ignore-scripts --loglevel error && cp package-lock.json node_modules/.installed) >&2 || { echo "npm ci in $(CONFORMANCE) failed: it needs a package registry that npm is set up for" >&2; exit 1; }; }

test: check-go check-postgres check-node
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt: $$(gofmt -l $$(git ls-files '*.go'))" >&2; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -timeout 20m ./...

# A mixed load of the gateway, whose memory has to stay flat; random programs, and random calls of models whose settlements are held against the clouds' invoices, under faults for SOAK each, printing the seed that begins them again: make soak SOAK=1h DECOUPLE_SEED=1
SOAK ?= 10m
soak: check-go check-postgres build
	$(GO) run ./bench/gateway -only soak -soak $(SOAK) -decouple "$(BIN) serve"
	DECOUPLE_SOAK=$(SOAK) $(GO) test -count 1 -v -timeout 24h -run 'TestRandom|TestServerFailover' ./cmd/decouple

lint: check-go
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

clean:
	rm -rf bin .demo
