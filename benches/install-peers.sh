#!/bin/sh
# Installs the peers that benches/side_by_side compares sluiced with. Does nothing where they are all there. As root on Debian
# it installs; else it says what is missing and fails. No service of theirs is left running.
set -eu

missing=""
need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need tee coreutils
need socat socat
need pv pv
need mbuffer mbuffer
need parallel parallel
need syslog-ng syslog-ng-core
need s6-svscan s6

if [ -z "$missing" ]; then
    echo "install-peers: all are there"
    exit 0
fi
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "install-peers: missing:$missing" >&2
    echo "install-peers: run as root: apt-get install --no-install-recommends$missing" >&2
    exit 1
fi
echo "install-peers: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# Their packages would start services: invoke-rc.d(8) asks this script, which forbids that.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
