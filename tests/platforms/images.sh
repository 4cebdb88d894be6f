#!/usr/bin/env bash
# Sourced: local images that need no external registry. BASE contains this machine's glibc, libgcc and CA
# certificates, an unprivileged user, and no shell; PROGRAMS contains this repository's built programs at the
# paths that the Dockerfiles expect.

# images ENGINE [REGISTRY]: builds localhost/fleetmark-test/controller and /agent with docker or podman, in
# the folder $work. With a registry address, the base is pushed there and referenced by digest, as in the
# Dockerfiles. Sets $base to its name and $revision to the commit. FLEETMARK_DOCUMENTS names existing output
# of tools/release.sh doc.
images() {
    local engine=$1 registry=${2:-} root library format=()
    base=localhost/fleetmark-test/base
    revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
    # The OCI format doesn't support health checks.
    [ "$engine" != podman ] || format=(--format docker)
    root=$(mktemp -d "$work/images.XXXXXX")
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
    if [ -n "${FLEETMARK_DOCUMENTS:-}" ]; then
        cp -r "$FLEETMARK_DOCUMENTS"/. "$root/out/doc/"
    elif command -v cargo-about >/dev/null && command -v cargo-cyclonedx >/dev/null; then
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
    if [ -n "$registry" ]; then
        "$engine" tag "$base" "$registry/base"
        "$engine" push -q "$registry/base" >/dev/null
        base=$("$engine" image inspect -f '{{index .RepoDigests 0}}' "$registry/base")
        "$engine" rmi "$registry/base" localhost/fleetmark-test/base >/dev/null
        echo "the base is $base"
    fi
    for name in controller agent; do
        "$engine" build -q "${format[@]}" -f "deploy/docker/$name.Dockerfile" -t "localhost/fleetmark-test/$name" \
            --build-arg BASE_IMAGE="$base" --build-arg PROGRAMS=localhost/fleetmark-test/programs --build-arg BUILD_IMAGE="$base" \
            --build-arg VERSION="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)" \
            --build-arg REVISION="$revision" . >/dev/null
    done
    rm -rf "$root"
}
