#!/bin/sh
# Installs what the tests need beside cargo: strace, socat, setsid, setpriv, ps and the like, and PyPI's varlink client in a venv under
# target/; then what the stories under a real systemd need (install-lab.sh). Does nothing where it is all there. As root on
# Debian it installs; else it says what is missing and fails.
set -eu
cd "$(dirname "$0")/.."
venv="${CARGO_TARGET_DIR:-target}/test-venv"

missing=""
need() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need strace strace
need socat socat
need setpriv util-linux
need python3 python3
need setsid util-linux
need gzip gzip
need tar tar
need sha256sum coreutils
if command -v python3 >/dev/null 2>&1; then
    python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || missing="$missing python3-venv"
else
    missing="$missing python3-venv"
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "install-tools: installing$missing"
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -y -qq --no-install-recommends $missing >/dev/null
    else
        echo "install-tools: missing:$missing" >&2
        echo "install-tools: run as root: apt-get install$missing" >&2
        exit 1
    fi
fi

if ! "$venv/bin/python" -c 'import varlink' >/dev/null 2>&1; then
    echo "install-tools: PyPI's varlink into $venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check 'varlink==31.0.0'
fi

# A machine may have all else and yet no privilege for containers: then those stories say SKIPPED, in CI too.
tests/install-lab.sh || echo "install-tools: no container with a real systemd: its stories will be SKIPPED" >&2
