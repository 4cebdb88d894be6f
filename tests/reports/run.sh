#!/usr/bin/env bash
# Measures two small campaigns, writes every format of their reports, and looks at them as readers do: a browser without a
# network, a screen reader's rules (axe-core), a PDF reader, and Python that checks every number against results.json.
# Needs chromium, poppler-utils, node with npm, python3 and xmllint; its packages go to target/reports.
#   tests/reports/run.sh [FOLDER_FOR_PICTURES]
set -euo pipefail
cd "$(dirname "$0")/../.."
pictures=${1:-}
for program in chromium pdftotext pdffonts pdfinfo pdftoppm npm python3 xmllint; do
    command -v "$program" >/dev/null || { echo "$program is missing: apt-get install chromium poppler-utils npm python3 libxml2-utils"; exit 2; }
done
tools=target/reports
mkdir -p "$tools"
cp tests/reports/package.json tests/reports/browser.mjs "$tools/"
[ -d "$tools/node_modules/axe-core" ] || npm install --prefix "$tools" --silent --no-audit --no-fund

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
reported() {
    local name=$1
    shift
    ./target/release/controller run "$@" --data-dir "$work/data" --quiet >"$work/$name.table"
    ./target/release/controller report latest --data-dir "$work/data" --formats json,html,pdf,markdown,junit,csv --output-dir "$work/$name" >/dev/null
    look "$work/$name" "$name"
}
look() {
    local folder=$1 name=$2
    local report=$folder/report.pdf
    if [ -n "$pictures" ]; then
        mkdir -p "$pictures/$name"
        pdftoppm -r 80 -png "$report" "$pictures/$name/page"
    fi
    node "$tools/browser.mjs" "$folder/report.html" ${pictures:+"$pictures/$name"}
    [ "$(stat -c %s "$folder/report.html")" -lt 2000000 ] || { echo "$name: the page is over 2 MB"; exit 1; }

    pdftotext -layout "$report" "$folder/report.txt"
    grep -q "USD per 1,000" "$folder/report.txt" || { echo "$name: the PDF lacks the verdict"; exit 1; }
    local pages
    pages=$(pdfinfo "$report" | sed -n 's/^Pages: *//p')
    [ "$pages" -ge 3 ] && [ "$pages" -le 6 ] || { echo "$name: the PDF has $pages pages"; exit 1; }
    # Two lines of heading, then one for each typeface; "emb" is the fifth column from the right.
    pdffonts "$report" | awk 'NR > 2 && $(NF-4) != "yes" { print "not embedded: " $0; bad = 1 } END { exit bad || NR < 3 }'
    xmllint --noout "$folder/junit.xml"
    python3 tests/reports/numbers.py "$folder/results.json" "$folder/report.html" "$folder/report.md" "$folder/report.txt"
}
reported quickstart examples/quickstart.toml
reported wide tests/reports/wide.toml
echo "reports: all as they should be"
