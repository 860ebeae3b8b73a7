#!/usr/bin/env python3
"""Lists every third-party package of the programs and of the deployment, as CycloneDX 1.5.

From Cargo.lock and the package-lock.json files alone, so that it says what is built, offline.
"""

import json
import re
import sys
from pathlib import Path

REGISTRY = "registry+"


def of_cargo(lock: Path) -> list[dict]:
    packages = []
    for block in lock.read_text(encoding="utf-8").split("[[package]]")[1:]:
        fields = dict(re.findall(r'^(name|version|source|checksum) = "(.*)"$', block, re.MULTILINE))
        if not fields.get("source", "").startswith(REGISTRY):
            continue
        packages.append(
            component("cargo", fields["name"], fields["version"], "SHA-256", fields.get("checksum"))
        )
    return packages


def of_npm(lock: Path) -> list[dict]:
    packages = []
    for place, fields in json.loads(lock.read_text(encoding="utf-8"))["packages"].items():
        if not place.startswith("node_modules/") or "version" not in fields:
            continue
        name = place.rsplit("node_modules/", 1)[1]
        packages.append(component("npm", name, fields["version"], None, None))
    return packages


def component(kind: str, name: str, version: str, algorithm: str | None, digest: str | None) -> dict:
    found = {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:{kind}/{name.replace('@', '%40')}@{version}",
    }
    if algorithm and digest:
        found["hashes"] = [{"alg": algorithm, "content": digest}]
    return found


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    components = of_cargo(root / "Cargo.lock")
    for lock in sorted(root.glob("*/package-lock.json")):
        components += of_npm(lock)
    unique = {each["purl"]: each for each in components}
    bill = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "rollcall"}},
        "components": [unique[key] for key in sorted(unique)],
    }
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "target" / "sbom.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(bill, indent=1) + "\n", encoding="utf-8")
    print(f"{len(unique)} packages in {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
