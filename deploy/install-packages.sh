#!/usr/bin/env bash
# Installs what building, testing and showing modsecurity-spoa needs on Debian, and checks that Rust is there.
# Asks apt (through sudo when not root) only when something is missing. demo.sh and test.sh call it.
#
#   install-packages.sh [PACKAGE...]     more packages, for the caller
set -euo pipefail

packages=(
  libmodsecurity-dev # the engine, with its headers
  libpcre2-dev       # regular expressions are compiled before an engine has them
  libyajl-dev        # JSON is read with the engines' own library
  modsecurity-crs    # the OWASP Core Rule Set
  libclang-dev       # bindgen reads the engine's headers with it
  g++ pkg-config     # the C++ shim, and where the engine is
  ca-certificates    # cargo's downloads
  haproxy curl       # the demo and the tests
  logrotate          # the test of its file
  procps             # the tests send signals with its kill
  prometheus         # promtool, which checks metrics and alerts in the tests
  chromium chromium-driver # the page in a browser, in the tests
  dpkg-dev           # unpacks the source package that has the Core Rule Set's tests (tests/crs)
  strace             # a kernel without Landlock (tests/faults)
  "$@"
)

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$HOME/.cargo/bin

die() {
  printf 'install-packages: %s\n' "$@" >&2
  exit 1
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  die "this needs Debian's apt. Elsewhere, install what corresponds to: ${packages[*]}"
fi
missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [[ $status == installed ]] || missing+=("$package")
done

if ((${#missing[@]})); then
  sudo=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null || die "missing: ${missing[*]}. Run as root, or install sudo."
    sudo=(sudo)
  fi
  echo "Installing: ${missing[*]}"

  # Debian starts a service when its package is installed. Nobody asked for Prometheus's, and HAProxy's would fail, because
  # Debian's configuration has no frontend. 101 is policy-rc.d's word for "do not start it"; a machine that has a policy keeps its own.
  policy=/usr/sbin/policy-rc.d our_policy=0
  if [[ " ${missing[*]} " =~ " "(haproxy|prometheus)" " && ! -e $policy ]]; then
    our_policy=1
    trap '"${sudo[@]}" rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee "$policy" >/dev/null
    "${sudo[@]}" chmod 755 "$policy"
  fi

  # No recommended packages: those of modsecurity-crs would install and start Apache.
  apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}"

  # Nor at the next boot: whoever wants them as services enables them with configurations of their own.
  if ((our_policy)) && command -v systemctl >/dev/null; then
    for service in haproxy prometheus; do
      [[ " ${missing[*]} " != *" $service "* ]] || "${sudo[@]}" systemctl disable --quiet "$service.service" || true
    done
  fi
fi

wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
how="Get it with rustup, https://rustup.rs:  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
command -v cargo >/dev/null || die "cargo is missing; Rust $wanted or later is needed." "$how"
found=$(cargo --version | cut -d ' ' -f 2)
oldest=$(printf '%s\n' "$wanted" "${found%%-*}" | sort -V | sed -n 1p)
[[ $oldest == "$wanted" ]] || die "cargo is $found; Rust $wanted or later is needed." "$how"
