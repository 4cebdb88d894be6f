#!/usr/bin/env bash
# Builds both CPU images from their first stage on, which compiles everything: half an hour on two cores,
# so tests/platforms.sh runs it only if named explicitly. BUILD_IMAGE is a Debian 12 by debootstrap with
# gcc and this machine's Rust toolchain, because no image registry is contacted; crates come from their
# registry. If FLEETMARK_RELEASE names an output folder of tools/release.sh on this system, the programs
# must be byte-identical to those of the same commit in it.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
needs_root
needs docker.io /usr/sbin/dockerd; needs debootstrap debootstrap
for tool in cargo-about cargo-cyclonedx; do command -v $tool >/dev/null || skip "$tool is missing (cargo install)"; done

work=$(mktemp -d /var/tmp/fleetmark-compile.XXXXXX)
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=1 DOCKER_CONFIG=$work/config
PATH=/usr/bin:$PATH
# No bridge and no firewall rules: image builds use this machine's network.
/usr/sbin/dockerd --data-root "$work/data" --exec-root "$work/exec" -H "$DOCKER_HOST" --pidfile "$work/pid" \
    --bridge=none --iptables=false --ip-forward=false >"$work/log" 2>&1 &
engine=$!
clean() {
    kill $engine 2>/dev/null || true
    wait $engine 2>/dev/null || true
    umount "$work/root/proc" 2>/dev/null || true
    without_groups docker
    rm -rf "$work"
}
trap clean EXIT
for _ in $(seq 100); do docker info >/dev/null 2>&1 && break; sleep 0.1; done
docker info >/dev/null 2>&1 || { cat "$work/log" >&2; exit 1; }

echo "== what it is built on"
root=$work/root
debootstrap --variant=minbase --include=gcc,g++,libc6-dev,make,pkg-config,ca-certificates bookworm "$root" >"$work/debootstrap" 2>&1 ||
    { tail -5 "$work/debootstrap" >&2; skip "Debian's packages aren't reached"; }
umount "$root/proc" 2>/dev/null || true
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
tar -C "$root" -cf - ./lib ./lib64 ./usr/lib64 ./usr/lib/x86_64-linux-gnu/{libc.so.6,libm.so.6,libgcc_s.so.1,ld-linux-x86-64.so.2} \
    ./etc/ssl/certs/ca-certificates.crt | docker import - localhost/fleetmark-test/base >/dev/null
mkdir -p "$root/usr/local/rust" "$root/usr/local/cargo/bin"
toolchain=$(rustc --print sysroot)
cp -rL "$toolchain"/{bin,lib} "$root/usr/local/rust/"
# Preinstalled, so that the Dockerfile's cargo install has nothing to do.
for tool in cargo-about cargo-cyclonedx; do
    from=$(dirname "$(dirname "$(command -v $tool)")")
    cp "$from/bin/$tool" "$root/usr/local/cargo/bin/"
    cp "$from"/.crates{.toml,2.json} "$root/usr/local/cargo/"
done
tar -C "$root" --exclude='./var/cache/apt/*' -cf - . | docker import -c 'ENV CARGO_HOME=/usr/local/cargo' \
    -c 'ENV PATH=/usr/local/cargo/bin:/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - localhost/fleetmark-test/build >/dev/null
rm -rf "$root"

for name in controller agent; do
    echo "== $name"
    docker build --network host --progress plain -f "deploy/docker/$name.Dockerfile" -t "localhost/fleetmark-test/$name" \
        --build-arg BUILD_IMAGE=localhost/fleetmark-test/build --build-arg BASE_IMAGE=localhost/fleetmark-test/base . >"$work/$name.log" 2>&1 ||
        { tail -60 "$work/$name.log" >&2; exit 1; }
    docker run --rm --read-only --network none "localhost/fleetmark-test/$name" --version
    container=$(docker create --network none "localhost/fleetmark-test/$name")
    docker cp "$container:/usr/local/bin/$name" "$work/$name"
    docker cp "$container:/usr/share/doc/fleetmark" "$work/doc-$name"
    for file in LICENSE THIRD-PARTY.txt $name.cdx.json; do [ -s "$work/doc-$name/$file" ] || { echo "$name holds no $file" >&2; exit 1; }; done
    sha256sum "$work/$name"
    if [ -n "${FLEETMARK_RELEASE:-}" ]; then
        cmp "$work/$name" "$FLEETMARK_RELEASE/$name"
        echo "it has the bytes of $FLEETMARK_RELEASE/$name"
    fi
done
