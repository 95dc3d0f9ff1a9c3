# scripts/check and scripts/test source this file.
# shellcheck shell=bash

# They compile with the flags of what ships, so that what both need is compiled once. go run takes them, too. go tool does not: it
# would compile the standard library again.
GOFLAGS="-trimpath -gcflags=all=-dwarf=false $(go env GOFLAGS)" CGO_ENABLED=0
export GOFLAGS CGO_ENABLED
# Compilers, checks and most tests end before their garbage matters.
export GOGC=400
