#!/usr/bin/env bash
# The Debian package: two builds give the same bytes, lintian, the units' rating. That of this machine in a bare Debian 12: install, an upgrade that
# keeps the configuration and a filled buffer, remove, purge; needs root (debootstrap, chroot). That of another machine is unpacked: the same
# files with the same rights as this machine's, and its program runs under qemu-user. usage: package.sh [ARCH]     amd64 arm64 armhf
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
arch=${1:-amd64}
work=$(mktemp -d)
box=$work/box
trap 'rm -rf --one-file-system "$work"' EXIT
fail() { echo "package: $*" >&2; exit 1; }
inside() { chroot "$box" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"; }

native=$(dpkg --print-architecture)
if [ "$arch" = "$native" ]; then others=(debootstrap); else others=(qemu-user-static file); fi
"$root/ports/static/packages" lintian systemd man-db "${others[@]}"
deb=$("$root/ports/debian/build" "$arch" --out "$work/first" | cut -d' ' -f1)
again=$("$root/ports/debian/build" "$arch" --out "$work/second" | cut -d' ' -f1)
cmp "$deb" "$again" || fail "two builds differ"
said=$(lintian --allow-root --info "$deb" 2>&1) || true
[ -z "$said" ] || fail "lintian: $said"
for unit in weir.service weir@.service; do
  systemd-analyze security --offline=true --threshold=15 --no-pager "$root/ports/debian/$unit" | tail -n 1
done

if [ "$arch" != "$native" ]; then
  field() { dpkg-deb -f "$deb" "$1"; }
  [ "$(field Architecture)" = "$arch" ] || fail "it says $(field Architecture)"
  named() { dpkg-deb --fsys-tarfile "$1" | tar -tv --full-time | sed -E 's/^(\S+ \S+) +[0-9]+ /\1 /' | sort -k 5; } # rights, owner, time, name; no size
  ours=$("$root/ports/debian/build" "$native" --out "$work/native" | cut -d' ' -f1)
  diff <(named "$ours") <(named "$deb") || fail "other files than those of $native"
  said() { dpkg-deb -f "$1" | sed -E '/^(Architecture|Installed-Size):/d'; }
  diff <(said "$ours") <(said "$deb") || fail "it says other things than that of $native"
  for part in conffiles postinst prerm postrm; do
    cmp <(dpkg-deb -I "$ours" $part) <(dpkg-deb -I "$deb" $part) || fail "another $part than that of $native"
  done
  dpkg-deb -R "$deb" "$work/tree"
  (cd "$work/tree" && md5sum -c --quiet DEBIAN/md5sums) || fail "checksums"
  case $arch in arm64) emulator=qemu-aarch64-static machine="ARM aarch64" ;; armhf) emulator=qemu-arm-static machine="ARM, EABI5" ;; *) fail "no emulator for $arch" ;; esac
  file -b "$work/tree/usr/bin/weir" | grep -q "$machine.*statically linked.*, stripped" || fail "$(file -b "$work/tree/usr/bin/weir")"
  [ "$($emulator "$work/tree/usr/bin/weir" version)" = "weir $(field Version)" ] || fail "the program says $($emulator "$work/tree/usr/bin/weir" version)"
  sed "s|/var/lib/weir|$work/var|g" "$work/tree/etc/weir/weir.json" >"$work/weir.json"
  mkdir "$work/var"
  $emulator "$work/tree/usr/bin/weir" check "$work/weir.json" >"$work/log" 2>&1 || fail "the configuration that comes with it has mistakes: $(cat "$work/log")"
  echo "package $arch unpacked $(stat -c %s "$deb")"
  exit 0
fi

mirror=$({ cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null || true; } |
  awk '/^URIs:/ {print $2; exit} $1 == "deb" {for (i = 2; i <= NF; i++) if ($i ~ /^http/) {print $i; exit}}')
base=$root/build/static/bookworm.tar
if [ ! -f "$base" ]; then
  debootstrap --variant=minbase --include=adduser,init-system-helpers bookworm "$work/base" "$mirror" >"$work/log" 2>&1 || fail "debootstrap: $(tail -n 5 "$work/log")"
  tar -cf "$base.new" -C "$work/base" . && mv "$base.new" "$base"
fi
mkdir "$box"
tar -xf "$base" -C "$box"
cp "$deb" "$box/weir.deb"

