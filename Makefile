# UWS Orchestrator. `make help` lists what there is.

.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

DATA ?= ./data
LISTEN ?= 127.0.0.1:8080
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)

# Go's own version stamp fails in checkouts that git does not trust; ours is VERSION. With -trimpath all checkouts share
# Go's build cache: without it a new clone compiles everything that it has in common with the last one.
export GOFLAGS := $(strip $(filter-out -buildvcs=% -trimpath,$(GOFLAGS)) -buildvcs=false -trimpath)

GOLANGCI_LINT := go tool -modfile=tools/golangci-lint/go.mod golangci-lint
DEADCODE := go tool -modfile=tools/golangci-lint/go.mod deadcode
DIST := uws-$(VERSION)-linux-$(shell go env GOARCH)
NPM_TESTS := test/graphql-ws/node_modules/.package-lock.json

NPM_CLIENTS := test/clients/node/node_modules/.package-lock.json
NPM_UI := ui/node_modules/.package-lock.json
UI := ui/dist/index.html
UI_SOURCES := $(shell find ui/src ui/graphiql ui/public -type f) $(wildcard ui/*.html ui/vite.config.ts)

# SQLite is C that was translated to Go: the detector finds nothing there, and doubles what tests cost.
RACE := -race -gcflags=modernc.org/sqlite/lib=-race=false

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## Build what is needed and start on loopback (DATA=./data LISTEN=127.0.0.1:8080)
	exec build/uws serve --data-dir "$(DATA)" --listen "$(LISTEN)"

.PHONY: build
build: $(UI) ## Build build/uws with the dashboard in it; packages are named as they are compiled
	CGO_ENABLED=0 go build -v -tags ui -ldflags "-s -w -X main.version=$(VERSION)" -o build/uws ./cmd/uws

# The dashboard is rebuilt when one of its sources is newer.
$(UI): $(NPM_UI) $(UI_SOURCES)
	cd ui && npm run --silent build
	@touch $@

$(NPM_UI): ui/package.json ui/package-lock.json ui/.npmrc
	cd ui && npm ci
	@touch $@

.PHONY: engines
engines: build ## Fetch all engines into build/engines
	build/uws engines --into build/engines

.PHONY: images
images: engines ## Make images of the engines and load them into the Docker Engine, for where no registry is reached
	tools/redis-server
	go run ./engines/images/load --engines build/engines

.PHONY: test
test: test-go ui-test ## Install what the tests need and run them all

# Programs that the tests of many packages start are built once.
PROGRAMS := build/test

.PHONY: programs
programs:
	CGO_ENABLED=1 go build $(RACE) -o $(PROGRAMS)/uws ./cmd/uws
	CGO_ENABLED=1 go build $(RACE) -tags faults -o $(PROGRAMS)/uws-faults ./cmd/uws
	CGO_ENABLED=0 go build -o $(PROGRAMS)/puppet ./orchestrator/driver/drivertest/puppet

# The packages that take longest begin first. Two run at a time: each starts many engines, and with more of them a disk stalls
# for longer than engines are waited for. Vet runs in `make lint`. At its end a process with the race detector sleeps for a second by default.
LONGEST := ./server ./test/docker ./test/e2e ./test/crash ./test/soak ./orchestrator/driver/...

# Tests that measure, or do with the race detector less than without it.
UNRACED := TestFiveHundredAtOnce TestTenThousandDue TestAttacks
space := $(subst ,, )

.PHONY: test-go
test-go: engines programs build/prometheus $(NPM_TESTS) $(NPM_CLIENTS)
	tools/redis-server
	tools/clients
	tools/nginx
	tools/caddy
	tools/filesystems
	tools/docker-engine
	tools/openssh-server
	tools/systemd
	cd engines/setec && CGO_ENABLED=1 go test -race -count=1 ./...
	CGO_ENABLED=1 GORACE=atexit_sleep_ms=50 PATH="$(abspath build/prometheus):$$PATH" \
		UWS_TEST_ENGINES="$(abspath build/engines)" UWS_TEST_PROGRAMS="$(abspath $(PROGRAMS))" \
		go test $(RACE) -vet=off -count=1 -p $(or $(PACKAGES),2) -parallel 4 -timeout 40m $(LONGEST) ./...
	CGO_ENABLED=0 go test -vet=off -count=1 -v -run '$(subst $(space),|,$(UNRACED))' ./orchestrator/app ./server | tee build/unraced.log
	@for test in $(UNRACED); do grep "^--- PASS: $$test " build/unraced.log; done # they exist

.PHONY: fuzz
fuzz: ## Run every fuzz test for a while (FUZZTIME=30s)
	@git grep -o '^func Fuzz[A-Za-z0-9]*' -- '*_test.go' | while IFS=: read -r file target; do \
		target="$${target#func }" package="./$$(dirname "$$file")"; \
		echo "$$package $$target"; \
		CGO_ENABLED=0 go test -vet=off -run '^$$' -fuzz "^$$target\$$" -fuzztime "$(or $(FUZZTIME),30s)" "$$package" </dev/null; \
	done

.PHONY: stress
stress: engines ## Run the tests of every package many times with all processors busy, and count failures (ROUNDS=20 JOBS=4 RUN=… RACE=1)
	tools/redis-server
	UWS_TEST_ENGINES="$(abspath build/engines)" tools/stress

.PHONY: test-engine-restarts
test-engine-restarts: engines ## Restart Docker Engines in every way, ten times each, and see that all services come back
	UWS_TEST_ENGINE_RESTARTS=1 UWS_TEST_ENGINES="$(abspath build/engines)" go test -count=1 -v -timeout 60m -run TestEngineRestarted ./test/docker

.PHONY: test-images
test-images: ## Run every kind with the official images, on the engine of DOCKER_HOST, which must reach their registry
	UWS_TEST_OFFICIAL_IMAGES=1 go test -count=1 -v -timeout 30m -run TestOfficialImages ./engines/images ./test/docker

.PHONY: ui-test
ui-test: ui-unit ui-e2e ## Test the dashboard: its logic, its size, and with a browser

.PHONY: ui-unit
ui-unit: $(UI)
	cd ui && npm run --silent test && npm run --silent budget

.PHONY: ui-e2e
ui-e2e: engines
	tools/chromium
	tools/nginx
	tools/caddy
	cd ui && UWS_TEST_ENGINES="$(abspath build/engines)" npm run --silent e2e

.PHONY: ui-dev
ui-dev: $(NPM_UI) ## Serve the dashboard with hot reload, beside a server that runs (UWS_URL=http://127.0.0.1:8080)
	cd ui && npm run --silent schema && npm run --silent dev

.PHONY: ui-measure
ui-measure: $(UI) ## Measure the dashboard: load, time from event to screen, work of the main thread
	tools/chromium
	cd ui && npm run --silent measure

.PHONY: screenshots
screenshots: engines ## Make the pictures in docs/ of every page, in light and dark
	tools/chromium
	cd ui && UWS_TEST_ENGINES="$(abspath build/engines)" npm run --silent screenshots

.PHONY: soak
soak: engines ## Ten minutes of launches, kills, hangs and removals (SOAK=10m SOAK_SEED=…)
	CGO_ENABLED=1 SOAK="$(or $(SOAK),10m)" UWS_TEST_ENGINES="$(abspath build/engines)" \
		go test $(RACE) -count=1 -v -timeout 60m ./test/soak

$(NPM_TESTS): test/graphql-ws/package.json test/graphql-ws/package-lock.json
	cd test/graphql-ws && npm ci
	@touch $@

$(NPM_CLIENTS): test/clients/node/package.json test/clients/node/package-lock.json
	cd test/clients/node && npm ci
	@touch $@

build/prometheus: tools/prometheus
	tools/prometheus $@

.PHONY: bench
bench: engines $(NPM_TESTS) ## Measure uws beside peers; takes some minutes
	go run ./bench heal
	go run ./bench list
	go run ./bench idle
	go run ./bench probes
	go run ./bench hostile
	go run ./bench/fanout

.PHONY: bench-backup
bench-backup: engines ## Measure backups and restores of a database, with pgbench from postgresql-contrib (UWS_BENCH_MB=1024)
	go run ./bench backup

.PHONY: bench-docker
bench-docker: engines ## Measure uws on Docker Engines of its own, as root; takes about half an hour
	tools/docker-engine
	go run ./bench docker-heal
	go run ./bench docker-heal-postgres
	go run ./bench docker-hang
	go run ./bench docker-many
	go run ./bench usage

.PHONY: lint
lint: $(NPM_UI) ## Run the linters, for Go and for the dashboard, look for dead code, and check the dashboard's types against the SDL
	$(GOLANGCI_LINT) run
	@mkdir -p build
	$(DEADCODE) -test ./... > build/deadcode
	@! grep -v '^ent/schema/' build/deadcode # which a generator of its own calls
	cd ui && npm run --silent lint && npm run --silent types

.PHONY: fmt
fmt: $(NPM_UI) ## Format the code
	$(GOLANGCI_LINT) fmt
	cd ui && npm run --silent format

define GENERATE
go generate ./...
go tool gqlgen generate
endef

.PHONY: generate
generate: ## Regenerate the generated code
	$(GENERATE)

# What is compared is the files before and after, not git's index: work in progress is no failure.
GENERATED_STATE := git ls-files -z --cached --others --exclude-standard ent graph engines cmd/uws/client/api | xargs -0 -r sha256sum 2>/dev/null

.PHONY: generate-check
generate-check: ## Fail when `make generate` would change a file
	@mkdir -p build
	@$(GENERATED_STATE) > build/generated.before || true
	$(GENERATE)
	@$(GENERATED_STATE) > build/generated.after || true
	@diff build/generated.before build/generated.after || { echo "Generated code is out of date: run make generate and commit." >&2; exit 1; }

.PHONY: migration
migration: ## Write the migration that ent's schema needs (NAME=add_backups), after make generate
	go run ./orchestrator/store/internal/newmigration "$(NAME)"

.PHONY: dist
dist: engines ## Make one archive of uws and its engines, for machines without Go
	rm -rf "build/$(DIST)"
	mkdir -p "build/$(DIST)"
	cp -R build/uws build/engines README.md LICENSE "build/$(DIST)/"
	tar -C build --owner=0 --group=0 --numeric-owner --sort=name -czf "build/$(DIST).tar.gz" "$(DIST)"
	rm -rf "build/$(DIST)"
	@echo "build/$(DIST).tar.gz"

.PHONY: clean
clean: ## Remove what was built; data folders stay
	rm -rf build test/graphql-ws/node_modules test/clients/node/node_modules ui/node_modules ui/dist ui/generated
