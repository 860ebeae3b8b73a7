// Signing in and out as a person does, in a real browser: what cookies it keeps, what its policies
// let through, and what a person reads.

import assert from "node:assert/strict";
import { after, before, beforeEach, afterEach, describe, test } from "node:test";
import { impossible, launch } from "./chromium.js";
import { start } from "./product.js";

const SESSION = "__Host-rollcall_session";
const BINDING = "__Host-rollcall_login";
const PASSWORD = "Ada-likes-2-dance!";

describe("a person in a browser", { skip: impossible }, () => {
  let product, browser, context, page, complaints;

  before(async () => {
    browser = await launch();
    product = await start();
  });
  after(async () => {
    await browser?.close();
    await product?.stop();
  });
  beforeEach(async () => {
    context = await browser.newContext();
    page = await context.newPage();
    // Whatever a content security policy blocks ends here, and so does a script that failed.
    complaints = [];
    page.on("console", (message) => message.type() === "error" && complaints.push(message.text()));
    page.on("pageerror", (error) => complaints.push(String(error)));
  });
  afterEach(() => context.close());

  async function fillIn(password) {
    await page.fill("input[name=username]", "ada");
    await page.fill("input[name=password]", password);
    await page.click("button:not([name=cancel])");
  }

  async function signIn() {
    await page.goto(`${product.api}/auth/login`);
    await fillIn(PASSWORD);
    await page.waitForURL(`${product.api}/**`);
  }

  const cookie = async (name) =>
    (await context.cookies(product.api)).find((each) => each.name === name);

  // The status of a call that a page of ours makes. Such a page is elsewhere in production; here
  // one is put where the session is.
  async function asOurPage(script) {
    const url = `${product.api}/a-page-of-ours`;
    await context.route(url, (route) => route.fulfill({ contentType: "text/html", body: "<p>" }));
    await page.goto(url);
    return page.evaluate(script);
  }

  test("signs in with the form and is known afterwards", async () => {
    await signIn();
    assert.equal(page.url(), `${product.api}/auth/me`);
    const me = JSON.parse(await page.textContent("body"));
    assert.equal(me.email, "ada@rollcall.example");
    const session = await cookie(SESSION);
    const { secure, httpOnly, sameSite, path, domain } = session;
    assert.deepEqual(
      { secure, httpOnly, sameSite, path, domain },
      { secure: true, httpOnly: true, sameSite: "Lax", path: "/", domain: "localhost" },
    );
    assert.equal(await cookie(BINDING), undefined);
    assert.equal(await asOurPage(() => document.cookie), "");
    assert.deepEqual(complaints, []);
  });

  test("a wrong password leaves the person at the form", async () => {
    await page.goto(`${product.api}/auth/login`);
    await fillIn("wrong");
    await page.waitForSelector("[role=alert]");
    assert.equal(await cookie(SESSION), undefined);
  });

  test("who cancels reads so, and can begin again", async () => {
    await page.goto(`${product.api}/auth/login`);
    await page.click("button[name=cancel]");
    await page.waitForURL(`${product.api}/auth/callback?**`);
    assert.equal(await page.textContent("h1"), "You are not signed in");
    assert.match(await page.textContent("p"), /cancelled/);
    assert.equal(await cookie(SESSION), undefined);
    // The page's own style passes its policy.
    const family = await page.evaluate(() => getComputedStyle(document.body).fontFamily);
    assert.match(family, /sans-serif/);
    assert.deepEqual(
      complaints.filter((text) => !text.includes("status of 400")),
      [],
    );
    await page.click("a[href='/auth/login']");
    await page.waitForSelector("input[name=password]");
  });

  test("what a stranger wrote into a link is neither shown nor run", async () => {
    const text = encodeURIComponent("<img src=x onerror=\"document.title='run'\">");
    await page.goto(`${product.api}/auth/callback?error=${text}&error_description=${text}`);
    assert.equal(await page.textContent("h1"), "The sign-in did not work");
    assert.equal(await page.locator("img").count(), 0);
    assert.notEqual(await page.title(), "run");
  });

  test("the link of another browser's sign-in signs nobody in", async () => {
    let link;
    await page.route("**/login?**", async (route) => {
      if (route.request().method() !== "POST") return route.continue();
      link = (await route.fetch({ maxRedirects: 0 })).headers().location;
      return route.fulfill({ contentType: "text/html", body: "<p id=kept>kept back" });
    });
    await page.goto(`${product.api}/auth/login`);
    await fillIn(PASSWORD);
    await page.waitForSelector("#kept");
    const victim = await browser.newContext();
    const theirs = await victim.newPage();
    await theirs.goto(link);
    assert.equal(await theirs.textContent("h1"), "This sign-in is no longer valid");
    assert.deepEqual(await victim.cookies(), []);
    await victim.close();
  });

  test("a foreign page cannot sign the person out", async () => {
    await signIn();
    const evil = "http://evil.example/";
    const form = `<form method="post" action="${product.api}/auth/logout"></form>
      <script>document.forms[0].submit()</script>`;
    await context.route(evil, (route) => route.fulfill({ contentType: "text/html", body: form }));
    await page.goto(evil);
    await page.waitForURL(`${product.api}/auth/logout`);
    await page.goto(`${product.api}/auth/me`);
    assert.equal(JSON.parse(await page.textContent("body")).given_name, "Ada");
  });

  test("signs out, and is unknown afterwards", async () => {
    await signIn();
    const status = await asOurPage(async () => {
      const { token } = await (await fetch("/auth/csrf")).json();
      const headers = { "x-csrf-token": token };
      return (await fetch("/auth/logout", { method: "POST", headers })).status;
    });
    assert.equal(status, 200);
    assert.equal(await cookie(SESSION), undefined);
    const answer = await page.goto(`${product.api}/auth/me`);
    assert.equal(answer.status(), 401);
  });
});
