// The product as `make dev` runs it, on ports of its own.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
const PROGRAM = process.env.ROLLCALL ?? join(ROOT, "target/debug/rollcall");
const PORTS = 5;
const TRIES_MAX = 50;

function isFree(port) {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

async function freePorts() {
  for (let attempt = 0; attempt < TRIES_MAX; attempt += 1) {
    const base = 10_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: PORTS }, (_, offset) => base + offset);
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) return base;
  }
  throw new Error("there are no free ports");
}

// Starts the product, or takes the one that runs on the port ROLLCALL_PORT.
export async function start() {
  if (process.env.ROLLCALL_PORT) {
    return { api: `http://localhost:${process.env.ROLLCALL_PORT}`, stop: async () => {} };
  }
  const port = await freePorts();
  const folder = mkdtempSync(join(tmpdir(), "rollcall-browser-"));
  const child = spawn(PROGRAM, ["dev", "--port", String(port), "--folder", folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", resolve);
  });
  const lines = createInterface({ input: child.stdout });
  const ready = new Promise((resolve) => {
    lines.on("line", (line) => line === "rollcall is ready" && resolve());
  });
  const died = ended.then(() => {
    throw new Error(`${PROGRAM} ended before it was ready`);
  });
  await Promise.race([ready, died]);
  died.catch(() => {});
  return {
    api: `http://localhost:${port}`,
    stop: async () => {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
