// Where functions' programs come from: ready folders that `make build` made, never a build of our
// own. Synthesis works without them, with a placeholder in their place; a deployment does not.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const PLACEHOLDER = fileURLToPath(new URL("../placeholder", import.meta.url));

/** Where `make build` puts one folder per function. */
export const BUILD_FOLDER = fileURLToPath(new URL("../../target/lambda", import.meta.url));

export interface Artefacts {
  readonly folder: string;
  /** Whether a missing program is an error. */
  readonly required: boolean;
}

/** The folder with a function's `bootstrap`. */
export function artefactFolder(artefacts: Artefacts, functionName: string): string {
  const folder = join(artefacts.folder, functionName);
  if (existsSync(join(folder, "bootstrap"))) {
    return folder;
  }
  if (artefacts.required) {
    throw new Error(`function ${functionName} has no program in ${folder}: run make build first`);
  }
  return PLACEHOLDER;
}
