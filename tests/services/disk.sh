#!/usr/bin/env bash
# A small file system of its own in a file (a loop device), which can be filled, break, and lose power, while the rest of the machine goes on.
# usage: disk.sh make DIR MiB ext4|xfs|f2fs    mounts a fresh one at DIR/disk; xfs wants at least 300 MiB
#        disk.sh fill DIR                      another program takes the last block
#        disk.sh free DIR                      and gives everything back
#        disk.sh cut DIR                       as a pulled plug: what was not synced is gone, every access fails from now on
#        disk.sh error DIR                     ext4: the kernel finds an error and makes it read-only
#        disk.sh back DIR                      mounts it again, as after a reboot: the journal is replayed. What is still open in it
#                                              stays open in the old, dead one
#        disk.sh mount DIR                     only that, when it is not
#        disk.sh drop DIR                      unmounts and removes everything; harmless when there is nothing
#        disk.sh can ext4|xfs|f2fs             exit 77 and what is missing, when the machine can't do this
#
# Why a loop device: only a real file system has real caches between write and medium, allocates blocks late, and turns read-only by itself.
# `cut` is the file systems' own test of that (xfs_io shutdown, for ext4 and f2fs as well): it stops journal and data writes at once.
set -euo pipefail
usage() { sed -n '2,13{s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
[ $# -ge 2 ] || usage
verb=$1 dir=$2

mount_it() {
  local options=noatime
  [ "$(cat "$dir/kind")" = ext4 ] && options=noatime,errors=remount-ro,commit=60
  [ "$(cat "$dir/kind")" = xfs ] && options=noatime,nouuid     # the dead one may still be there
  # A loop device of its own, which goes with its mount: `mount -o loop` would take the one of a dead mount that is still open.
  local device
  device=$(losetup -f --show "$dir/image")
  mount -o "$options" "$device" "$dir/disk" || { losetup -d "$device"; return 1; }
  losetup -d "$device"
}

# The last block: large pieces first, then single bytes.
fill() {
  local size
  for size in 1M 64K 4K 1; do
    dd if=/dev/zero of="$dir/disk/others.$size" bs=$size count=100000 conv=fsync status=none 2>/dev/null || true
  done
  sync -f "$dir/disk"
}

can() {
  [ "$(id -u)" = 0 ] || { echo "no root: a file system can't be mounted"; exit 77; }
  [ -e /dev/loop-control ] && losetup -f >/dev/null 2>&1 || { echo "no loop device"; exit 77; }
  grep -qw "$1" /proc/filesystems || modprobe -q "$1" 2>/dev/null || { echo "the kernel has no $1"; exit 77; }
  command -v "mkfs.$1" >/dev/null || { echo "no mkfs.$1"; exit 77; }
  command -v xfs_io >/dev/null || { echo "no xfs_io (package xfsprogs)"; exit 77; }
}

case $verb in
  make)
    [ $# -eq 4 ] || usage
    mkdir -p "$dir/disk"
    echo "$4" >"$dir/kind"
    truncate -s "$3M" "$dir/image"
    options=(-q)
    [ "$4" = ext4 ] && options=(-q -m 0)      # no blocks kept for root
    "mkfs.$4" "${options[@]}" "$dir/image" >/dev/null
    mount_it
    ;;
  fill) fill ;;
  free) rm -f "$dir"/disk/others.* && sync -f "$dir/disk" ;;
  cut) xfs_io -x -c shutdown "$dir/disk" ;;
  error)
    device=$(findmnt -n -o SOURCE "$dir/disk")
    echo weir >"/sys/fs/ext4/${device##*/}/trigger_fs_error"
    ;;
  back)
    umount -l "$dir/disk"
    mount_it
    ;;
  mount) mount_it ;;
  drop)
    if mountpoint -q "$dir/disk" 2>/dev/null; then umount "$dir/disk" 2>/dev/null || umount -l "$dir/disk"; fi
    rm -rf "$dir"
    ;;
  can) can "$2" ;;
  *) usage ;;
esac
