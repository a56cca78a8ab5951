#!/usr/bin/env bash
# Gets the Core Rule Set's own tests, which only Debian's source package has, in the version of the installed rules.
# Prints the path of the folder with their YAML files. Nothing on the system changes: apt gets lists of its own.
#
#   get-tests.sh FOLDER     unpacked below FOLDER, and found there the next time
set -euo pipefail

die() {
  printf 'get-tests: %s\n' "$@" >&2
  exit 1
}

cache=$(mkdir -p "${1:?folder}" && cd "$1" && pwd)
for program in apt-get dpkg-query dpkg-source; do
  command -v "$program" >/dev/null || die "no $program here; deploy/install-packages.sh installs what is missing"
done
# shellcheck disable=SC2016 # The dollar is dpkg-query's.
version=$(dpkg-query -W -f='${source:Version}' modsecurity-crs) || die "modsecurity-crs is not installed"
folder=$cache/modsecurity-crs-$version
tests=$folder/tests/regression/tests
if [[ -d $tests ]]; then
  echo "$tests"
  exit 0
fi

work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial}

# The source packages of the Debian mirrors that this machine uses. apt believes only what Debian has signed: the key
# signs the release file, which has the hash of the index, which has those of the package's files.
key=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck disable=SC2016 # The dollars are apt's.
apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
  grep -E '/debian(-security)?(/[0-9]+T[0-9]+Z)?/? [^ ]+ main$' | sort -u |
  sed "s|^|deb-src [signed-by=$key] |" >"$work/sources.list" || die "apt knows no Debian mirror"

apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::lists="$work/lists" -o Dir::Cache="$work"
  -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Retries=3)
cd "$work"
"${apt[@]}" update >&2
"${apt[@]}" source "modsecurity-crs=$version" >&2 || die \
  "the Debian archive has no source of modsecurity-crs $version. It keeps the newest only: apt-get upgrade"

unpacked=(modsecurity-crs-*/)
[[ -d ${unpacked[0]}/tests/regression/tests ]] || die "the source package has no tests"
# The folder appears when it is whole. Another run may have been faster.
mv -T "${unpacked[0]}" "$folder" 2>/dev/null || [[ -d $tests ]] || die "cannot write $folder"
echo "$tests"
