#!/usr/bin/env bash
# Everything that CI checks, what fails fastest first. Installs what is missing. Ends at the first failure, with its
# exit status.
#
#   test.sh               all
#   test.sh --engine 2    only the tests, with ModSecurity 2.9
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin
cargo_deny=0.20.2 cargo_deb=3.8.0

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
  # Without its own compression: it takes xz(1) then.
  if [[ $(cargo deb --version 2>/dev/null) != "cargo-deb $cargo_deb" ]]; then
    cargo install --locked cargo-deb --version "$cargo_deb" --no-default-features
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

# Every relative link in the texts leads to a file that is there, and every #anchor to a heading of it.
links_of_texts() {
  local text line target file anchor wrong=0
  local texts=(README.md .github/*.md deploy/guide/*.md tests/README.md)
  while IFS=$'\t' read -r text line target; do
    file=${target%%#*} anchor=
    [[ $target != *'#'* ]] || anchor=${target#*#}
    if [[ -n $file ]]; then file=$(dirname "$text")/$file; else file=$text; fi
    if [[ ! -e $file ]]; then
      echo "$text:$line: there is no $target" >&2
      wrong=1
    elif [[ -n $anchor ]] && ! grep -qxF -- "$anchor" <(anchors "$file"); then
      echo "$text:$line: $file has no heading for #$anchor" >&2
      wrong=1
    fi
  done < <(outside_of_code "${texts[@]}" | awk -F '\t' -v OFS='\t' '{
    rest = $3
    while (match(rest, /\]\([^)]*\)/)) {
      target = substr(rest, RSTART + 2, RLENGTH - 3)
      rest = substr(rest, RSTART + RLENGTH)
      if (target !~ /^[a-z]+:/) print $1, $2, target
    }
  }')
  # Every page is in the index.
  for text in deploy/guide/*.md; do
    if [[ $text != */README.md ]] && ! grep -qF "(${text##*/})" deploy/guide/README.md; then
      echo "deploy/guide/README.md: no link to ${text##*/}" >&2
      wrong=1
    fi
  done
  return "$wrong"
}

# outside_of_code FILE...: prints file, line number and text of each line that is not in a block of code.
outside_of_code() {
  awk -v OFS='\t' 'FNR == 1 { code = 0 } /^ *```/ { code = !code; next } !code { print FILENAME, FNR, $0 }' "$@"
}

# anchors FILE: prints the anchors of its headings, as GitHub makes them.
anchors() {
  outside_of_code "$1" | cut -f 3- | sed -nE 's/^#{1,6} +//p' | tr '[:upper:]' '[:lower:]' |
    sed -E 's/[^a-z0-9 _-]//g; s/ /-/g' | awk '{ print $0 (seen[$0]++ ? "-" seen[$0] - 1 : "") }'
}

# The guide has the options of --help, with their environment variables and defaults.
guide_options() {
  diff <(cargo run --quiet --locked --all-features -- --help | awk '
    function finish(  name, value) {
      if (option == "") return
      match(option, /--[a-z-]+/)
      name = substr(option, RSTART, RLENGTH)
      variable = name ~ /^--(help|version)$/ ? "" : "MODSECURITY_SPOA_" toupper(substr(name, 3))
      gsub(/-/, "_", variable)
      value = match(option, /\[default: [^\]]*\]/) ? substr(option, RSTART + 10, RLENGTH - 11) : ""
      print name "|" variable "|" value
      option = ""
    }
    /^ +(-[a-zA-Z], )?--/ { finish(); option = $0; next }
    /^$/ { finish() }
    option != "" { gsub(/^ +/, " "); option = option $0 }
    END { finish() }' | sort) <(awk -F ' *[|] *' '/^\| `-/ {
      match($2, /--[a-z-]+/)
      variable = $3
      gsub(/`/, "", variable)
      print substr($2, RSTART, RLENGTH) "|" variable "|" $4
    }' deploy/guide/options.md | sort) || {
    echo "deploy/guide/options.md (>) differs from --help (<)" >&2
    return 1
  }
}

# HAProxy takes the lines that the README has for an existing configuration, with a site around them.
readme_haproxy() {
  local folder
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # The folder of now.
  trap "rm -rf '$folder'" EXIT
  {
    printf 'defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n'
    awk '/^```/ { if (inside) exit; inside = $0 == "```haproxy"; next } inside' README.md |
      sed "s|/etc/haproxy/spoe-modsecurity.conf|$PWD/deploy/spoe-modsecurity.conf|; s|# \.\.\. your bind.*|bind 127.0.0.1:8080|"
    printf 'backend app\n  server app1 127.0.0.1:8081\n'
  } >"$folder/haproxy.cfg"
  grep -q '^ *filter spoe' "$folder/haproxy.cfg"
  "${HAPROXY:-haproxy}" -c -dW -f "$folder/haproxy.cfg"
}

