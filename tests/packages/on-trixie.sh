#!/usr/bin/env bash
# Runs a command on Debian 13: in a root that has its compilers and libraries, with this machine's Rust, on the same source,
# with a target folder of its own.
#
#   on-trixie.sh COMMAND...     as root
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")/trixie
roots=$(realpath -m "${CARGO_TARGET_DIR:-target}")/roots
base=$(tests/packages/root.sh trixie "$roots")
root=$roots/trixie-build
if [[ ! -e $root/complete ]]; then
  rm -rf "$root"
  cp -a --reflink=auto "$base" "$root"
fi
mkdir -p "$target"
toolchain=$(rustc --print sysroot)
cargo_home=${CARGO_HOME:-$HOME/.cargo}

exec tests/packages/in-root.sh "$root" --bind "$PWD" --bind "$toolchain" --bind "$cargo_home" \
  env -C "$PWD" HOME=/root "PATH=$toolchain/bin:$cargo_home/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
  "CARGO_HOME=$cargo_home" "CARGO_TARGET_DIR=$target" "MODSECURITY2=$target/modsecurity2" "$@"
