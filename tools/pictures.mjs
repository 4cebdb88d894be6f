// Called by `cargo xtask pictures`: takes the README's pictures of REPORT.html and TERMINAL.txt.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await browser.newPage({ offline: true, viewport: { width: 1320, height: 980 } });
await page.goto(pathToFileURL(process.argv[2]).href);
await page.evaluate(() => document.fonts.ready);
await page.screenshot({ path: "docs/report.png" });
await page.locator("#latency-distribution").screenshot({ path: "docs/chart.png" });
// A separate page: the content security policy of the report forbids foreign styles.
const terminal = await browser.newPage({ offline: true, viewport: { width: 1400, height: 300 } });
await terminal.setContent("<body style='margin:0;background:#16181d'><pre style='margin:0;padding:18px 22px;display:inline-block;color:#d7dae0;font:13px/1.28 monospace'></pre>");
const command = "$ cargo build --release && ./target/release/controller run examples/quickstart.toml\n";
await terminal.locator("pre").evaluate((pre, text) => { pre.textContent = text; }, command + readFileSync(process.argv[3], "utf8").trimEnd());
await terminal.locator("pre").screenshot({ path: "docs/terminal.png" });
await browser.close();
