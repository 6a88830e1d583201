#!/usr/bin/env bash
# Every check of `make lint`, the quick ones first. All of them run, so that one pass shows everything that is wrong.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

failed=()
check() { # check NAME COMMAND...
    local name=$1 start=$SECONDS
    shift
    echo "== $name"
    if "$@"; then
        echo "   ok, $((SECONDS - start)) s"
    else
        failed+=("$name")
    fi
}
tool() { # tool NAME ARGUMENTS...
    local path
    path=$(hack/tools.sh "$1") || return 1
    shift
    "$path" "$@"
}
# Private items are documented too, so links to them lead somewhere.
documentation() { RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" cargo doc --locked --no-deps --document-private-items; }

check "format" cargo fmt --all --check
check "spelling" tool typos
check "unused dependencies" tool cargo-machete
check "dependencies: bans, licences, sources" tool cargo-deny --locked check bans licenses sources
if helm=$(hack/control-plane/build.sh helm); then
    check "chart" "$helm" lint --strict --quiet charts/provost
else
    echo "== chart: left out; Helm could not be built, Go is missing or too old (see above)"
fi
check "clippy" cargo clippy --locked --all-targets -- -D warnings
check "documentation" documentation

echo
if [ ${#failed[@]} -gt 0 ]; then
    printf 'Lint FAILED: %s\n' "$(IFS=';'; echo "${failed[*]}" | sed 's/;/; /g')"
    exit 1
fi
echo "Lint passed."
