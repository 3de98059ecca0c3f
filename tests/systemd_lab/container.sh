#!/bin/sh
# container.sh NAME ROOT [OPTION OF SYSTEMD-NSPAWN...]
#
# Boots a systemd in a container over ROOT (which is not written), says "leader PID" when it is up, and keeps it until
# stdin ends; then nothing of it is left. `nsenter -t PID -a COMMAND` runs a command in it, /proc/PID/root shows its
# files. For a look around by hand:
#
#     tests/systemd_lab/container.sh look target/systemd-lab/trixie --bind-ro="$PWD:/src"
#
# Needs no systemd on the host, but root, and cgroup v2 mounted somewhere.
set -eu
name="$1"
root="$2"
shift 2

# One cgroup in the unified hierarchy, and one in systemd's own where the host has that beside it.
trees="$(awk '$3 == "cgroup2" || ($3 == "cgroup" && $4 ~ /name=systemd/) { print $2 }' /proc/self/mounts)"
log="$root.$name.log"

clean_up() {
    trap - EXIT INT TERM HUP
    for tree in $trees; do
        # A killed systemd-nspawn would leave its container behind.
        [ ! -e "$tree/$name/cgroup.kill" ] || echo 1 >"$tree/$name/cgroup.kill"
    done
    for tree in $trees; do
        tries=0
        while [ -d "$tree/$name" ] && [ "$tries" -lt 500 ]; do
            find "$tree/$name" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.02
            tries=$((tries + 1))
        done
    done
    rmdir "/run/systemd/nspawn/propagate/$name" 2>/dev/null || true
    lock="/run/systemd/nspawn/locks/inode-$(stat -c %d:%i "$root")"
    [ ! -e "$lock" ] || flock -n "$lock" rm -f "$lock" || true
    rm -f "$log"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# shellcheck disable=SC2016
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 sh -c '
    for tree in $1; do mkdir "$tree/$2" && echo $$ >"$tree/$2/cgroup.procs" || exit 1; done
    shift 2
    exec setsid systemd-nspawn "$@"
' sh "$trees" "$name" -q -D "$root" -M "$name" --boot --register=no --keep-unit --volatile=overlay --private-network \
    --console=passive "$@" </dev/null >"$log" 2>&1 &
nspawn=$!

tries=0
while :; do
    # Its only child, once the container is made.
    leader="$(cut -d' ' -f1 "/proc/$nspawn/task/$nspawn/children" 2>/dev/null)" || leader=""
    [ -z "$leader" ] || state="$(nsenter -t "$leader" -a systemctl is-system-running 2>/dev/null)" || true
    [ "${state:-}" != running ] || break
    tries=$((tries + 1))
    if [ "$tries" -ge 600 ] || ! kill -0 "$nspawn" 2>/dev/null; then
        echo "container.sh: no running systemd in it (${state:-not even begun}):" >&2
        cat "$log" >&2
        exit 1
    fi
    sleep 0.05
done
echo "leader $leader"
cat >/dev/null
