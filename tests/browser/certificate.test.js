// A certificate as a stranger sees it: the page of somebody who learned something, in a real browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { impossible, launch } from "./chromium.js";
import { start } from "./product.js";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const MODULE = "upserts-by-a-key";
const PATIENCE_MS = 20_000;

/** The right answers to a quiz of the sample catalogue. */
function answers() {
  const quiz = JSON.parse(readFileSync(join(ROOT, `catalog/modules/${MODULE}/quizzes/check.json`), "utf8"));
  return quiz.questions.map(({ id, correct_answer }) => ({ id, value: correct_answer }));
}

describe("a certificate in a browser", { skip: impossible }, () => {
  let product, browser, holder;

  before(async () => {
    browser = await launch();
    product = await start();
    holder = await browser.newContext();
    const page = await holder.newPage();
    await page.goto(`${product.api}/auth/login`);
    await page.fill("input[name=username]", "ada");
    await page.fill("input[name=password]", "Ada-likes-2-dance!");
    await page.click("button:not([name=cancel])");
    await page.waitForURL(`${product.api}/auth/me`);
  });
  after(async () => {
    await browser?.close();
    await product?.stop();
  });

  // A call of a page of ours, with the session's cookie and its CSRF token.
  async function call(method, path, data) {
    const csrf = await (await holder.request.get(`${product.api}/auth/csrf`)).json();
    const headers = { origin: product.api, "x-csrf-token": csrf.token };
    const answer = await holder.request.fetch(`${product.api}${path}`, { method, data, headers });
    assert.equal(answer.status(), 200, await answer.text());
    return answer.json();
  }

  async function awarded() {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
      const { certificates } = await call("GET", "/certificates");
      if (certificates.length > 0) return certificates[0];
      assert.ok(Date.now() < end, "no certificate was awarded");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  test("its page says whose it is, that it is valid, and where it is found again", async () => {
    const quiz = `/modules/${MODULE}/quizzes/check`;
    const { attempt_id } = await call("POST", `${quiz}/start`);
    await call("POST", `${quiz}/attempts`, { attempt_id, answers: answers() });
    const { certificate_id } = await awarded();
    await call("PUT", `/certificates/${certificate_id}/name`, { shown: true });

    const stranger = await browser.newContext();
    const page = await stranger.newPage();
    const complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    const url = `${product.api}/certificates/${certificate_id}`;
    await page.goto(url);
    assert.equal(await page.textContent("h1"), "Upserts by a key");
    assert.match(await page.textContent("p"), /This certificate is valid/);
    assert.match(await page.textContent("dl"), /Ada Okafor/);
    const code = await page.locator("svg").boundingBox();
    assert.ok(code.width >= 150 && code.height >= 150, JSON.stringify(code));
    assert.equal(await page.locator("script").count(), 0);
    assert.equal(await page.getAttribute("a >> nth=0", "href"), url);
    assert.deepEqual(complaints, []);
    // For whoever wants to look at it.
    if (process.env.ROLLCALL_SCREENSHOT) await page.screenshot({ path: process.env.ROLLCALL_SCREENSHOT, fullPage: true });
    await stranger.close();
  });

  test("an address that nobody was given is unknown", async () => {
    const page = await holder.newPage();
    const answer = await page.goto(`${product.api}/certificates/crt_00000000000000000000000000000000`);
    assert.equal(answer.status(), 404);
    assert.equal(await page.textContent("h1"), "Unknown certificate");
  });
});
