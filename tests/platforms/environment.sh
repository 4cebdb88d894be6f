#!/usr/bin/env bash
# Sourced by the parts of tests/platforms.sh: where the programs are, and what is installed.

# The built programs: FLEETMARK_PROGRAMS names another folder.
programs=$(realpath "${FLEETMARK_PROGRAMS:-target/release}")
[ -x "$programs/agent" ] && [ -x "$programs/controller" ] || { echo "no programs in $programs: cargo build --release" >&2; exit 2; }

# A part that can't run here says why and exits with this code.
SKIPPED=77
skip() { echo "skipped: $*" >&2; exit $SKIPPED; }
needs_root() { [ "$(id -u)" = 0 ] || skip "it needs root"; }

# needs PACKAGE PROGRAM: installs Debian's package where the program is missing.
has_read_lists=
needs() {
    command -v "$2" >/dev/null && return
    [ "$(id -u)" = 0 ] || skip "$2 is missing: apt-get install $1"
    command -v apt-get >/dev/null || skip "$2 is missing, and there is no apt-get"
    [ -n "$has_read_lists" ] || apt-get update -qq >/dev/null 2>&1 || skip "Debian's packages aren't reached"
    has_read_lists=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null 2>&1 ||
        skip "$1 can't be installed"
}

# isolated: goes on with this part in a network and a mount namespace of its own, when all that it needs is installed. Engines
# leave bridges, rules of the firewall, forwarding and mounts behind; here they are gone with the last process.
isolated() {
    if [ -z "${FLEETMARK_ISOLATED:-}" ]; then
        FLEETMARK_ISOLATED=1 exec unshare --net --mount "$PWD/tests/platforms/$(basename "$0")"
    fi
    ip link set lo up
}

# without_groups NAME: removes the control groups of this name that an engine leaves behind, where nothing runs in them.
without_groups() { find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} + 2>/dev/null || true; }

# python_with PACKAGE...: a Python with these packages, kept in target/platforms.
python_with() {
    local venv=target/platforms/venv
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "$@" || skip "PyPI isn't reached"
    echo "$venv/bin"
}
