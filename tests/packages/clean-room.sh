#!/usr/bin/env bash
# Is the package all that a clean Debian needs? Installs it in a root that has nothing else, starts the service's own command
# as the service's user, sends the demo's requests through Debian's HAProxy with the configuration in the package, stops it,
# installs it over itself, removes and purges it, and looks for what is left.
#
#   clean-room.sh SUITE PACKAGE     as root
# shellcheck disable=SC2016 # What the shells in the root expand.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
suite=${1:?suite} package=$(realpath "${2:?package}")
base=$(tests/packages/root.sh "$suite" "${CARGO_TARGET_DIR:-target}/roots")
root=$base-clean
rm -rf "$root"
cp -a --reflink=auto "$base" "$root"
in_root() { tests/packages/in-root.sh "$root" "$@"; }

echo "==== installed"
install -D -m 644 "$package" "$root/srv/modsecurity-spoa.deb"
in_root bash -euo pipefail -c '
  apt-get -qq install -y --no-install-recommends /srv/modsecurity-spoa.deb haproxy curl gzip >/var/log/apt.log 2>&1 || {
    tail -n 30 /var/log/apt.log
    exit 1
  }
  getent passwd modsecurity-spoa | grep -q ":/usr/sbin/nologin$"
  zcat /usr/share/man/man1/modsecurity-spoa.1.gz | grep -q "^\.B .*rules"
  bash -c "source /usr/share/bash-completion/completions/modsecurity-spoa && complete -p modsecurity-spoa" >/dev/null
  if ldd /usr/bin/modsecurity-spoa | grep "not found"; then exit 1; fi
  [[ -L /etc/systemd/system/multi-user.target.wants/modsecurity-spoa.service ]]
  [[ ! -e /etc/systemd/system/sockets.target.wants/modsecurity-spoa.socket ]]
  modsecurity-spoa --version
  modsecurity-spoa --engine 2 --check
'

echo "==== started as the service starts it"
cp deploy/demo-requests.sh deploy/demo-app.cfg tests/packages/as-service.sh "$root/srv/"
in_root --own-network /srv/as-service.sh

echo "==== installed over itself, with a changed conffile"
in_root bash -euo pipefail -c '
  echo "# mine" >>/etc/default/modsecurity-spoa
  dpkg --install /srv/modsecurity-spoa.deb >/dev/null
  grep -q "^# mine" /etc/default/modsecurity-spoa
'

echo "==== removed, and purged"
in_root bash -euo pipefail -c '
  install -d /var/log/modsecurity-spoa
  dpkg --listfiles modsecurity-spoa >/tmp/files
  dpkg --remove modsecurity-spoa >/dev/null
  [[ ! -e /usr/bin/modsecurity-spoa && -e /etc/default/modsecurity-spoa ]]
  dpkg --purge modsecurity-spoa >/dev/null 2>&1
  left=$(find / -xdev -name "*modsecurity-spoa*" ! -path "/srv/*" ! -path "/tmp/*")
  if [[ -n $left ]]; then
    echo "left behind: $left" >&2
    exit 1
  fi
  if dpkg-query --status modsecurity-spoa >/dev/null 2>&1; then exit 1; fi
'
rm -rf "$root"
