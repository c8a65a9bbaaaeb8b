#!/usr/bin/env bash
# A thin link for one command: two network name spaces, joined by one cable whose both directions are shaped.
# usage: link.sh RATE QUEUE_MS COMMAND [ARG...]          RATE as tc writes it: 64kbit, 9600bit
# COMMAND runs on the far side (10.91.0.2, where the cloud is); what shall run on the site's side (10.91.0.1) is started with the
# prefix $WEIR_NEAR. What is queued for longer than QUEUE_MS is dropped. The cable is pulled and put back with
# `$WEIR_NEAR ip link set near down` and `up`; the shaping ends with `tc qdisc del dev far root`, and near's with the prefix.
# Any number may run at a time: nothing of it is seen outside. Needs root, or user name spaces; iproute2 and util-linux.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0" >&2; exit 2; }

if [ -z "${WEIR_LINK_IS_APART:-}" ]; then             # the far side's name space is this process's own
  export WEIR_LINK_IS_APART=1
  user=()
  [ "$(id -u)" = 0 ] || user=(-Ur)
  exec unshare "${user[@]}" -n "$0" "$@"
fi

rate=$1 queue=$2
shift 2
unshare -n sleep infinity &                           # who keeps the near side's
holder=$!
trap 'kill $holder' EXIT
until [ "$(readlink "/proc/$holder/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
export WEIR_NEAR="nsenter -t $holder -n"

ip link add far type veth peer name near netns "$holder"
for side in "far 2" "near 1"; do
  read -r dev host <<<"$side"
  on=
  [ "$dev" = far ] || on=$WEIR_NEAR
  $on ip addr add "10.91.0.$host/24" dev "$dev"
  $on ip link set lo up
  $on ip link set "$dev" up
  # Packets of the full size have to fit the bucket; larger ones, which the kernel makes for itself, tbf cuts.
  $on tc qdisc add dev "$dev" root tbf rate "$rate" burst 3kb latency "${queue}ms"
done

"$@"
