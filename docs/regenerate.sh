#!/usr/bin/env bash
# Writes every page of docs/ that is measured on the built-in model. Run it after the model was changed; nothing
# else may run meanwhile if the times are to mean anything.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --release --package foveate
foveate() { target/release/foveate "$@" >/dev/null; }

keeps=keep=0.75,0.5,0.25,0.1
# Each method as published.
foveate eval --suite nano-test --sweep prune=redvtp,llada-fastv,fastv,random,uniform $keeps \
    --markdown docs/accuracy.md --chart docs/accuracy.svg
# Every scorer at the same moments, compact against original positions.
foveate eval --suite nano-test \
    --sweep prune=redvtp,llada-fastv,random,uniform prune-at=decoder,step=1 positions=compact,original $keeps \
    --markdown docs/accuracy-equal-moments.md
# LLaDA-FastV at every layer, early to late.
foveate eval --suite nano-test --prune llada-fastv \
    --sweep prune-layer=1,2,3 prune-queries=response,all keep=0.5,0.25,0.1 \
    --markdown docs/accuracy-layers.md --chart docs/accuracy-layers.svg
# What answers look at.
foveate attention --suite nano-test --layer-chart docs/attention-layers.svg --step-chart docs/attention-steps.svg \
    --markdown docs/attention.md
# What fewer bits change.
foveate fidelity --suite nano-test --markdown docs/fidelity.md
