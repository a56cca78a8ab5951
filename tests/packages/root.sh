#!/usr/bin/env bash
# Makes the root of a clean Debian, as debootstrap's minbase variant does but in 10 s, and prints its folder. One that is there
# already is left as it is.
#
#   root.sh SUITE FOLDER     bookworm (Debian 12) or trixie (Debian 13); as root
set -euo pipefail

suite=${1:?suite}
folder=$(mkdir -p "${2:?folder}" && cd "$2" && pwd)/$suite
if [[ -e $folder/complete ]]; then
  echo "$folder"
  exit
fi

# The mirrors that this machine uses. apt believes only what Debian has signed.
# shellcheck disable=SC2016 # The dollars are apt's.
mapfile -t mirrors < <(apt-get indextargets --no-release-info --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' |
  sed -nE 's|^([^ ]*/debian)/? main$|\1|p' | sort -u)
if ((${#mirrors[@]} == 0)); then
  echo "root: apt knows no Debian mirror" >&2
  exit 1
fi

# How this machine reaches the mirror, and what it makes of one that is older than its lists say.
settings=()
while read -r setting; do
  settings+=(--aptopt="$setting")
done < <(apt-config dump | grep -E '^Acquire::(Check-Valid-Until|Retries|https?::Proxy) ')

rm -rf "$folder"
# The lists stay, so that apt-get in the root needs no update.
mmdebstrap --quiet --mode=root --variant=minbase --skip=cleanup/apt --keyring=/usr/share/keyrings/debian-archive-keyring.gpg \
  "${settings[@]}" "$suite" "$folder" "${mirrors[0]}" >&2
# A package that is installed starts no service: there is no init. 101 is policy-rc.d's word for that.
printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
chmod 755 "$folder/usr/sbin/policy-rc.d"
touch "$folder/complete"
echo "$folder"
