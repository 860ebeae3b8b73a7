// The workflows as GitHub reads them: they parse, what they call exists, and nothing of them can be used
// by a stranger's pull request. And the scripts of theirs that can be run here.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { parse } from "yaml";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const FOLDER = join(ROOT, ".github/workflows");

interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly if?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly with?: Readonly<Record<string, unknown>>;
}

interface Job {
  readonly needs?: string[];
  readonly environment?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly "timeout-minutes"?: number;
  readonly "runs-on"?: string;
  readonly steps: Step[];
}

interface Workflow {
  readonly on: Readonly<Record<string, unknown>>;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

/** The actions that we run, each by its owner's major version. */
const ACTIONS = [
  "actions/checkout@v5",
  "actions/download-artifact@v5",
  "actions/setup-node@v5",
  "actions/setup-python@v6",
  "actions/upload-artifact@v5",
  "aws-actions/configure-aws-credentials@v5",
];

const workflows = new Map(
  readdirSync(FOLDER).map((name) => [
    name,
    parse(readFileSync(join(FOLDER, name), "utf8"), { merge: true }) as Workflow,
  ]),
);
const jobs = [...workflows].flatMap(([file, { jobs: all }]) =>
  Object.entries(all).map(([name, job]) => ({ file, name, job, title: `${file}, ${name}` })),
);

test("every workflow may only read, unless a job says otherwise", () => {
  for (const [name, { permissions, on }] of workflows) {
    assert.deepEqual(permissions, { contents: "read" }, name);
    // It would run a stranger's code with our permissions.
    assert.ok(!("pull_request_target" in on) && !("issue_comment" in on), name);
  }
});

test("every job ends, on a machine that stays the same, after jobs that there are", () => {
  for (const { job, title, file } of jobs) {
    assert.ok((job["timeout-minutes"] ?? 0) > 0, title);
    assert.equal(job["runs-on"], "ubuntu-24.04", title);
    const known = Object.keys(workflows.get(file)?.jobs ?? {});
    assert.deepEqual((job.needs ?? []).filter((need) => !known.includes(need)), [], title);
  }
});

test("every step runs a known action or a command, and never text that a stranger wrote", () => {
  for (const { job, title } of jobs) {
    for (const step of job.steps) {
      assert.ok((step.uses === undefined) !== (step.run === undefined), title);
      if (step.uses !== undefined) {
        assert.ok(ACTIONS.includes(step.uses), `${title}: ${step.uses}`);
      }
      // Values come in as variables of the environment, never into the text of a command.
      assert.doesNotMatch(step.run ?? "", /\$\{\{/, title);
      for (const value of Object.values(step.env ?? {})) {
        assert.match(value, /^\$\{\{ (?:vars|secrets)\.[A-Z_]+ \}\}$|^\$\{\{ github\.token \}\}$/, title);
      }
    }
  }
});

test("what steps call exists", () => {
  const makefile = readFileSync(join(ROOT, "Makefile"), "utf8");
  for (const { job, title } of jobs) {
    for (const line of job.steps.flatMap(({ run }) => (run ?? "").split("\n"))) {
      const [, target] = /^make ([a-z-]+)/.exec(line) ?? [];
      assert.ok(target === undefined || makefile.includes(`\n${target}:`), `${title}: ${line}`);
      const [, script] = /^(?:bash )?((?:scripts|\.ci)\/\S+)/.exec(line) ?? [];
      assert.ok(script === undefined || existsSync(join(ROOT, script)), `${title}: ${line}`);
      assert.ok(script === undefined || (statSync(join(ROOT, script)).mode & 0o100) !== 0 || line.startsWith("bash "), line);
    }
  }
});

test("only deployments get a token of GitHub's, each from the environment of its stage, in order", () => {
  const withToken = jobs.filter(({ job }) => job.permissions?.["id-token"] === "write");
  assert.deepEqual(withToken.map(({ job }) => job.environment), ["staging", "prod"]);
  for (const { job, title } of withToken) {
    assert.deepEqual(job.permissions, { contents: "read", "id-token": "write" }, title);
    const role = job.steps.find(({ uses }) => uses?.startsWith("aws-actions/"))?.with;
    assert.equal(role?.["role-to-assume"], "${{ vars.DEPLOY_ROLE_ARN }}");
    const runs = job.steps.map(({ run }) => run ?? "");
    const place = (text: string) => runs.findIndex((run) => run.includes(text));
    assert.ok(place("deploy-stage.sh") < place("verify --stage"), title);
    assert.ok(place("verify --stage") < place("rollback"), title);
    assert.equal(job.steps[place("rollback")]?.if, "failure()");
  }
  const deploy = workflows.get("deploy.yml")?.jobs;
  assert.deepEqual(deploy?.["staging"]?.needs, ["test", "build"]);
  assert.deepEqual(deploy?.["prod"]?.needs, ["staging"]);
  assert.deepEqual(deploy?.["release"]?.needs, ["prod"]);
  assert.deepEqual(workflows.get("deploy.yml")?.on, { push: { branches: ["main"] } });
});

test("the notes of a release are its commits, and what of them needs a look", () => {
  const notes = execFileSync(join(ROOT, "scripts/release-notes.sh"), ["HEAD~2", "HEAD"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  assert.match(notes, /^## What is new\n\n- .+ \([0-9a-f]{7,}\)\n/);
  assert.match(notes, /## What to look at\n\n- /);
});

test("every script of the shell is one that the shell can read", () => {
  for (const name of readdirSync(join(ROOT, "scripts")).filter((each) => each.endsWith(".sh"))) {
    const read = spawnSync("bash", ["-n", join(ROOT, "scripts", name)]);
    assert.equal(read.status, 0, `${name}: ${read.stderr}`);
  }
});

// Put together here, so that the scan does not find them in this file.
const LEAKS = [
  ["an AWS access key", `AKIA${"IOSFODNN7EXAMPLF".toUpperCase()}`],
  ["a private key", `-----BEGIN ${"PRIVATE"} KEY-----`],
  ["a HubSpot token", `pat-na1-${"1".repeat(8)}-1111-1111-1111-${"1".repeat(12)}`],
  ["a GitHub token", `ghp_${"a".repeat(36)}`],
  ["a token", `eyJ${"a".repeat(24)}.eyJ${"b".repeat(24)}.${"c".repeat(24)}`],
  ["a password in a URL", `postgres://people:${"longenough"}@db.company.com/x`],
] as const;

test("credentials in the tree are found and never shown, and ours are none", () => {
  const scan = (...folder: string[]) =>
    spawnSync("python3", [join(ROOT, "scripts/scan-secrets.py"), ...folder], { cwd: ROOT, encoding: "utf8" });
  const tree = scan();
  assert.equal(tree.status, 0, tree.stderr);
  for (const [what, value] of LEAKS) {
    const folder = mkdtempSync(join(tmpdir(), "leak-"));
    try {
      mkdirSync(join(folder, "inner"));
      writeFileSync(join(folder, "inner", "settings.txt"), `fine\nkey = ${value.replace("EXAMPL", "EXAMQL")}\n`);
      const found = scan(folder);
      assert.equal(found.status, 1, what);
      assert.match(found.stderr, new RegExp(`settings\\.txt:2: ${what}`));
      assert.ok(!found.stderr.includes(value));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
});

test("the bill of materials names every package with its version", () => {
  const folder = mkdtempSync(join(tmpdir(), "sbom-"));
  try {
    const file = join(folder, "sbom.json");
    execFileSync("python3", [join(ROOT, "scripts/sbom.py"), file]);
    const bill = JSON.parse(readFileSync(file, "utf8")) as {
      bomFormat: string;
      components: { purl: string; version: string }[];
    };
    assert.equal(bill.bomFormat, "CycloneDX");
    const purls = bill.components.map(({ purl }) => purl);
    assert.ok(purls.some((purl) => purl.startsWith("pkg:cargo/tokio@")));
    assert.ok(purls.some((purl) => purl.startsWith("pkg:npm/aws-cdk-lib@")));
    assert.ok(!purls.some((purl) => purl.includes("/rollcall")), "third parties alone");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
