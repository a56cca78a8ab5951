#!/usr/bin/env bash
# Fuzzes the targets in tests/fuzz, each for some seconds, from the seeds in tests/fuzz/seeds and what earlier runs found
# below target/fuzz. Ends at the first finding, whose input is in target/fuzz/found. To see it again:
#
#   target/fuzz/build/x86_64-unknown-linux-gnu/release/TARGET target/fuzz/found/TARGET-...
#
#   run.sh [SECONDS [TARGET...]]     15 seconds for each of all targets
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PATH:$HOME/.cargo/bin
cargo_fuzz=0.13.2
seconds=${1:-15}
targets=("${@:2}")
((${#targets[@]})) || targets=(codec message headers directives session)

if [[ $(cargo fuzz --version 2>/dev/null) != "cargo-fuzz $cargo_fuzz" ]]; then
  cargo install --locked cargo-fuzz --version "$cargo_fuzz"
fi

# cargo-fuzz has no --locked: what tests/fuzz/Cargo.lock does not say would be written into it.
cargo metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null

export CARGO_TARGET_DIR=$PWD/target/fuzz/build
mkdir -p target/fuzz/found
# Without a sanitizer: those need nightly, and the targets reach no unsafe code of ours. Overflows and assertions are
# checked all the same (the profile in tests/fuzz/Cargo.toml).
for target in "${targets[@]}"; do
  corpus=target/fuzz/corpus/$target
  mkdir -p "$corpus"
  # A busy machine may leave a fuzzer without CPU for a while: 60 s are no hang of a target that takes microseconds.
  cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" "$corpus" "tests/fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=60 -rss_limit_mb=1024 -verbosity=0 -print_final_stats=1 \
    -artifact_prefix="$PWD/target/fuzz/found/$target-"
done
