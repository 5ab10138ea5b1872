# Every target is a plain command: what `make` does can be typed by hand.
# `.ci/run` is what must hold before a change lands.

GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# How long `make fuzz` tries each target.
FUZZTIME ?= 1m

# Arguments of the load run, such as BENCHFLAGS='-pairs 15 -window 1s'.
BENCHFLAGS ?=

# Packages on the way of a token, and of its check.
HOT := ./keys/jose ./authz/token ./authz/endpoint ./authz/verifier ./cmd/bench

.PHONY: test bench fuzz fault lint generate

test:
	.ci/test

# Nothing is asserted: the targets stand beside the numbers. Leave the machine alone meanwhile.
bench:
	go test -run '^$$' -bench . -benchmem -benchtime 200ms $(HOT)
	go run ./cmd/bench $(BENCHFLAGS)

fuzz:
	.ci/fuzz $(FUZZTIME)

# The long versions of the tests that break Redis, the network and the disk: minutes each. They print what was written,
# acknowledged, found and lost, and for how long what was not answered. Short ones run with all other tests.
fault:
	FAULT=long go test -count=1 -timeout 2h -v -run '^TestFault' ./store/boltstore ./cmd/marque

lint:
	@unformatted=$$(go run $(GOFUMPT) -l .); \
		if [ -n "$$unformatted" ]; then echo "gofumpt -w is due:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...

generate:
	go generate ./...
