#!/bin/sh
# Checks the synthesised templates of all stages with cfn-lint. Run `npm run synth` before.
set -eu
cd "$(dirname "$0")"

linter=../.tools/venv/bin/cfn-lint
[ -x "$linter" ] || linter=cfn-lint
command -v "$linter" >/dev/null || {
  echo "cfn-lint is missing: any make target that tests installs it" >&2
  exit 1
}

for stage in dev staging prod; do
  set -- "cdk.out/assembly-rollcall-$stage"/*.template.json
  [ -f "$1" ] || {
    echo "no templates of stage $stage: run npm run synth first" >&2
    exit 1
  }
  "$linter" --config-file .cfnlintrc.yaml -- "$@"
  echo "$stage: $# templates are clean"
done
