#!/usr/bin/env bash
# Measures small campaigns, writes their reports in every format, and checks them with an offline browser, a
# screen reader's rules (axe-core), a PDF reader, and a Python check of every number against results.json.
# Needs chromium, poppler-utils, node with npm, python3 and xmllint, installed if run as root; packages are
# installed into target/reports.
#   tests/reports/run.sh [FOLDER_FOR_PICTURES]
set -euo pipefail
cd "$(dirname "$0")/../.."
pictures=${1:-}
packages=(chromium poppler-utils python3 libxml2-utils)
# Another Node.js than Debian's conflicts with Debian's npm.
command -v npm >/dev/null || packages+=(nodejs npm)
for program in chromium pdftotext pdffonts pdfinfo pdftoppm npm python3 xmllint; do
    command -v "$program" >/dev/null && continue
    [ "$(id -u)" = 0 ] || { echo "$program is missing: apt-get install ${packages[*]}" >&2; exit 2; }
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
    break
done
tools=target/reports
mkdir -p "$tools"
cp tests/reports/package.json tests/reports/browser.mjs tests/reports/live.mjs "$tools/"
npm install --prefix "$tools" --silent --no-audit --no-fund

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# NAME whole|partial MATRIX [MORE...]
reported() {
    local name=$1 kind=$2
    shift 2
    ./target/release/controller run "$@" --data-dir "$work/data" 2>/dev/null >"$work/$name.table"
    ./target/release/controller report latest --data-dir "$work/data" --formats json,html,pdf,markdown,junit,csv --output-dir "$work/$name" >/dev/null
    look "$work/$name" "$name" "$kind"
}
look() {
    local folder=$1 name=$2 kind=$3
    local report=$folder/report.pdf
    if [ -n "$pictures" ]; then
        mkdir -p "$pictures/$name"
        cp "$folder/report.md" "$work/$name.table" "$pictures/$name"
        pdftoppm -r 80 -png "$report" "$pictures/$name/page"
    fi
    node "$tools/browser.mjs" "$folder/report.html" "$kind" ${pictures:+"$pictures/$name"}
    [ "$(stat -c %s "$folder/report.html")" -lt 2000000 ] || { echo "$name: the page is over 2 MB"; exit 1; }

    pdftotext -layout "$report" "$folder/report.txt"
    [ "$kind" = partial ] || grep -q "USD per 1,000" "$folder/report.txt" || { echo "$name: the PDF lacks the verdict"; exit 1; }
    local pages
    pages=$(pdfinfo "$report" | sed -n 's/^Pages: *//p')
    [ "$pages" -ge 3 ] && [ "$pages" -le 40 ] || { echo "$name: the PDF has $pages pages"; exit 1; }
    # Two header lines, then one line per font; "emb" is the fifth column from the right.
    pdffonts "$report" | awk 'NR > 2 && $(NF-4) != "yes" { print "not embedded: " $0; bad = 1 } END { exit bad || NR < 3 }'
    xmllint --noout "$folder/junit.xml"
    python3 tests/reports/numbers.py "$folder/results.json" "$folder/report.html" "$folder/report.md" "$folder/report.txt"
}
reported quickstart whole examples/quickstart.toml --samples 48
reported wide whole tests/reports/wide.toml
# Higher rates and shorter times, to save time.
sed -e 's/^samples = 240/samples = 96/' -e 's/\[10, 20, 40, 80, 160\]/[40, 80, 160]/' examples/server.toml >"$work/server.toml"
reported server whole "$work/server.toml"
sed -e 's/"5m"/"24s"/' examples/stress.toml >"$work/stress.toml"
reported stress partial "$work/stress.toml"
python3 tests/reports/hostile.py "$work"
reported hostile whole "$work/matrix.toml"

# The live page, while two agents run a script in real time; the campaign is stopped after the check.
live() {
    echo '{"prompt_ms": 20, "token_ms": 8, "output_tokens": 10, "spread": 0.3, "paced": true}' >"$work/paced.json"
    {
        printf 'name = "live"\n[dataset]\nsource = "builtin:dialogues"\nsamples = 200\n[[model]]\nname = "script"\nid = "scripted:paced.json"\n'
        printf '[factors]\nbatch_sizes = [1, 4]\n[protocol]\nruns = 20\n[cost]\nmax_usd = 5.0\n'
        printf '[[fleet.local]]\ntarget = "%s"\nusd_per_hour = %s\n' ml.m5.xlarge-like 0.23 ml.c5.xlarge-like 0.21
    } >"$work/live.toml"
    ./target/release/controller run "$work/live.toml" --web 127.0.0.1:0 --data-dir "$work/data" >/dev/null 2>"$work/live.log" &
    local campaign=$! address=
    until address=$(sed -n 's/.*live page on \(.*\)/\1/p' "$work/live.log") && [ -n "$address" ]; do
        kill -0 "$campaign" || { cat "$work/live.log"; exit 1; }
        sleep 0.1
    done
    node "$tools/live.mjs" "$address" ${pictures:+"$pictures"}
    kill -INT "$campaign"
    # Exit code 3: stopped.
    local code=0
    wait "$campaign" || code=$?
    [ "$code" = 3 ] || { tail -5 "$work/live.log"; exit 1; }
}
live
echo "reports: all checks passed"
