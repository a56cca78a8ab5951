#!/usr/bin/env bash
# Gets the HAProxy of another Debian suite, with all libraries that it needs, and prints the path of a program that runs
# it. Nothing on the system changes: the packages are unpacked into a folder, and apt gets lists of its own.
#
#   get-haproxy.sh trixie FOLDER     HAProxy 3.0, the last with fragmentation and async
#   get-haproxy.sh forky FOLDER      HAProxy 3.2, with a SPOP multiplexer in place of these
#   get-haproxy.sh experimental FOLDER   HAProxy 3.4, with large buffers
set -euo pipefail

suite=${1:?suite}
folder=$(mkdir -p "${2:?folder}" && cd "$2" && pwd)/haproxy-$suite
program=$folder/haproxy
if "$program" -v >/dev/null 2>&1; then
  echo "$program"
  exit 0
fi

work=$(mktemp -d "$(dirname "$folder")/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial,root}
: >"$work/status"

# experimental is no whole suite: what it lacks comes from unstable.
suites=$suite target=()
if [[ $suite == experimental ]]; then
  suites="unstable experimental" target=(--target-release experimental)
fi

# The mirrors that this machine uses. apt believes only what Debian has signed.
key=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck disable=SC2016 # The dollars are apt's.
mirrors=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
  sed -nE "s|^([^ ]*/debian)/? main\$|\1|p" | sort -u)
for mirror in $mirrors; do
  for each in $suites; do
    echo "deb [signed-by=$key] $mirror $each main"
  done
done >"$work/sources.list"
if [[ ! -s $work/sources.list ]]; then
  echo "get-haproxy: apt knows no Debian mirror" >&2
  exit 1
fi

# With no package installed as far as apt knows, it fetches every library.
apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$work" -o Dir::State::status="$work/status"
  -o Dir::Cache="$work" -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o APT::Install-Recommends=0
  -o Acquire::Retries=3)
"${apt[@]}" update >&2
"${apt[@]}" --yes --download-only "${target[@]}" install haproxy >&2
for package in "$work"/archives/*.deb; do
  dpkg-deb --extract "$package" "$work/root"
done

rm -rf "$folder"
mkdir "$folder"
mv "$work/root" "$folder/root"
# Its own loader: that of this machine may be too old for its C library.
loader=$(find "$folder/root" -name 'ld-linux-*.so.*' -print -quit)
libraries=$(find "$folder/root" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
cat >"$program" <<END
#!/bin/sh
exec "$loader" --library-path "$libraries" "$folder/root/usr/sbin/haproxy" "\$@"
END
chmod +x "$program"
"$program" -v >&2
echo "$program"
