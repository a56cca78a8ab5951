#!/usr/bin/env bash
# Builds ModSecurity 2.9 in its standalone form, to be linked into modsecurity-spoa (cargo build --features engine2), and
# prints the folder that has it: its library, its headers and those of Apache's that they need. It takes a minute the
# first time, and none when nothing has changed.
#
#   modsecurity2.sh [FOLDER]     default: target/modsecurity2, where cargo looks (else MODSECURITY2 says)
#
# The source is Debian's package, 2.9.13 or newer, from the newest suite that has one; apt gets lists of its own, and
# nothing on the system changes but for the packages that building needs.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
oldest=2.9.13
patch=$PWD/deploy/modsecurity2.patch
folder=$(mkdir -p "${1:-target/modsecurity2}" && cd "${1:-target/modsecurity2}" && pwd)

# What it is built by: another script or another patch makes another library.
made_by=$(cat deploy/modsecurity2.sh "$patch" | sha256sum)
if [[ -e $folder/lib/libmodsecurity2.a && $(cat "$folder/made-by" 2>/dev/null) == "$made_by" ]]; then
  echo "$folder"
  exit 0
fi

deploy/install-packages.sh apache2-dev libapr1-dev libaprutil1-dev libcurl4-openssl-dev libpcre2-dev libxml2-dev \
  libyajl-dev make patch >&2

work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{lists/partial,archives/partial}
: >"$work/status"

# The mirrors that this machine uses. apt believes only what Debian has signed.
key=/usr/share/keyrings/debian-archive-keyring.gpg
# shellcheck disable=SC2016 # The dollars are apt's.
mirrors=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
  sed -nE 's|^([^ ]*/debian)/? main$|\1|p' | sort -u)
if [[ -z $mirrors ]]; then
  echo "modsecurity2: apt knows no Debian mirror" >&2
  exit 1
fi
for mirror in $mirrors; do
  printf "deb-src [signed-by=$key] $mirror %s main\n" stable testing unstable
done >"$work/sources.list"
apt=(apt-get -qq -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
  -o Dir::Etc::preferencesparts=/dev/null -o Dir::State="$work" -o Dir::State::status="$work/status"
  -o Dir::Cache="$work" -o Debug::NoLocking=1 -o APT::Sandbox::User=root -o Acquire::Retries=3)
"${apt[@]}" update >&2
(cd "$work" && "${apt[@]}" source modsecurity-apache >&2)
source=$(find "$work" -mindepth 1 -maxdepth 1 -type d -name 'modsecurity-apache-*')
version=${source##*-}
if [[ $(printf '%s\n' "$oldest" "$version" | sort -V | sed -n 1p) != "$oldest" ]]; then
  echo "modsecurity2: Debian's newest is $version; $oldest or newer is needed" >&2
  exit 1
fi

cd "$source"
patch -p1 --batch --fuzz=0 <"$patch" >&2
# Hidden symbols: libmodsecurity 3 has functions of the same names (libinjection's), and must not find these.
{
  ./configure --disable-apache2-module --enable-standalone-module --disable-mlogc --disable-docs --without-lua \
    --enable-pcre-study --enable-pcre-jit CFLAGS="-O2 -fvisibility=hidden $(apr-1-config --cppflags --includes)"
  make -C standalone -j"$(nproc)"
} >build.log 2>&1 || {
  tail -n 40 build.log >&2
  exit 1
}

# What it should be: it has the calls that the program makes, exports nothing, and was compiled with what rules need.
library=standalone/.libs/standalone.a
symbols=$(nm --defined-only "$library" 2>/dev/null)
for call in modsecInit modsecProcessConfig modsecProcessRequestHeaders modsecProcessResponse; do
  if ! grep -q " T $call\$" <<<"$symbols"; then
    echo "modsecurity2: ModSecurity $version was built without $call" >&2
    exit 1
  fi
done
defines=$(grep -o -- ' -D[^ ]*' <(grep -m 1 -- '-c ../apache2/mod_security2.c' build.log) | sort -u)
for define in WITH_YAJL WITH_PCRE_JIT REQUEST_EARLY VERSION_STANDALONE; do
  if ! grep -qw -- "-D$define" <<<"$defines"; then
    echo "modsecurity2: ModSecurity $version was built without $define" >&2
    exit 1
  fi
done

rm -rf "${folder:?}"/{lib,include,made-by}
mkdir -p "$folder/lib" "$folder"/include/{modsecurity2,httpd}
cp "$library" "$folder/lib/libmodsecurity2.a"
cp apache2/*.h standalone/*.h "$folder/include/modsecurity2/"
cp "$(apxs2 -q INCLUDEDIR)"/*.h "$folder/include/httpd/"
# The layout of the engine's structures depends on these: whoever reads them is compiled with the same.
xargs -n 1 <<<"$defines" >"$folder/defines"
echo "$version" >"$folder/version"
echo "$made_by" >"$folder/made-by"
echo "$folder"
