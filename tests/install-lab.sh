#!/bin/sh
# Installs what the stories under a real systemd need: systemd-nspawn, and root file systems of Debian 13 (systemd 257) and
# Debian 12 (252) under target/, which are kept. Takes root, Debian and a network once; where one is missing it says so and
# fails.
set -eu
cd "$(dirname "$0")/.."
roots="${CARGO_TARGET_DIR:-target}/systemd-lab"

# Written last, so what was interrupted is begun anew. Raise the number when the list of packages changes.
edition=1
is_made() {
    [ "$(cat "$roots/$1.edition" 2>/dev/null || true)" = "$edition" ]
}
is_made trixie && is_made bookworm && command -v systemd-nspawn >/dev/null 2>&1 && exit 0

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

mkdir -p "$roots"
for suite in trixie bookworm; do
    is_made "$suite" && continue
    echo "install-lab: making $roots/$suite (some 20 s)"
    rm -rf "${roots:?}/$suite" "$roots/$suite.edition"
    # Nobody lives there.
    mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,dbus \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$roots/$suite"
    echo "$edition" >"$roots/$suite.edition"
done
