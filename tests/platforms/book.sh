#!/usr/bin/env bash
# Builds the book: generates the reference from the programs, checks keys and links, and renders the pages
# with mdbook.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
export FLEETMARK_PROGRAMS=$programs
${XTASK:-cargo xtask} book --check
if ! command -v mdbook >/dev/null; then
    echo "pages aren't made: mdbook is missing (cargo install --locked mdbook)"
    exit 0
fi
${XTASK:-cargo xtask} book >target/book.log 2>&1 || { cat target/book.log >&2; exit 1; }
for page in tutorial matrix statistics reference/commands reference/metrics reference/results platforms/docker platforms/kubernetes platforms/slurm platforms/terraform; do
    [ -s "target/book/book/$page.html" ] || { echo "$page.html is missing" >&2; exit 1; }
done
echo "the book is made: $(find target/book/book -name '*.html' | wc -l) pages"
