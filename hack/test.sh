#!/usr/bin/env bash
# Runs the tests and says in its last lines what was left out and why. In CI (CI=true) leaving anything out is a failure.
# Arguments go to `cargo test`.
#
# Tests learn what there is from variables:
#   KUBEBUILDER_ASSETS      a folder with etcd, kube-apiserver, kubectl, helm and informer; unset where they cannot be built
#   PROVOST_TEST_IMAGE      the OCI layout of a container image of this tree, built here unless it is set, even to nothing
#   PROVOST_TEST_LEFT_OUT   a file; a test that cannot run here appends one line, "NAME: WHY", and returns
#   PROVOST_TEST_SUMMARY    a file; a test that compares with another program appends one line, which is shown at the end
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

left_out=$(mktemp)
output=$(mktemp)
summary=$(mktemp)
assets=
trap 'rm -rf "$left_out" "$output" "$summary" "$assets"' EXIT
export PROVOST_TEST_LEFT_OUT=$left_out PROVOST_TEST_SUMMARY=$summary

if tools=$(hack/control-plane/build.sh etcd kube-apiserver kubectl helm informer); then
    # In one folder, wherever each comes from.
    assets=$(mktemp -d)
    xargs -I{} ln -s {} "$assets/" <<<"$tools"
    export KUBEBUILDER_ASSETS=$assets
else
    unset KUBEBUILDER_ASSETS
    echo "tests on a real Kubernetes API: it could not be built; Go is missing or too old (see above)" >>"$left_out"
fi
status=0
if [ -z "${PROVOST_TEST_IMAGE+set}" ]; then
    built=0
    image=$(hack/image/build.sh --profile dev) || built=$?
    case $built in
        0) export PROVOST_TEST_IMAGE=$image ;;
        3) echo "tests of the container image: a tool that it is built with is missing (see above)" >>"$left_out" ;;
        *) status=1 ;;
    esac
elif [ -z "$PROVOST_TEST_IMAGE" ]; then
    unset PROVOST_TEST_IMAGE
fi
for tool in git openssl scepclient ssh-keygen /usr/sbin/sshd; do
    command -v "$tool" >/dev/null || echo "tests that run $(basename "$tool"): it is not installed" >>"$left_out"
done

cargo test --locked "$@" 2>&1 | tee "$output" || status=$?

passed=$(sed -n 's/^test result: .* \([0-9][0-9]*\) passed.*/\1/p' "$output" | awk '{ n += $1 } END { print n + 0 }')
failed=$(sed -n 's/^test result: .* \([0-9][0-9]*\) failed.*/\1/p' "$output" | awk '{ n += $1 } END { print n + 0 }')
long=$(grep -c '^test .* \.\.\. ignored' "$output" || true)

echo
if [ "$long" -gt 0 ]; then
    echo "Long tests, run by 'make test-long' only ($long):"
    sed -n 's/^test \(.*\) \.\.\. ignored,\{0,1\} \{0,1\}/  \1  /p' "$output"
fi
if [ -s "$left_out" ]; then
    echo "Left out on this machine:"
    sort -u "$left_out" | sed 's/^/  /'
    if [ "${CI:-}" = true ] && [ "$status" -eq 0 ]; then
        echo "CI leaves nothing out: failing."
        status=1
    fi
fi
sort -u "$summary"
stories() { grep -c "^test .*::$1 \.\.\. ok" "$output" || true; }
echo "Stories told on both APIs: $(stories embedded) on the embedded one, $(stories cluster) on a real API server"
[ "$status" -eq 0 ] || echo "The tests FAILED."
echo "Tests: $passed passed, $failed failed"
exit "$status"
