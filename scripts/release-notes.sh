#!/usr/bin/env bash
# The notes of a release: what the product does since the one before, as its commits say it.
#   scripts/release-notes.sh [FROM] [TO]
set -euo pipefail

to=${2:-HEAD}
from=${1:-$(git describe --tags --abbrev=0 --match 'release-*' "$to" 2>/dev/null || true)}
range=${from:+$from..}$to

printf '## What is new\n\n'
git log --no-merges --reverse --format='- %s (%h)' "$range"
printf '\n## What to look at\n\n'
looked=0
look() {
    if git diff --quiet "${from:-$(git hash-object -t tree /dev/null)}" "$to" -- "$2"; then return; fi
    printf -- '- %s\n' "$1"
    looked=1
}
look 'The API changed: docs/openapi.json' docs/openapi.json
look 'Tables, queues or functions changed: cdk/functions.json' cdk/functions.json
look 'Permissions changed: cdk/test/policies.txt' cdk/test/policies.txt
look 'Settings changed: docs/settings.md' docs/settings.md
look 'CRM properties changed: run rollcall crm schema plan' shared/crm/src/schema.rs
if [ "$looked" = 0 ]; then echo '- Nothing beyond the programs.'; fi
