#!/usr/bin/env bash
# Deploys a stage from programs that are there already, unless it would replace what holds data.
#   scripts/deploy-stage.sh staging
set -euo pipefail
cd "$(dirname "$0")/../cdk"

stage=${1:?which stage}
case $stage in
dev | staging | prod) ;;
*) echo "there is no stage $stage" >&2 && exit 1 ;;
esac

assembly=cdk.out/assembly-rollcall-$stage
deployed=../target/deployed/$stage
npx cdk synth --quiet -c artefacts=required "rollcall-$stage/*"
rm -rf "$deployed"
mkdir -p "$deployed"
# A stack that is not there yet has nothing that could be lost.
node -e '
  const { artifacts } = require(require("node:path").resolve(process.argv[1], "manifest.json"));
  for (const { type, properties } of Object.values(artifacts)) {
    if (type === "aws:cloudformation:stack") console.log(properties.stackName, properties.templateFile);
  }' "$assembly" |
    while read -r stack file; do
        aws cloudformation get-template --stack-name "$stack" --query TemplateBody --output json \
            >"$deployed/$file" 2>/dev/null || rm -f "$deployed/$file"
    done
npm run --silent refuse-replacement -- "$deployed" "$assembly"
npm run --silent deploy -- "rollcall-$stage/*" --require-approval never