texts() {
  links_of_texts
  readme_haproxy
  guide_options
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

# as_root COMMAND...: what makes roots and namespaces.
as_root() {
  if ((EUID == 0)); then
    "$@"
  else
    sudo --preserve-env=PATH,HOME,CARGO_HOME,CARGO_TARGET_DIR,MODSECURITY2 "$@"
  fi
}

# The program is the one of the demo.
package_for_debian_12() {
  local package
  package=$(deploy/debian/package.sh)
  as_root tests/packages/clean-room.sh bookworm "$package"
}

# Debian 13 has libmodsecurity 3.0.14 and HAProxy 3.0: what depends on one of them is tested there, with the program of its
# package.
debian_13() {
  local package
  package=$(as_root tests/packages/on-trixie.sh deploy/debian/package.sh)
  as_root tests/packages/clean-room.sh trixie "$package"
  as_root tests/packages/on-trixie.sh cargo test --release --locked --features engine2 --test engine --test haproxy
}

# With the HAProxy of another Debian suite.
tests_with_haproxy() {
  local program
  program=$(tests/haproxy/get-haproxy.sh "$1" target/haproxy)
  HAPROXY=$program cargo test --locked --all-features --test haproxy
}

# systemd takes the units without a word, and rates the service's exposure below 2.0.
systemd_units() {
  local folder complaints
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # The folder of now.
  trap "rm -rf '$folder'" EXIT
  cp deploy/systemd/*.service deploy/systemd/*.socket "$folder"
  # The program need not be installed for that.
  sed -i 's|/usr/bin/modsecurity-spoa|/bin/true|' "$folder"/*.service
  complaints=$(systemd-analyze verify --man=no "$folder"/*.service "$folder"/*.socket 2>&1 || true)
  if [[ -n $complaints ]]; then
    echo "$complaints" >&2
    return 1
  fi
  systemd-analyze security --offline=true --threshold=19 --no-pager deploy/systemd/modsecurity-spoa.service | tail -n 1
}

# -dW: a warning is a failure.
haproxy_configuration() {
  # Not head: it ends first, and a haproxy that still writes then dies of SIGPIPE.
  "${HAPROXY:-haproxy}" -v | sed -n 1p
  "${HAPROXY:-haproxy}" -c -V -dW -f deploy/haproxy.cfg
  MODSEC_RESPONSES=1 "${HAPROXY:-haproxy}" -c -V -dW -f deploy/haproxy.cfg
  local sample
  for sample in deploy/haproxy/*/haproxy.cfg; do
    MODSEC_SPOE_CONF=$PWD/${sample%/*}/spoe.conf "${HAPROXY:-haproxy}" -c -dW -f "$sample"
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

step "packages" deploy/install-packages.sh shellcheck systemd mmdebstrap iproute2
step "cargo's tools" cargo_tools
step "README's commands" readme_commands
step "shell scripts" shellcheck deploy/*.sh deploy/*/*.sh deploy/debian/{postinst,prerm,postrm} tests/*/*.sh .ci/run
step "HAProxy's configuration" haproxy_configuration
step "systemd's units" systemd_units
step "format" cargo fmt --all --check
step "format of the fuzz targets" cargo fmt --manifest-path tests/fuzz/Cargo.toml --check
step "dependencies" dependencies
step "ModSecurity 2.9" modsecurity2
step "lints" lints
step "lints of the fuzz targets" fuzz_lints
step "texts" texts
step "tests" cargo test --workspace --locked --all-features
step "tests with ModSecurity 2.9" tests_with_engine_2
step "tests with HAProxy 3.2" tests_with_haproxy forky
step "tests with HAProxy 3.4" tests_with_haproxy experimental
step "documentation" documentation
step "fuzzing" tests/fuzz/run.sh 12
step "demo" deploy/demo.sh --once
step "demo with ModSecurity 2.9" deploy/demo.sh --once --engine 2
step "installed rules" ./target/release/modsecurity-spoa --check
step "package for Debian 12" package_for_debian_12
step "Debian 13: package, and tests with its libmodsecurity and HAProxy 3.0" debian_13

printf '\nAll passed, %d s\n' "$SECONDS"
