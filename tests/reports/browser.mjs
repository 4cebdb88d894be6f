// Opens a report from disk in a browser without a network, uses it as a reader would, and has axe-core look for what
// keeps people out.   node browser.mjs report.html whole|partial [FOLDER_FOR_PICTURES]
// A report of single requests is whole; one of a sustained load lacks some figures.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const [page_file, kind, pictures] = process.argv.slice(2);
const address = pathToFileURL(resolve(page_file)).href;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const problems = [];
const check = (holds, what) => holds || problems.push(what);

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });

/** Opens the page anew; every message and every request but that for the page itself is a problem. */
async function open(options) {
  const context = await browser.newContext({ offline: true, bypassCSP: options.bypassCSP ?? false, ...options });
  const page = await context.newPage();
  page.on("console", (message) => problems.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`error: ${error}`));
  page.on("request", (request) => {
    if (request.url() !== address && !request.url().startsWith("data:")) problems.push(`request: ${request.url()}`);
  });
  await page.goto(address);
  await page.evaluate(() => document.fonts.ready);
  return page;
}

/** Words of charts that lie over each other, or outside their figure. Runs in the page. */
function collisions() {
  const found = [];
  for (const chart of document.querySelectorAll("svg.wide, svg.narrow")) {
    const figure = chart.closest("figure");
    const border = figure.getBoundingClientRect();
    const words = [...chart.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    words.forEach(([text, box], place) => {
      if (box.width === 0) return;
      if (box.left < border.left || box.right > border.right) found.push(`${figure.id}: "${text}" leaves its figure`);
      for (const [other, its] of words.slice(place + 1)) {
        const wide = Math.min(box.right, its.right) - Math.max(box.left, its.left);
        const high = Math.min(box.bottom, its.bottom) - Math.max(box.top, its.top);
        // Boxes are higher than their letters.
        if (wide > 1 && high > 4) found.push(`${figure.id}: "${text}" and "${other}" lie over each other`);
      }
    });
  }
  return found;
}

const looks = [
  ["light", { colorScheme: "light", viewport: { width: 1360, height: 900 } }],
  ["dark", { colorScheme: "dark", viewport: { width: 1360, height: 900 } }],
  ["narrow", { colorScheme: "light", viewport: { width: 390, height: 844 } }],
  ["narrow-dark", { colorScheme: "dark", viewport: { width: 390, height: 844 } }],
];
for (const [name, options] of looks) {
  const page = await open(options);
  check(await page.evaluate(() => document.fonts.check("16px Inter")), `${name}: the typeface is missing`);
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(overflow <= 0, `${name}: the page is ${overflow} px wider than the screen`);
  for (const found of await page.evaluate(collisions)) problems.push(`${name}: ${found}`);
  if (pictures) await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
  await page.context().close();

  // axe-core is no part of the page, so the page's policy must be lifted for it.
  const lifted = await open({ ...options, bypassCSP: true });
  await lifted.evaluate(axe);
  const found = await lifted.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
  for (const violation of found.violations.filter((one) => ["serious", "critical"].includes(one.impact))) {
    problems.push(`axe, ${name}: ${violation.id}: ${violation.help} (${violation.nodes.length}): ${violation.nodes[0].html.slice(0, 200)} ${violation.nodes[0].failureSummary}`);
  }
  await lifted.context().close();
}

const page = await open({ colorScheme: "light", viewport: { width: 1360, height: 900 } });
// A heading sorts: up, down, and back.
const rows = () => page.$$eval("#cells-table tbody tr", (all) => all.map((row) => row.textContent));
const own = await rows();
const cost = page.locator("#cells-table thead th", { hasText: "Cost per 1,000" }).first();
const values = () => page.$$eval("#cells-table tbody tr", (all) => {
  const place = [...document.querySelectorAll("#cells-table thead th")].findIndex((one) => one.textContent.includes("Cost per 1,000"));
  return all.map((row) => Number(row.cells[place].dataset.value)).filter((value) => !Number.isNaN(value));
});
const is_sorted = (list, sign) => list.every((value, place) => place === 0 || sign * (value - list[place - 1]) >= 0);
if (own.length > 1) {
  await cost.getByRole("button").focus();
  await page.keyboard.press("Enter");
  check((await cost.getAttribute("aria-sort")) === "ascending" && is_sorted(await values(), 1), "sorting upwards");
  await cost.getByRole("button").click();
  check((await cost.getAttribute("aria-sort")) === "descending" && is_sorted(await values(), -1), "sorting downwards");
  await cost.getByRole("button").click();
  check(JSON.stringify(await rows()) === JSON.stringify(own), "the own order comes back");
} else {
  check((await cost.getByRole("button").count()) === 0, "one row has nothing to sort");
}

if (kind === "whole") {
  // A legend hides and shows its series.
  const legend = page.locator("#latency-distribution .legend button").first();
  if (await legend.count()) {
    const marks = page.locator('#latency-distribution svg.wide path.line[data-series="0"]').first();
    check(await marks.isVisible(), "a series is there");
    await legend.click();
    check((await legend.getAttribute("aria-pressed")) === "false" && !(await marks.isVisible()), "a series is hidden");
    await legend.press("Space");
    check(await marks.isVisible(), "a series comes back");
  } else {
    problems.push("no legend");
  }

  // What a mark says shows beside the pointer.
  const sign = page.locator("#cost-by-cell svg.wide .sign, #cost-by-cell svg.wide .hollow").first();
  await sign.scrollIntoViewIfNeeded();
  const box = await sign.boundingBox();
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  check((await page.locator(".tip").textContent()).includes("USD per 1,000 requests"), "a tip is shown");
}

// The theme can be chosen.
const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
const light = await paper();
await page.locator(".theme").click();
await page.locator(".theme").click();
check((await paper()) !== light, "the dark theme is another one");
await page.context().close();

// Without its script the page still says everything.
const plain = await open({ javaScriptEnabled: false, viewport: { width: 1360, height: 900 } }).catch(async () => null);
if (plain) {
  const text = await plain.locator("main").innerText();
  check(kind !== "whole" || text.includes("USD per 1,000 requests"), "the verdict without a script");
  check(text.includes("matrix.toml"), "the page without a script");
  await plain.context().close();
}
await browser.close();
if (problems.length > 0) {
  console.error([...new Set(problems)].join("\n"));
  process.exit(1);
}
console.log(`${page_file}: opened without a network, no message, no request; sorted, toggled, pointed at; axe-core found nothing serious`);
