// Look at a report in a real Chromium: node look.mjs FILE.html FOLDER
//
// Prints what it saw as one JSON object, and writes light.png, dark.png, narrow.png and print.png to FOLDER. CHROMIUM
// names the browser. The browser has no network.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { HtmlValidate } from "html-validate";
import puppeteer from "puppeteer-core";

const [file, folder] = process.argv.slice(2);
const address = pathToFileURL(file).href;
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const seen = { requests: [], errors: [], axe: {}, overflow: {}, validator: [] };

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--font-render-hinting=none"],
});

async function open({ width = 1280, scheme = "light", media = "screen", scripts = true } = {}) {
  const page = await browser.newPage();
  await page.setOfflineMode(true);
  await page.setJavaScriptEnabled(scripts);
  await page.setViewport({ width, height: 900 });
  const debugger_ = await page.createCDPSession(); // puppeteer's own methods set one of the two and forget the other
  const features = [{ name: "prefers-color-scheme", value: scheme }];
  await debugger_.send("Emulation.setEmulatedMedia", { media, features });
  page.on("request", (request) => request.url() === address || seen.requests.push(request.url()));
  page.on("console", (message) => message.type() === "error" && seen.errors.push(message.text()));
  page.on("pageerror", (error) => seen.errors.push(String(error)));
  page.on("dialog", (dialog) => seen.errors.push(`dialog: ${dialog.message()}`));
  await page.goto(address, { waitUntil: "load" });
  return page;
}

for (const [name, view] of Object.entries({
  light: {},
  dark: { scheme: "dark" },
  narrow: { width: 360 },
  print: { width: 703, media: "print" }, // A4 less its margins
})) {
  const page = await open(view);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
  await page.evaluate(axe); // the debugger is not bound by the page's content security policy
  const found = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  seen.axe[name] = found.violations.map((v) => `${v.id}: ${v.nodes.length}: ${v.nodes[0].html.slice(0, 200)}: ${v.nodes[0].failureSummary}`);
  seen.overflow[name] = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (name === "light") {
    seen.markup = await page.evaluate(() => globalThis.hacked ?? null);
    seen.figures = await page.evaluate(() => JSON.parse(document.getElementById("figures").textContent));
    await page.keyboard.press("Tab");
    seen.first_focus = await page.evaluate(() => document.activeElement.textContent);
    // Sort the experts by name with the keyboard, then filter them.
    const sorted = await page.$("#t-experts ~ thead th:nth-child(2) button");
    await sorted.focus();
    await page.keyboard.press("Enter");
    seen.sorted = await page.evaluate(() => ({
      state: document.querySelector("#t-experts ~ thead th:nth-child(2)").getAttribute("aria-sort"),
      names: [...document.querySelectorAll("#t-experts ~ tbody th bdi")].map((cell) => cell.textContent),
    }));
    const filter = await page.$("section[aria-labelledby=experts] input");
    await filter.type(seen.sorted.names[0]);
    seen.filtered = await page.$$eval("#t-experts ~ tbody tr", (rows) => rows.filter((row) => !row.hidden).length);
  }
  await page.close();
}

const bare = await open({ scripts: false });
seen.without_script = {
  text: (await bare.$eval("body", (body) => body.innerText)).length,
  buttons: (await bare.$$("button, input")).length,
  cells: (await bare.$$("td")).length,
};
await browser.close();

const validator = new HtmlValidate({
  extends: ["html-validate:standard", "html-validate:a11y"],
  rules: {
    "long-title": "off", // names are what they are
    "no-trailing-whitespace": "off",
    "require-sri": "off", // nothing is loaded
  },
});
const report = await validator.validateString(await readFile(file, "utf8"));
seen.validator = report.results.flatMap((result) => result.messages.map((m) => `${m.line}:${m.column} ${m.ruleId}: ${m.message}`));
console.log(JSON.stringify(seen));
