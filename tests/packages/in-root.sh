#!/usr/bin/env bash
# Runs a command in a root that root.sh made, in namespaces of its own: what it starts ends with it, and what it mounts is
# seen by nobody else. The root is "/" for it and no chroot, so that it may do all that a machine of its own may.
#
#   in-root.sh ROOT [--own-network] [--bind FOLDER]... COMMAND...
#                     as root. FOLDER is at the same path in the root; --own-network: nothing but a loopback of its own
set -euo pipefail

root=$(cd "${1:?root}" && pwd)
shift
namespaces=(--mount --pid --fork --kill-child) binds=() own_network=0
while [[ ${1-} == --* ]]; do
  case $1 in
    --own-network)
      namespaces+=(--net)
      own_network=1
      ;;
    --bind)
      binds+=("${2:?folder}")
      shift
      ;;
    *)
      echo "in-root: $1 is unknown" >&2
      exit 2
      ;;
  esac
  shift
done

# shellcheck disable=SC2016 # The inner shell's.
exec unshare "${namespaces[@]}" bash -c '
  set -euo pipefail
  root=$1 own_network=$2 binds=$3
  shift 3
  if ((own_network)); then ip link set lo up; fi
  mount --make-rprivate /
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
  mount --rbind /dev "$root/dev"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  if [[ -e /etc/resolv.conf ]]; then
    touch "$root/etc/resolv.conf"
    mount --bind "$(realpath /etc/resolv.conf)" "$root/etc/resolv.conf"
  fi
  for ((; binds > 0; binds--)); do
    mkdir -p "$root$1"
    mount --rbind "$1" "$root$1"
    shift
  done
  cd "$root"
  pivot_root . mnt
  cd /
  umount --lazy /mnt
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
  exec "$@"
' in-root "$root" "$own_network" "${#binds[@]}" "${binds[@]}" "$@"
