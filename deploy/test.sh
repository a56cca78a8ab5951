#!/usr/bin/env bash
# Everything that CI checks, what fails fastest first. Installs what is missing. Ends at the first failure, with its
# exit status.
#
#   test.sh               all
#   test.sh --engine 2    only the tests, with ModSecurity 2.9
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin
cargo_deny=0.20.2

# step WHAT COMMAND...: says what comes, does it, and says how long it took.
step() {
  local what=$1 start=$SECONDS status=0
  shift
  printf '\n==> %s\n' "$what"
  # In a shell of its own, where set -e holds also inside a function; `"$@" || ...` here would switch it off.
  set +e
  (
    set -e
    "$@"
  )
  status=$?
  set -e
  if ((status)); then
    printf '==> %s: FAILED (status %d) after %d s\n' "$what" "$status" "$((SECONDS - start))" >&2
    exit "$status"
  fi
  printf '==> %s: ok, %d s\n' "$what" "$((SECONDS - start))"
}

cargo_tools() {
  if ! cargo fmt --version >/dev/null 2>&1 || ! cargo clippy --version >/dev/null 2>&1; then
    rustup component add rustfmt clippy
  fi
  if [[ $(cargo deny --version 2>/dev/null) != "cargo-deny $cargo_deny" ]]; then
    cargo install --locked cargo-deny --version "$cargo_deny"
  fi
}

# The README's first commands are the two that must work on a fresh machine.
readme_commands() {
  local found expected=$'./deploy/demo.sh\n./deploy/test.sh'
  found=$(awk 'NR > 25 || (inside && /^```/) { exit } /^```/ { inside = 1; next } inside' README.md)
  if [[ $found != "$expected" ]]; then
    printf 'README.md: the first block of commands, within 25 lines, should be:\n%s\nand is:\n%s\n' \
      "$expected" "$found" >&2
    return 1
  fi
  while read -r script; do
    if [[ ! -x $script ]]; then
      echo "$script cannot be run" >&2
      return 1
    fi
  done <<<"$expected"
}

# Both engines are built, and tests use libmodsecurity 3 unless ENGINE says otherwise.
modsecurity2() {
  deploy/modsecurity2.sh "${MODSECURITY2:-target/modsecurity2}"
}

# Each engine can be had without the other.
lints() {
  cargo clippy --workspace --all-targets --all-features --locked -- -D warnings
  cargo clippy --locked -- -D warnings
  cargo clippy --no-default-features --features engine2 --locked -- -D warnings
}

# With the other engine: all but what measures (load) and what compares with libmodsecurity 3 (differential).
tests_with_engine_2() {
  ENGINE=2 cargo test --locked --all-features --test protocol --test haproxy --test engine --test faults \
    --test operation --test crs
}

# With the HAProxy of another Debian suite.
tests_with_haproxy() {
  local program
  program=$(tests/haproxy/get-haproxy.sh "$1" target/haproxy)
  HAPROXY=$program cargo test --locked --all-features --test haproxy
}

# -dW: a warning is a failure.
haproxy_configuration() {
  # Not head: it ends first, and a haproxy that still writes then dies of SIGPIPE.
  "${HAPROXY:-haproxy}" -v | sed -n 1p
  "${HAPROXY:-haproxy}" -c -V -dW -f deploy/haproxy.cfg
  MODSEC_RESPONSES=1 "${HAPROXY:-haproxy}" -c -V -dW -f deploy/haproxy.cfg
  local sample
  for sample in deploy/haproxy/*/haproxy.cfg; do
    "${HAPROXY:-haproxy}" -c -dW -f "$sample"
  done
  APP_SERVER=unix@/tmp/app.sock "${HAPROXY:-haproxy}" -c -V -dW -f deploy/haproxy.cfg -f deploy/demo-app.cfg
}

dependencies() {
  cargo deny --locked --all-features check licenses bans sources
  cargo deny --locked --manifest-path tests/fuzz/Cargo.toml --config deny.toml check licenses bans sources
  echo "Fetching the advisory database ..."
  if timeout 120 cargo deny fetch db; then
    cargo deny --locked --all-features check --disable-fetch advisories
  else
    echo "ADVISORIES NOT CHECKED: the advisory database could not be fetched from here."
  fi
}

# In the same folder, where most of what they need is built already.
fuzz_lints() {
  CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target} \
    cargo clippy --manifest-path tests/fuzz/Cargo.toml --locked -- -D warnings
}

documentation() {
  RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --all-features
}

if [[ "$*" == "--engine 2" ]]; then
  deploy/install-packages.sh
  modsecurity2
  tests_with_engine_2
  exit
elif (($#)); then
  echo "test.sh: nothing, or --engine 2" >&2
  exit 2
fi

step "packages" deploy/install-packages.sh shellcheck
step "cargo's tools" cargo_tools
step "README's commands" readme_commands
step "shell scripts" shellcheck deploy/*.sh tests/*/*.sh .ci/run
step "HAProxy's configuration" haproxy_configuration
step "format" cargo fmt --all --check
step "format of the fuzz targets" cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
step "dependencies" dependencies
step "ModSecurity 2.9" modsecurity2
step "lints" lints
step "lints of the fuzz targets" fuzz_lints
step "tests" cargo test --workspace --locked --all-features
step "tests with ModSecurity 2.9" tests_with_engine_2
step "tests with HAProxy 3.0" tests_with_haproxy trixie
step "tests with HAProxy 3.2" tests_with_haproxy forky
step "documentation" documentation
step "fuzzing" tests/fuzz/run.sh 12
step "demo" deploy/demo.sh --once
step "demo with ModSecurity 2.9" deploy/demo.sh --once --engine 2
step "installed rules" ./target/release/modsecurity-spoa --check

printf '\nAll passed, %d s\n' "$SECONDS"
