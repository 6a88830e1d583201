#!/usr/bin/env bash
# Runs every fuzz target for a short while on the committed corpus: SECONDS_EACH, 20 by default.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

shopt -s nullglob
targets=(fuzz/fuzz_targets/*.rs)
if [ ${#targets[@]} -eq 0 ]; then
    echo "There are no fuzz targets in fuzz/fuzz_targets." >&2
    exit 1
fi
for target in "${targets[@]}"; do
    target=$(basename "$target" .rs)
    echo "== $target"
    # As many executions as fit into the time.
    hack/fuzz.sh "$target" -1 -max_total_time="${SECONDS_EACH:-20}"
done
