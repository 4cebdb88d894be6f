// Follows a campaign in a browser: nothing is asked of anybody but the controller, figures move, and axe-core finds nothing
// that keeps people out.   node live.mjs ADDRESS [FOLDER_FOR_PICTURES]
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const [address, pictures] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const problems = [];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

const looks = [
  ["live-light", { colorScheme: "light", viewport: { width: 1200, height: 900 } }],
  ["live-dark", { colorScheme: "dark", viewport: { width: 1200, height: 900 } }],
  ["live-narrow", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
];
for (const [name, options] of looks) {
  // axe-core is no part of the page, so the page's policy is lifted where it looks.
  for (const bypassCSP of [false, true]) {
    const context = await browser.newContext({ ...options, bypassCSP });
    const page = await context.newPage();
    page.on("console", (message) => problems.push(`${name}: ${message.text()}`));
    page.on("pageerror", (error) => problems.push(`${name}: ${error}`));
    page.on("request", (request) => request.url().startsWith(address) || problems.push(`${name} asks for ${request.url()}`));
    await page.goto(address);
    const done = () => page.locator("#done").textContent();
    await page.waitForFunction(() => /^[1-9]/.test(document.getElementById("done").textContent) && document.querySelector("#rates .curve"));
    if (bypassCSP) {
      await page.evaluate(axe);
      const found = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
      for (const violation of found.violations.filter((one) => ["serious", "critical"].includes(one.impact))) {
        problems.push(`axe, ${name}: ${violation.id}: ${violation.help}: ${violation.nodes[0].html.slice(0, 200)} ${violation.nodes[0].failureSummary}`);
      }
    } else {
      const before = await done();
      await page.waitForFunction((text) => document.getElementById("done").textContent !== text, before);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (wide > 0) problems.push(`${name}: the page is ${wide} px wider than the screen`);
      if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
    }
    await context.close();
  }
}
await browser.close();
if (problems.length > 0) {
  console.error([...new Set(problems)].join("\n"));
  process.exit(1);
}
console.log(`${address}: the live page moves, asks nobody else, and axe-core found nothing serious`);
