#!/usr/bin/env bash
# Fuzzes every target on its committed corpus: fuzz/run.sh [SECONDS per target, 30]
# Stable Rust; the coverage counters come from LLVM, so cargo-fuzz and nightly are not needed.
set -euo pipefail
cd "$(dirname "$0")"
seconds="${1:-30}"
host="$(rustc -vV | sed -n 's/^host: //p')"

# --target keeps these flags away from build scripts and procedural macros.
env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares" \
    cargo build --release --locked --target "$host"

# In memory where possible: the checkpoint target writes its files for every input.
scratch="$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
failed=()
for source in fuzz_targets/*.rs; do
    target="$(basename "$source" .rs)"
    mkdir -p "$scratch/$target" "$scratch/tmp" artifacts
    cp -r "corpus/$target/." "$scratch/$target"
    echo "--- $target: $(find "corpus/$target" -type f | wc -l) seeds, $seconds s"
    log="$scratch/$target.log"
    dictionary=()
    if [[ -f "dictionaries/$target.dict" ]]; then
        dictionary=("-dict=dictionaries/$target.dict")
    fi
    if ! TMPDIR="$scratch/tmp" "target/$host/release/$target" "$scratch/$target" \
        "-max_total_time=$seconds" -rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=10 \
        -max_len=8192 "-artifact_prefix=artifacts/$target-" \
        "${dictionary[@]}" >"$log" 2>&1; then
        tail -n 60 "$log"
        failed+=("$target")
    fi
    grep -E 'INITED|DONE|^Done' "$log" || true
done
if ((${#failed[@]})); then
    echo "fuzzing failed: ${failed[*]}; the inputs are in fuzz/artifacts" >&2
    exit 1
fi
