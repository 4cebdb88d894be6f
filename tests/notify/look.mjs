// Opens what arrived as its readers do, in a browser without a network: the mail, and Teams' card in Microsoft's own renderer,
// which also says what is wrong with a card.   node look.mjs FOLDER [FOLDER_FOR_PICTURES]
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { chromium } from "playwright-core";

const [folder, pictures] = process.argv.slice(2);
const renderer = createRequire(import.meta.url).resolve("adaptivecards/dist/adaptivecards.min.js");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const problems = [];

for (const name of readdirSync(folder).filter((one) => /\.(teams\.json|mail\.html)$/.test(one))) {
  const content = readFileSync(join(folder, name), "utf8");
  const page = await browser.newPage({ offline: true, viewport: { width: 640, height: 800 } });
  page.on("console", (message) => problems.push(`${name}: ${message.text()}`));
  page.on("pageerror", (error) => problems.push(`${name}: ${error}`));
  page.on("request", (request) => problems.push(`${name} asks for ${request.url()}`));
  if (name.endsWith(".html")) {
    await page.setContent(content);
  } else {
    await page.setContent("<style>body { font: 14px/1.4 'Segoe UI', system-ui, sans-serif; margin: 16px; } .ac-adaptiveCard { border: 1px solid #ddd; border-radius: 8px }</style>");
    await page.addScriptTag({ content: readFileSync(renderer, "utf8") });
    const found = await page.evaluate((body) => {
      const { AdaptiveCard, SerializationContext, Versions } = globalThis.AdaptiveCards;
      const messages = [];
      const [attachment] = body.attachments;
      const card = new AdaptiveCard();
      const context = new SerializationContext(Versions.v1_4);
      card.parse(attachment.content, context);
      for (let place = 0; place < context.eventCount; place++) messages.push(context.getEventAt(place).message);
      messages.push(...card.validateProperties().validationEvents.map((event) => event.message));
      AdaptiveCard.onProcessMarkdown = (text, result) => { result.outputHtml = text; result.didProcess = false; };
      document.body.append(card.render());
      return messages;
    }, JSON.parse(content));
    problems.push(...found.map((message) => `${name}: ${message}`));
  }
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  if (wide > 0) problems.push(`${name} is ${wide} px wider than its window`);
  if (pictures) await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  await page.close();
}
await browser.close();
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
