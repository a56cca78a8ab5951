#!/usr/bin/env bash
# Makes the package for the Debian release that it runs on, with both engines, and prints its path. Installs what building
# needs; cargo-deb makes the package of what Cargo.toml says under package.metadata.deb.
#
#   package.sh     target/debian/modsecurity-spoa_VERSION-1~debN_ARCHITECTURE.deb
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PATH=$PATH:$HOME/.cargo/bin
target=${CARGO_TARGET_DIR:-target}

if ! cargo deb --version >/dev/null 2>&1; then
  echo "package: cargo-deb is missing: cargo install --locked cargo-deb --no-default-features" >&2
  exit 1
fi
# xz-utils: cargo-deb compresses with it.
deploy/install-packages.sh xz-utils >&2
MODSECURITY2=$(deploy/modsecurity2.sh "${MODSECURITY2:-target/modsecurity2}")
export MODSECURITY2
cargo build --release --locked --features engine2 >&2
program=$target/release/modsecurity-spoa

# What is made from the program, and what lies in deploy/ under other names than in the package.
stage=target/package
rm -rf "$stage"
put() { install -D -m 644 /dev/stdin "$stage/$1"; }
"$program" man | put usr/share/man/man1/modsecurity-spoa.1
"$program" completions bash | put usr/share/bash-completion/completions/modsecurity-spoa
"$program" completions zsh | put usr/share/zsh/vendor-completions/_modsecurity-spoa
"$program" completions fish | put usr/share/fish/vendor_completions.d/modsecurity-spoa.fish
put etc/default/modsecurity-spoa <deploy/debian/default
for file in deploy/logrotate/*; do
  name=${file##*/}
  [[ ! -f $file ]] || put "etc/logrotate.d/${name%.conf}" <"$file"
done
for file in deploy/systemd/*; do
  put "usr/lib/systemd/system/${file##*/}" <"$file"
done
documents=usr/share/doc/modsecurity-spoa
for file in deploy/haproxy.cfg deploy/spoe-modsecurity.conf deploy/modsecurity-body.lua; do
  put "$documents/${file##*/}" <"$file"
done
for file in deploy/guide/*.md; do
  put "$documents/guide/${file##*/}" <"$file"
done

# The crates in the program ask for their notices to be kept.
{
  cat deploy/debian/copyright
  crates=$(cargo tree --locked --edges normal,no-proc-macro --features engine2 --prefix none --format '{p}' | sed 's/ (.*//' | sort -u)
  while read -r name version; do
    for folder in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"$name-${version#v}"; do
      for notice in "$folder"/LICENSE* "$folder"/COPYING* "$folder"/COPYRIGHT*; do
        # Debian has the text of this one; of those that offer another licence beside MIT, MIT's is enough.
        if [[ -f $notice && $notice != *-MPL* ]] && ! grep -q 'Version 2.0, January 2004' "$notice"; then
          printf '\n---- %s %s, %s\n\n' "$name" "${version#v}" "${notice##*/}"
          cat "$notice"
        fi
      done
    done
  done <<<"$crates"
} | put copyright

# A release of Debian has a suffix of its own, so that going to the next one replaces the package.
# shellcheck source=/dev/null
release=$(. /etc/os-release && echo "${VERSION_ID:?}")
cargo deb --quiet --no-build --locked --deb-revision "1~deb$release" --output "$target/debian/"
