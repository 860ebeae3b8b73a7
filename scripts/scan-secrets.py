#!/usr/bin/env python3
"""Looks for credentials in the files that git keeps, or in the folder that is named.

What stands in a tree for local use says so in its text; everything else of these shapes is a leak.
Ends in failure when there is one, and never prints it.
"""

import re
import subprocess
import sys
from pathlib import Path

SHAPES = {
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "an AWS secret key": r"(?i:aws_secret_access_key)\W{1,4}[A-Za-z0-9/+]{40}\b",
    "a private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "a HubSpot token": r"\bpat-(?:na|eu)[0-9]-[0-9a-f]{8}-[0-9a-f-]{27}\b",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})\b",
    "a Slack token": r"\bxox[abprs]-[A-Za-z0-9-]{20,}\b",
    "a Stripe key": r"\b[rs]k_live_[A-Za-z0-9]{20,}\b",
    "a Google key": r"\bAIza[0-9A-Za-z_-]{35}\b",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a token": r"\beyJ[A-Za-z0-9_-]{20,}\.eyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}",
    "a password in a URL": r"\b[a-z]+://[^/\s:@\"'<>{}$]+:[^/\s:@\"'<>{}$]{6,}@[a-z0-9.-]+\.[a-z]{2,}",
}
PATTERN = re.compile("|".join(f"(?P<s{number}>{shape})" for number, shape in enumerate(SHAPES.values())))
# A line that says what it is: values for tests and for the local cloud, and examples of vendors.
HARMLESS = re.compile(r"(?i)local-use-only|example|sample|no secret|not a secret|for tests")
BYTES_MAX = 2_000_000


def files(arguments: list[str]) -> list[Path]:
    if arguments:
        return [path for path in Path(arguments[0]).rglob("*") if path.is_file()]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    return [Path(name) for name in listed.stdout.split("\0") if name]


def leaks(path: Path) -> list[str]:
    try:
        if path.stat().st_size > BYTES_MAX:
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    names = list(SHAPES)
    found = []
    for number, line in enumerate(lines, start=1):
        match = PATTERN.search(line)
        if match and match.lastgroup and not HARMLESS.search(line):
            found.append(f"{path}:{number}: {names[int(match.lastgroup[1:])]}")
    return found


def main() -> int:
    paths = files(sys.argv[1:])
    found = [leak for path in paths for leak in leaks(path)]
    for leak in found:
        print(leak, file=sys.stderr)
    print(f"{len(paths)} files, {len(found)} leaks")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
