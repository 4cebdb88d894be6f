#!/usr/bin/env bash
# Sourced: local images, where no registry is reached. BASE has glibc, libgcc and CA certificates of this machine, and a user
# without rights, and no shell; PROGRAMS has this repository's built programs where the Dockerfiles look for them.

# images ENGINE: makes fleetmark-test/base, /programs, /controller and /agent with docker or podman.
images() {
    local engine=$1 root library format=()
    # Health checks are no part of OCI's own format.
    [ "$engine" != podman ] || format=(--format docker)
    root=$(mktemp -d)
    for library in $(ldd "$programs/controller" "$programs/agent" | grep -o '/[^ ]*' | grep -v ':$' | sort -u) \
        /lib/x86_64-linux-gnu/libnss_{dns,files}.so.2 /lib/x86_64-linux-gnu/libresolv.so.2; do
        mkdir -p "$root/base$(dirname "$library")"
        cp -L "$library" "$root/base$library"
    done
    mkdir -p "$root/base/etc/ssl/certs" "$root/out/doc"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/base/etc/ssl/certs/"
    echo 'nonroot:x:65532:65532::/:/sbin/nologin' >"$root/base/etc/passwd"
    echo 'nonroot:x:65532:' >"$root/base/etc/group"
    echo 'hosts: files dns' >"$root/base/etc/nsswitch.conf"
    printf 'FROM scratch\nCOPY base /\nUSER 65532:65532\n' >"$root/base.Dockerfile"

    cp "$programs/controller" "$programs/agent" "$root/out/"
    strip "$root"/out/controller "$root"/out/agent
    if command -v cargo-about >/dev/null && command -v cargo-cyclonedx >/dev/null; then
        tools/release.sh doc "$root/out"
    else
        cp LICENSE "$root/out/doc/"
        echo "images hold no list of parts: cargo-about and cargo-cyclonedx are missing (cargo install)"
    fi
    mkdir "$root/out/empty"
    printf 'FROM scratch\nCOPY out /out\n' >"$root/programs.Dockerfile"

    local name
    for name in base programs; do
        "$engine" build -q "${format[@]}" -f "$root/$name.Dockerfile" -t "localhost/fleetmark-test/$name" "$root" >/dev/null
    done
    for name in controller agent; do
        "$engine" build -q "${format[@]}" -f "deploy/docker/$name.Dockerfile" -t "localhost/fleetmark-test/$name" \
            --build-arg BASE_IMAGE=localhost/fleetmark-test/base --build-arg PROGRAMS=localhost/fleetmark-test/programs \
            --build-arg BUILD_IMAGE=localhost/fleetmark-test/base \
            --build-arg VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)" \
            --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || echo unknown)" . >/dev/null
    done
    rm -rf "$root"
}
