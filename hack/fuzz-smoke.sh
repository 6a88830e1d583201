#!/usr/bin/env bash
# Runs every fuzz target for a short while on the committed corpus: SECONDS_EACH, 20 by default.
# The targets need libFuzzer but no sanitizer, so the stable compiler does, with its unstable flags unlocked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

shopt -s nullglob
targets=(fuzz/fuzz_targets/*.rs)
if [ ${#targets[@]} -eq 0 ]; then
    echo "There are no fuzz targets in fuzz/fuzz_targets." >&2
    exit 1
fi
fuzz=$(hack/tools.sh cargo-fuzz)
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
for target in "${targets[@]}"; do
    target=$(basename "$target" .rs)
    echo "== $target"
    mkdir "$found/$target"
    # What it finds goes into a folder of its own, not among the seeds; what breaks a target into fuzz/artifacts.
    RUSTC_BOOTSTRAP=1 "$fuzz" run --sanitizer none "$target" "$found/$target" "fuzz/corpus/$target" -- \
        -max_total_time="${SECONDS_EACH:-20}" -rss_limit_mb=2048 -timeout=10
done
