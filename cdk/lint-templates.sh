#!/bin/sh
# Checks the synthesised templates of all stages, and of a prod with every switch on, with cfn-lint. Run `npm run synth` before.
set -eu
cd "$(dirname "$0")"

linter=../.tools/venv/bin/cfn-lint
[ -x "$linter" ] || linter=cfn-lint
command -v "$linter" >/dev/null || {
  echo "cfn-lint is missing: any make target that tests installs it" >&2
  exit 1
}

for folder in rollcall-dev rollcall-staging rollcall-prod whole/assembly-rollcall-prod whole/assembly-rollcall-prod-standby; do
  case $folder in
  whole/*) path=cdk.out/$folder ;;
  *) path=cdk.out/assembly-$folder ;;
  esac
  set -- "$path"/*.template.json
  [ -f "$1" ] || {
    echo "no templates in $path: run npm run synth first" >&2
    exit 1
  }
  "$linter" --config-file .cfnlintrc.yaml -- "$@"
  echo "$folder: $# templates are clean"
done