inside dpkg -i /weir.deb >"$work/log" 2>&1 || fail "install: $(cat "$work/log")"
[ "$(inside stat -c '%U %a' /var/lib/weir)" = "weir 750" ] || fail "rights of /var/lib/weir"
[ "$(inside stat -c '%U %G %a' /etc/weir)" = "root weir 750" ] || fail "rights of /etc/weir"
inside weir check >/dev/null || fail "the configuration that comes with it has mistakes"
port=$(python3 "$root/tests/services/free_ports.py" 1) # the one in the file may be taken here
sed -i "s/127.0.0.1:8080/127.0.0.1:$port/" "$box/etc/weir/weir.json"
chroot --userspec=weir:weir "$box" /usr/bin/weir run /etc/weir/weir.json 2>"$work/agent.log" &
agent=$!
for _ in $(seq 600); do curl -sf -o /dev/null -d 'one event' "http://127.0.0.1:$port/events" && break; kill -0 $agent || fail "the agent: $(cat "$work/agent.log")"; sleep 0.1; done
kill -TERM "$agent" # chroot has become the agent
wait "$agent" || fail "the agent's end: $(cat "$work/agent.log")"
[ -s "$box/var/lib/weir/buffer.db" ] || fail "no buffer"
before=$(sha256sum <"$box/var/lib/weir/buffer.db")

# An upgrade to a later version, over a configuration and rights of the user's own.
inside chgrp adm /etc/weir
inside chmod 751 /etc/weir
echo '{"streams":{"mine":{}},"drivers":{"post":{"type":"http","listen":"127.0.0.1:8081","stream":"mine"}},"uplinks":{"files":{"type":"file","path":"/var/lib/weir/out"}}}' >"$box/etc/weir/weir.json"
dpkg-deb -R "$deb" "$work/later"
sed -i 's/^Version: .*/&+1/' "$work/later/DEBIAN/control"
dpkg-deb --root-owner-group -b "$work/later" "$box/later.deb" >/dev/null
# A stand-in of systemd's tool: what is asked of it.
mkdir -p "$box/run/systemd/system"
printf '#!/bin/sh\necho "$*" >>/asked\n' >"$box/usr/bin/systemctl"
chmod 755 "$box/usr/bin/systemctl"
asked() { grep -qxF -e "$1" "$box/asked" || fail "systemctl was not asked: $1; but: $(cat "$box/asked")"; }
inside dpkg -i /later.deb >"$work/log" 2>&1 || fail "upgrade: $(cat "$work/log")"
[ "$(inside stat -c '%U %G %a' /etc/weir)" = "root adm 751" ] || fail "the upgrade has changed the rights of /etc/weir"
asked '--quiet --system restart weir.service'
asked 'try-restart weir@*.service'
grep -q mine "$box/etc/weir/weir.json" || fail "the upgrade has overwritten the configuration"
[ "$before" = "$(sha256sum <"$box/var/lib/weir/buffer.db")" ] || fail "the upgrade has changed the buffer"

inside dpkg -r weir >"$work/log" 2>&1 || fail "remove: $(cat "$work/log")"
asked 'stop weir.service weir@*.service'
[ ! -e "$box/usr/bin/weir" ] || fail "the program is still there"
[ -e "$box/etc/weir/weir.json" ] && [ -e "$box/var/lib/weir/buffer.db" ] || fail "remove has taken configuration or buffer"
inside dpkg -P weir >"$work/log" 2>&1 || fail "purge: $(cat "$work/log")"
for gone in /etc/weir /var/lib/weir; do [ ! -e "$box$gone" ] || fail "purge has left $gone: $(ls -la "$box$gone")"; done
! inside getent passwd weir >/dev/null || fail "purge has left the user"

# Again: rights chosen before the first install, and a buffer on a disk of its own.
inside dpkg-statoverride --add root adm 755 /etc/weir
inside dpkg -i /weir.deb >"$work/log" 2>&1 || fail "install again: $(cat "$work/log")"
[ "$(inside stat -c '%U %G %a' /etc/weir)" = "root adm 755" ] || fail "the override of /etc/weir is not respected: $(inside stat -c '%U %G %a' /etc/weir)"
if unshare --mount true 2>/dev/null; then
  unshare --mount --propagation private sh -ec "mount -t tmpfs none '$box/var/lib/weir'; touch '$box/var/lib/weir/buffer.db'; chroot '$box' /usr/bin/env -i \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin dpkg -P weir; [ -z \"\$(ls -A '$box/var/lib/weir')\" ]" >"$work/log" 2>&1 || fail "purge over a mount point: $(cat "$work/log")"
  ! inside dpkg -s weir >/dev/null 2>&1 || fail "it is still known after a purge"
fi
echo "package $arch install upgrade remove purge"
