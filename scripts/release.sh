#!/usr/bin/env bash
# Names what prod runs now, with its notes. Run by the deployment, after prod.
set -euo pipefail

name="release-$(date -u +%Y%m%d-%H%M%S)"
notes=$(mktemp)
"$(dirname "$0")/release-notes.sh" >"$notes"
gh release create "$name" --target "$(git rev-parse HEAD)" --title "$name" --notes-file "$notes"
