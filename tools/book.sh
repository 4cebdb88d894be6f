#!/usr/bin/env bash
# Builds the documentation in target/book: the pages of docs/ and deploy/, and a reference generated
# from the programs.
# Needs mdbook, python3 and the built programs (FLEETMARK_PROGRAMS, default target/release).
#
# usage: tools/book.sh [--check]     --check: only check links, keys and the reference
set -euo pipefail
cd "$(dirname "$0")/.."
programs=${FLEETMARK_PROGRAMS:-target/release}
book=target/book
rm -rf "$book"
mkdir -p "$book/src/reference" "$book/src/platforms"
cp docs/book.toml "$book/"
cp -r docs/*.md docs/*.png docs/*.json docs/adr docs/example "$book/src/"
# Copies pages from elsewhere in the repository and rewrites links to them.
for page in deploy/*/README.md; do
    sed 's|(\.\./\([a-z]*\)/README\.md)|(\1.md)|g; s|\[\([^]]*\)\](examples)|\1|g' "$page" >"$book/src/platforms/$(basename "$(dirname "$page")").md"
done
sed -i 's|(\.\./deploy/\([a-z]*\)/README\.md)|(platforms/\1.md)|g; s|\[\([^]]*\)\](\.\./examples/[^)]*)|\1|g' "$book"/src/*.md
{
    printf '\n# Decisions\n\n'
    for page in docs/adr/*.md; do echo "- [$(sed -n '1s/^# [0-9]*\. //p' "$page")](adr/$(basename "$page"))"; done
} >>"$book/src/SUMMARY.md"
python3 tools/reference.py "$programs" "$book/src"
[ "${1:-}" = --check ] || mdbook build "$book"
