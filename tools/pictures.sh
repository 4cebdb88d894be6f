#!/usr/bin/env bash
# Makes the pictures of the README from a real campaign over builtin:dialogues. Needs chromium and npm.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=target/reports
mkdir -p "$tools"
cp tests/reports/package.json "$tools/"
[ -d "$tools/node_modules/playwright-core" ] || npm install --prefix "$tools" --silent --no-audit --no-fund
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
./target/release/controller run examples/quickstart.toml --runs 5 --batch-sizes 1 2 4 8 --samples 128 --data-dir "$work/data" --quiet
./target/release/controller report latest --data-dir "$work/data" --formats html --output-dir "$work" >/dev/null
cat >"$tools/pictures.mjs" <<'SCRIPT'
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ offline: true, viewport: { width: 1320, height: 980 } });
await page.goto(pathToFileURL(process.argv[2]).href);
await page.evaluate(() => document.fonts.ready);
await page.screenshot({ path: "docs/report.png" });
await page.locator("#latency-distribution").screenshot({ path: "docs/chart.png" });
await browser.close();
SCRIPT
node "$tools/pictures.mjs" "$work/report.html"
ls -l docs/*.png
