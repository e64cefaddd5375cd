# Every target does its own set-up. `make capture` and `make test` need nothing but Node with npm (any version from 20).
SHELL := /bin/bash
.DELETE_ON_ERROR:
export PATH := $(CURDIR)/node_modules/.bin:$(PATH)
IMPOUND := bin/impound

.PHONY: help capture test check build bench soak manifests image cluster-demo deps clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 15

capture: deps ## capture this machine into ./evidence and verify the bundle
	@$(IMPOUND) capture --local --store ./evidence --verify

test: deps build ## run every test; installs the components they need, once
	@node test/run.ts

check: deps ## types, style, dead code
	tsc -p .
	biome check --error-on-warnings .
	knip

build: deps ## emit dist/
	rm -rf dist
	tsc -p tsconfig.build.json
	chmod +x dist/cli/main.js

bench: deps ## measure speed and memory against floors on this machine
	rm -rf dist
	tsc -p tsconfig.bench.json
	@node test/testbed/setup.ts
	@node dist/bench/run.js

manifests: deps ## make manifests/base/crd.yaml of the schema
	node protocol/crd.ts > manifests/base/crd.yaml

image: deps ## build the images with this machine's docker: BASE=…, TAG=…
	@BASE=$(BASE) TAG=$(TAG) WORDS="$(WORDS)" node manifests/image/build.ts

cluster-demo: deps ## from nothing: a cluster, Impound in it, an intruder, a capture; and all of it away again
	@node test/demo/cluster.ts --set-up

soak: deps build ## hours of what takes too long for CI
	@node test/testbed/setup.ts --soak
	@IMPOUND_SOAK=1 node test/run.ts

deps: node_modules/.package-lock.json

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund --loglevel=error >&2
	@touch $@

clean: ## remove what was built and installed here; evidence stays
	rm -rf dist node_modules
