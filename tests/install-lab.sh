#!/bin/sh
# Installs what the stories under a real systemd need: systemd-nspawn, and a root file system of Debian 13 (systemd 257)
# under target/, which is kept. Takes root, Debian and a network once; where one is missing it says so and fails.
set -eu
cd "$(dirname "$0")/.."
suite=trixie
root="${CARGO_TARGET_DIR:-target}/systemd-lab/$suite"

# Written last, so what was interrupted is begun anew. Raise the number when the list of packages changes.
edition=1
[ "$(cat "$root.edition" 2>/dev/null || true)" = "$edition" ] && command -v systemd-nspawn >/dev/null 2>&1 && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    echo "install-lab: the stories under a real systemd need root on Debian" >&2
    exit 1
fi
missing=""
command -v systemd-nspawn >/dev/null 2>&1 || missing="$missing systemd-container"
command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap"
if [ -n "$missing" ]; then
    echo "install-lab: installing$missing"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi

echo "install-lab: making $root (some 20 s)"
rm -rf "$root" "$root.edition"
mkdir -p "$root"
# It is nobody's system: no documentation, and no log file that has to reach the disk.
mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$root"
echo "$edition" >"$root.edition"
