#!/usr/bin/env bash
# Builds the Kubernetes tools that the tests use, from their published Go modules, into a cache outside the tree.
#
#   hack/control-plane/build.sh kubectl                        what `make test` needs
#   hack/control-plane/build.sh kube-apiserver etcd kubectl    a whole control plane
#   hack/control-plane/build.sh informer                       the copy that client-go keeps (hack/informer)
#   hack/control-plane/build.sh --dir                          only print the folder
#
# Prints the path of each tool on standard output, one a line, and progress on standard error. A tool that is already
# there for the same go.mod and go.sum is left alone. A tool in $KUBEBUILDER_ASSETS wins and is never built.
# Exits with 3 where Go is missing or too old, so that callers can leave tests out and say so.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kubernetes=$(sed -n 's/^\(require\)\{0,1\}[[:space:]]*k8s\.io\/kubernetes \(v[0-9.]*\).*/\2/p' "$here/kubernetes/go.mod")
bin="${XDG_CACHE_HOME:-$HOME/.cache}/provost/control-plane/$kubernetes"

say() { echo "control-plane: $*" >&2; }

require_go() {
    local needed found
    needed=$(sed -n 's/^go //p' "$here/kubernetes/go.mod")
    if ! command -v go >/dev/null; then
        say "Go $needed or newer is needed to build $1, and there is no \`go\` on PATH"
        exit 3
    fi
    found=$(GOTOOLCHAIN=local go env GOVERSION)
    found=${found#go}
    if [ "$(printf '%s\n%s\n' "$needed" "$found" | sort -V | head -n 1)" != "$needed" ]; then
        say "Go $needed or newer is needed to build $1, and this is Go $found"
        exit 3
    fi
}

build() {
    local tool=$1 module package ldflags="-s -w" minor
    minor=${kubernetes#v1.}
    minor=${minor%%.*}
    local version=k8s.io/component-base/version
    case $tool in
        kubectl | kube-apiserver)
            module=kubernetes package=k8s.io/kubernetes/cmd/$tool
            ldflags+=" -X $version.gitVersion=$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=$minor"
            ;;
        etcd) module=etcd package=go.etcd.io/etcd/server/v3 ;;
        helm) module=helm package=helm.sh/helm/v4/cmd/helm ;;
        informer) module=../informer package=. ;;
        *)
            say "unknown tool '$tool' (one of kubectl, kube-apiserver, etcd, helm, informer)"
            exit 2
            ;;
    esac

    if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$tool" ]; then
        echo "$KUBEBUILDER_ASSETS/$tool"
        return
    fi
    local inputs
    inputs=$(find "$here/$module" -name 'go.*' -o -name '*.go' | sort | xargs cat | cksum)
    if [ ! -x "$bin/$tool" ] || [ "$(cat "$bin/$tool.inputs" 2>/dev/null)" != "$inputs" ]; then
        require_go "$tool"
        say "building $tool into $bin (once; some minutes on two cores)"
        mkdir -p "$bin"
        # Built beside its place and moved there, so that two runs at once never see half a file.
        local unfinished="$bin/.$tool.$$"
        (cd "$here/$module" && GOTOOLCHAIN=local GOFLAGS=-mod=readonly CGO_ENABLED=0 \
            go build -trimpath -buildvcs=false -ldflags "$ldflags" -o "$unfinished" "$package") >&2
        mv "$unfinished" "$bin/$tool"
        echo "$inputs" >"$bin/$tool.inputs"
    fi
    echo "$bin/$tool"
}

if [ $# -eq 0 ]; then
    sed -n '2,/^set /s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
if [ "$1" = --dir ]; then
    echo "$bin"
    exit
fi
for tool in "$@"; do
    build "$tool"
done
