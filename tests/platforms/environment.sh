#!/usr/bin/env bash
# Sourced by the parts of tests/platforms.sh: locates the programs and installs dependencies.

# Folder of the built programs.
programs=$(realpath "${FLEETMARK_PROGRAMS:-target/release}")
[ -x "$programs/agent" ] && [ -x "$programs/controller" ] || { echo "no programs in $programs: cargo build --release" >&2; exit 2; }

# Parts that can't run here print the reason and exit with this code.
SKIPPED=77
skip() { echo "skipped: $*" >&2; exit $SKIPPED; }
needs_root() { [ "$(id -u)" = 0 ] || skip "it needs root"; }

# needs PACKAGE PROGRAM: installs the Debian package if the program is missing.
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

# isolated: re-executes this part in separate network and mount namespaces, after its dependencies are
# installed. Engines leave bridges, firewall rules, forwarding and mounts behind; the namespaces remove them
# with the last process.
isolated() {
    if [ -z "${FLEETMARK_ISOLATED:-}" ]; then
        FLEETMARK_ISOLATED=1 exec unshare --net --mount "$PWD/tests/platforms/$(basename "$0")"
    fi
    ip link set lo up
}

# without_groups NAME: removes the engine's leftover empty control groups of this name.
without_groups() { find /sys/fs/cgroup -depth -type d -path "*/$1*" -exec rmdir {} + 2>/dev/null || true; }

# python_with PACKAGE...: a Python with these packages, cached in target/platforms.
python_with() {
    local venv=target/platforms/venv
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "$@" || skip "PyPI isn't reached"
    echo "$venv/bin"
}
