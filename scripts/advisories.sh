#!/usr/bin/env bash
# Asks the public lists of known weaknesses about everything that we build on.
#   scripts/advisories.sh PATH-OF-CARGO-DENY STRICT
# Without STRICT=1 a list that cannot be reached is skipped, and said to be.
set -euo pipefail
cd "$(dirname "$0")/.."

deny=$1 strict=${2:-}
failed=0

unreachable() {
    echo "skipped: the advisories of $1 cannot be reached from here" >&2
    [ "$strict" != 1 ] || failed=1
}

if "$deny" --log-level error fetch db >/dev/null 2>&1; then
    "$deny" --log-level error check --disable-fetch advisories || failed=1
else
    unreachable crates
fi

for folder in cdk tests/browser tests/peer; do
    output=$(cd "$folder" && npm audit --audit-level=high --json 2>/dev/null) || case $output in
    *'"metadata"'*) echo "$folder: npm audit finds weaknesses" >&2 && echo "$output" >&2 && failed=1 ;;
    *) unreachable "$folder" ;;
    esac
done
exit "$failed"
