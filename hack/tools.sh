#!/usr/bin/env bash
# Prints the path of a developer tool of the pinned version: hack/tools.sh cargo-deny. It is installed on first use into a
# cache outside the tree, ${XDG_CACHE_HOME:-~/.cache}/provost/tools/TOOL-VERSION; whatever is on PATH is never used.
# Exits with 3 where the tool needs Go and Go is missing or too old, so that callers can leave tests out and say so.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
name=${1:?usage: hack/tools.sh NAME}
# The version of each tool; a change here is a new folder, so nothing has to be removed.
case $name in
    cargo-cyclonedx) version=0.5.9 ;;
    cargo-deny) version=0.20.2 ;;
    cargo-fuzz) version=0.13.2 ;;
    cargo-machete) version=0.9.2 ;;
    typos) version=1.52.0 ;;
    # A Go module; its own go.mod and go.sum pin what it is built from.
    umoci) version=$(sed -n 's/.*opencontainers\/umoci v\([0-9.]*\).*/\1/p' "$root/hack/image/umoci/go.mod") ;;
    *)
        echo "tools: unknown tool '$name' (one of cargo-cyclonedx, cargo-deny, cargo-fuzz, cargo-machete, typos, umoci)" >&2
        exit 2
        ;;
esac
# The wheels that the makers of typos publish (x86-64 and arm64 Linux, arm64 macOS): seconds instead of minutes of compiling.
typos_wheels="typos==1.52.0 \
    --hash=sha256:418fd85f7fc11dec14e5482e747f6e916af56da96207cde0cdd69540a4b389f6 \
    --hash=sha256:5e870133c7e9cace94183e4d638697004a1473e79abcd01b8f75e362049a9b5c \
    --hash=sha256:257324274303a459fef79978cae942568419d2e8b18519e5f66b93a7e2df2ba1"

home="${XDG_CACHE_HOME:-$HOME/.cache}/provost/tools/$name-$version"

build_with_go() { # build_with_go MODULE PACKAGE OUTPUT
    local needed found
    needed=$(sed -n 's/^go //p' "$1/go.mod")
    found=$(command -v go >/dev/null && GOTOOLCHAIN=local go env GOVERSION || echo goNONE)
    found=${found#go}
    if [ "$found" = NONE ] || [ "$(printf '%s\n%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
        echo "tools: $name is built with Go $needed or newer; here is ${found/NONE/none}" >&2
        exit 3
    fi
    (cd "$1" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 \
        go build -trimpath -buildvcs=false -ldflags "-s -w" -o "$3" "$2") >&2
}

if [ ! -x "$home/bin/$name" ]; then
    echo "tools: installing $name $version into $home" >&2
    # Filled beside its place and moved there, so that a broken installation is never taken for a whole one.
    mkdir -p "$(dirname "$home")"
    unfinished=$(mktemp -d "$home.XXXXXX")
    trap 'rm -rf "$unfinished"' EXIT
    if [ "$name" = typos ] && python3 -m pip --version >/dev/null 2>&1 &&
        PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --no-deps --only-binary :all: --require-hashes --target "$unfinished" \
            --requirement <(echo "$typos_wheels") >&2; then
        :
    elif [ "$name" = umoci ]; then
        build_with_go "$root/hack/image/umoci" github.com/opencontainers/umoci/cmd/umoci "$unfinished/bin/umoci"
    else
        crate=$name
        [ "$name" != typos ] || crate=typos-cli
        how=()
        # It reads one lock file: not worth optimising, which takes three times as long.
        [ "$name" != cargo-cyclonedx ] || how=(--debug)
        env -u CARGO_TARGET_DIR cargo install --quiet --locked "${how[@]}" --version "=$version" --root "$unfinished" "$crate" >&2
    fi
    rm -rf "$home"
    chmod 755 "$unfinished"
    mv "$unfinished" "$home"
    trap - EXIT
fi
echo "$home/bin/$name"
