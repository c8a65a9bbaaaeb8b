#!/bin/sh
# A double of OpenWrt's /etc/rc.common and of procd, for one instance of one service: it writes down what an init script asks for (/tmp/procd), and
# does it: user, limits, signals, starting again. usage: as the first line of an init script says: rc.common SCRIPT start|stop|restart|reload
script=$1 verb=$2
file=/var/run/procd.pid

procd_open_instance() { command='' user='' limits='' respawn='' patience=5; }

procd_set_param() {
	what=$1
	shift
	echo "$what $*" >>/tmp/procd
	case $what in
		command) command="$*" ;;
		user) user=$1 ;;
		group) group=$1 ;;
		limits) limits="$*" ;;
		respawn) respawn=$2 ;;
		term_timeout) patience=$1; echo "$1" >/var/run/procd.patience ;;
		stdout | stderr | no_new_privs) ;;
		*) echo "procd has no parameter $what" >&2; exit 1 ;;
	esac
}

procd_close_instance() {
	[ -n "$command" ] || { echo "no command" >&2; exit 1; }
	if [ -r $file ] && kill -0 "$(cat $file)" 2>/dev/null; then return; fi # the same instance: it goes on
	export command user group limits respawn
	start-stop-daemon -S -q -b -m -p $file -x /etc/rc.common -- "$script" procd
}

procd_send_signal() { # SERVICE INSTANCE SIGNAL
	[ "$1" = "$(basename "$script")" ] || { echo "no service $1" >&2; exit 1; }
	kill "-$3" "$(cat /var/run/procd.child)"
}

procd_add_reload_trigger() { echo "trigger reload $*" >>/tmp/procd; }

# procd itself: the command as its user, again after each end.
procd() {
	stopping=''
	trap 'stopping=1; kill -TERM "$child" 2>/dev/null' TERM
	rm -f /var/run/procd.log
	mkfifo /var/run/procd.log
	logger -t weir </var/run/procd.log &
	exec >/var/run/procd.log 2>&1
	for limit in $limits; do
		case $limit in
			core=*) ulimit -c "${limit#core=}" ;;
			nofile=*) ulimit -n "${limit#nofile=}" ;;
		esac
	done
	while [ -z "$stopping" ]; do
		# shellcheck disable=SC2086
		start-stop-daemon -S -q -c "$user:$group" -x ${command%% *} -- ${command#* } &
		child=$!
		echo $child >/var/run/procd.child
		while kill -0 $child 2>/dev/null; do wait $child; done
		[ -n "$respawn" ] || break
		[ -n "$stopping" ] || { sleep "$respawn" & wait $!; }
	done
}

stop() {
	[ -r $file ] || return 0
	process=$(cat $file)
	kill -TERM "$process" 2>/dev/null
	left=$(cat /var/run/procd.patience)
	while kill -0 "$process" 2>/dev/null && [ "$left" -gt 0 ]; do sleep 1; left=$((left - 1)); done
	if kill -0 "$process" 2>/dev/null; then kill -KILL "$(cat /var/run/procd.child)"; fi
	rm -f $file
}

START='' STOP='' USE_PROCD=''
. "$script"
[ "$USE_PROCD" = 1 ] && [ "$START" -gt 0 ] && [ "$STOP" -gt 0 ] || { echo "no START, STOP, USE_PROCD" >&2; exit 1; }
case $verb in
	start) service_triggers; start_service ;;
	stop) stop ;;
	restart) stop; start_service ;;
	reload) reload_service ;;
	procd) procd ;;
	*) exit 1 ;;
esac
