#!/usr/bin/env bash
# Builds a release, or only its programs.
#
# usage: tools/release.sh [OUT]                    from the last commit: archive, checksums, licenses, SBOMs; OUT: target/release-VERSION
#        tools/release.sh programs OUT [CARGO...]  from this folder: controller, agent and doc/, for the images
#        tools/release.sh doc OUT                  doc/ only
#        tools/release.sh verify ARCHIVE           checks the programs in an archive, as a release does
#        tools/release.sh reproduce [PACKAGE...]   builds the last commit in two folders and compares the outputs; default: both programs
#
# Builds are reproducible: the same commit, toolchain (rust-toolchain.toml) and C compiler produce the
# same bytes in any folder. Needs cargo-about, cargo-cyclonedx and cargo-deny with access to its
# advisories. Programs need at least the glibc of the build system, so releases are built in the image
# of deploy/docker/controller.Dockerfile.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
commit=$(git rev-parse HEAD 2>/dev/null || true)
platform=x86_64-linux-gnu
target=${CARGO_TARGET_DIR:-$PWD/target}

# Keeps this machine's paths and time out of the programs.
build() { # $1: source folder, $2: target folder; further arguments go to cargo
    local sources=$1 built=$2
    shift 2
    (
        cd "$sources"
        export CARGO_TARGET_DIR=$built CARGO_INCREMENTAL=0 SOURCE_DATE_EPOCH=0 ZERO_AR_DATE=1 LC_ALL=C TZ=UTC
        # An archive of the commit has no history.
        [ -e .git ] || export FLEETMARK_COMMIT=${FLEETMARK_COMMIT:-$commit}
        local cargo_home=${CARGO_HOME:-$HOME/.cargo}
        export RUSTFLAGS="--remap-path-prefix=$PWD=/fleetmark --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$built=/target -C strip=symbols"
        export CFLAGS="-ffile-prefix-map=$PWD=/fleetmark -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$built=/target" CXXFLAGS
        CXXFLAGS=$CFLAGS
        cargo build --release --locked "$@"
    )
}

# The license, third-party licenses, and an SBOM for each program (CycloneDX).
documents() { # $1: source folder, $2: output folder
    mkdir -p "$2"
    cp "$1/LICENSE" "$2/"
    # cargo metadata needs the crates of all platforms; a build downloads only those of its own.
    (cd "$1" && cargo fetch --locked --quiet)
    (cd "$1" && cargo about generate --frozen --workspace about.hbs) >"$2/THIRD-PARTY.txt"
    # cargo-cyclonedx writes next to each Cargo.toml, so it runs on a copy.
    local copy program
    copy=$(mktemp -d)
    tar -C "$1" --exclude='./target' --exclude='./.*' -cf - . | tar -x -C "$copy"
    (cd "$copy" && SOURCE_DATE_EPOCH=0 cargo cyclonedx --quiet --format json --target x86_64-unknown-linux-gnu --override-filename sbom)
    for program in controller agent; do
        sed "s|path+file://$copy/|path+file:///fleetmark/|g" "$copy/$program/sbom.json" >"$2/$program.cdx.json"
    done
    rm -rf "$copy"
}

programs() { # $1: source folder, $2: output folder; further arguments go to cargo
    local sources=$1 out=$2
    shift 2
    build "$sources" "$target/reproducible" "$@"
    mkdir -p "$out/empty"
    cp "$target/reproducible/release/controller" "$target/reproducible/release/agent" "$out/"
}

# One agent serves CPUs and GPUs: an archive holds no second one, and no program needs a library of NVIDIA to start.
verify() { # $1: archive
    local unpacked found program linked
    unpacked=$(mktemp -d)
    tar -xzf "$1" -C "$unpacked"
    # Files that begin as ELF does.
    found=$(find "$unpacked" -type f -exec sh -c '[ "$(head -c 4 "$1" | od -An -tx1)" = " 7f 45 4c 46" ]' _ {} \; -printf '%f\n' | sort | xargs)
    linked=
    for program in controller agent; do
        linked+=$(find "$unpacked" -type f -name "$program" -exec objdump -p {} + |
            awk -v program="$program" '$1 == "NEEDED" && tolower($2) ~ /cuda|cublas|cudnn|nvidia|nvrtc|nvml/ {print program " needs " $2 "; "}')
    done
    rm -rf "$unpacked"
    [ "$found" = "agent controller" ] || { echo "$1 has the programs ${found:-none}: expected agent controller" >&2; return 1; }
    [ -z "$linked" ] || { echo "$1: ${linked%; }: expected no library of NVIDIA" >&2; return 1; }
}

last_commit() { mkdir -p "$1" && git archive HEAD | tar -x -C "$1"; }

case ${1:-release} in
programs)
    out=${2:?expected OUT}
    shift 2
    programs "$PWD" "$out" "$@"
    documents "$PWD" "$out/doc"
    ;;
doc) documents "$PWD" "${2:?expected OUT}/doc" ;;
verify) verify "${2:?expected ARCHIVE}" ;;
reproduce)
    shift
    packages=()
    for package in "$@"; do packages+=(--package "$package"); done
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    for place in one another/and/deeper; do
        last_commit "$work/$place/src"
        build "$work/$place/src" "$work/$place/built" "${packages[@]}"
        # Programs and libraries only; cargo's own files contain paths.
        (cd "$work/$place/built/release" && find . -maxdepth 1 -type f ! -name '.*' ! -name '*.d' -exec sha256sum {} + | sort -k2) >"$work/$(basename "$place").sha256"
    done
    cat "$work/one.sha256"
    cmp "$work/one.sha256" "$work/deeper.sha256"
    [ -s "$work/one.sha256" ] || { echo "no files were built" >&2; exit 1; }
    echo "both builds are byte-identical"
    ;;
*)
    out=$(realpath -m "${1:-$target/release-$version}")
    [ -z "$(git status --porcelain)" ] || echo "uncommitted changes are not included" >&2
    name=fleetmark-$version-$platform
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    last_commit "$work/src"
    cargo deny --manifest-path "$work/src/Cargo.toml" --locked check bans licenses sources
    cargo deny --manifest-path "$work/src/Cargo.toml" --locked check advisories ||
        { [ "${FLEETMARK_ADVISORIES:-}" = skip ] && echo "advisories were not checked" >&2; }
    programs "$work/src" "$work/$name"
    documents "$work/src" "$work/$name/doc"
    rmdir "$work/$name/empty"
    cp "$work/src/README.md" "$work/src/CHANGELOG.md" "$work/$name/"
    cp -r "$work/src/examples" "$work/src/deploy" "$work/$name/"
    mkdir -p "$out"
    # Reproducible archive.
    tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" | gzip -n9 >"$out/$name.tar.gz"
    verify "$out/$name.tar.gz"
    cp "$work/$name/controller" "$work/$name/agent" "$out/"
    cp "$work/$name"/doc/*.cdx.json "$out/"
    (cd "$out" && sha256sum controller agent ./*.cdx.json "$name.tar.gz" | sed 's|\./||' >SHA256SUMS)
    glibc=$(objdump -T "$out/controller" "$out/agent" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
    echo "$out: $name.tar.gz, for systems with ${glibc/_/ } and later"
    ;;
esac
