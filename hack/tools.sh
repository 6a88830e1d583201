#!/usr/bin/env bash
# Prints the path of a developer tool of the pinned version: hack/tools.sh cargo-deny. It is installed on first use into a
# cache outside the tree, ${XDG_CACHE_HOME:-~/.cache}/provost/tools/TOOL-VERSION; whatever is on PATH is never used.
set -euo pipefail

name=${1:?usage: hack/tools.sh NAME}
# The version of each tool; a change here is a new folder, so nothing has to be removed.
case $name in
    cargo-deny) version=0.20.2 ;;
    cargo-fuzz) version=0.13.2 ;;
    cargo-machete) version=0.9.2 ;;
    typos) version=1.52.0 ;;
    *)
        echo "tools: unknown tool '$name' (one of cargo-deny, cargo-fuzz, cargo-machete, typos)" >&2
        exit 2
        ;;
esac
# The wheels that the makers of typos publish (x86-64 and arm64 Linux, arm64 macOS): seconds instead of minutes of compiling.
typos_wheels="typos==1.52.0 \
    --hash=sha256:418fd85f7fc11dec14e5482e747f6e916af56da96207cde0cdd69540a4b389f6 \
    --hash=sha256:5e870133c7e9cace94183e4d638697004a1473e79abcd01b8f75e362049a9b5c \
    --hash=sha256:257324274303a459fef79978cae942568419d2e8b18519e5f66b93a7e2df2ba1"

home="${XDG_CACHE_HOME:-$HOME/.cache}/provost/tools/$name-$version"

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
    else
        crate=$name
        [ "$name" != typos ] || crate=typos-cli
        env -u CARGO_TARGET_DIR cargo install --quiet --locked --version "=$version" --root "$unfinished" "$crate" >&2
    fi
    rm -rf "$home"
    chmod 755 "$unfinished"
    mv "$unfinished" "$home"
    trap - EXIT
fi
echo "$home/bin/$name"
