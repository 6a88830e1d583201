#!/usr/bin/env bash
# Runs one fuzz target on the committed corpus: hack/fuzz.sh TARGET RUNS [libFuzzer's options]. What breaks it is kept in fuzz/artifacts/TARGET;
# mend it, and keep the input as a seed in fuzz/corpus/TARGET, which the tests replay.
# The targets need libFuzzer but no sanitizer, so the stable compiler does, with its unstable flags unlocked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${1:-} runs=${2:-1000000}
if [ ! -f "fuzz/fuzz_targets/$target.rs" ]; then
    echo "usage: make fuzz TARGET=NAME [RUNS=N]; the targets are:" $(basename -s .rs fuzz/fuzz_targets/*.rs) >&2
    exit 2
fi
shift $(($# < 2 ? $# : 2))
fuzz=$(hack/tools.sh cargo-fuzz)
# What it finds goes into a folder of its own, not among the seeds.
found=$(mktemp -d)
trap 'rm -rf "$found"' EXIT
RUSTC_BOOTSTRAP=1 "$fuzz" run --sanitizer none "$target" "$found" "fuzz/corpus/$target" -- \
    -runs="$runs" -max_len=4096 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 "$@"
