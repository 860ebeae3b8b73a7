// The stage table of the product, line by line, and what holds in every stage.

import assert from "node:assert/strict";
import { test } from "node:test";

import { EDGE_REGION, FILES } from "../lib/edge-stack.ts";
import { fixture, ofType, only, SYNTHESES, synthesise, type Synthesis } from "./support.ts";
import { at, list, type Resource } from "./template.ts";

const TABLE = {
  dev: {
    origin: "http://localhost:3000",
    callback: "http://localhost:3000/auth/callback",
    retention: 7,
    recoveryDays: undefined,
    deletionProtection: false,
    clientSecret: false,
    reserved: false,
    topics: [],
    release: undefined,
  },
  staging: {
    origin: "https://staging.rollcall.example",
    callback: "https://staging.rollcall.example/auth/callback",
    retention: 14,
    recoveryDays: 35,
    deletionProtection: true,
    clientSecret: true,
    reserved: false,
    topics: ["warning"],
    release: undefined,
  },
  prod: {
    origin: "https://www.rollcall.example",
    callback: "https://www.rollcall.example/auth/callback",
    retention: 30,
    recoveryDays: 35,
    deletionProtection: true,
    clientSecret: true,
    reserved: true,
    topics: ["critical", "high", "warning"],
    release: "CodeDeployDefault.LambdaCanary10Percent15Minutes",
  },
};

for (const synthesis of SYNTHESES) {
  const { stage, title, catalogue } = synthesis;
  const expected = TABLE[stage.name];

  test(`${title}: CORS origins and callback`, () => {
    const cors = only(synthesis, "AWS::ApiGatewayV2::Api").Properties["CorsConfiguration"];
    assert.deepEqual(at(cors, "AllowOrigins"), [expected.origin]);
    const environments = ofType(synthesis, "AWS::Lambda::Function").map(({ Properties }) =>
      at(Properties, "Environment", "Variables", "ROLLCALL_OIDC_REDIRECT_URI"),
    );
    const callbacks = new Set(environments.filter((value) => value !== undefined));
    for (const callback of callbacks) {
      assert.equal(callback, expected.callback);
    }
  });

  test(`${title}: log retention`, () => {
    const groups = ofType(synthesis, "AWS::Logs::LogGroup");
    assert.ok(groups.every(({ Properties }) => Properties["RetentionInDays"] === expected.retention));
  });

  test(`${title}: point-in-time recovery, deletion protection, backups`, () => {
    for (const { Properties } of ofType(synthesis, "AWS::DynamoDB::GlobalTable")) {
      const [replica] = list(Properties["Replicas"]);
      const recovery = at(replica, "PointInTimeRecoverySpecification");
      assert.equal(at(recovery, "RecoveryPeriodInDays"), expected.recoveryDays);
      assert.equal(at(replica, "DeletionProtectionEnabled"), expected.deletionProtection);
    }
    const plans = ofType(synthesis, "AWS::Backup::BackupPlan");
    assert.equal(plans.length, expected.deletionProtection ? 1 : 0);
    for (const plan of plans) {
      const rules = list(at(plan.Properties, "BackupPlan", "BackupPlanRule"));
      assert.deepEqual(
        rules.map((rule) => at(rule, "Lifecycle", "DeleteAfterDays")).sort(),
        [35, 365],
      );
      const selection = only(synthesis, "AWS::Backup::BackupSelection");
      const resources = list(at(selection.Properties, "BackupSelection", "Resources"));
      assert.equal(resources.length, catalogue.tables.length);
      assert.equal(only(synthesis, "AWS::Backup::BackupVault").DeletionPolicy, "Retain");
    }
  });

  test(`${title}: one key for the tables, which whoever may use a table may use for that alone`, () => {
    const keys = ofType(synthesis, "AWS::KMS::Key");
    assert.equal(keys.length, expected.deletionProtection ? 1 : 0);
    for (const key of keys) {
      assert.equal(key.Properties["EnableKeyRotation"], true);
      assert.equal(key.DeletionPolicy, "Retain");
      const statements = list(at(key.Properties, "KeyPolicy", "Statement"));
      const open = statements.find((statement) => at(statement, "Sid") === "ThroughDynamoDb");
      assert.deepEqual(at(open, "Condition"), {
        StringEquals: {
          "kms:CallerAccount": "account",
          "kms:ViaService": "dynamodb.region.amazonaws.com",
        },
      });
    }
  });

  test(`${title}: client secret, memory, time-outs, reserved concurrency`, () => {
    const client = ofType(synthesis, "AWS::Cognito::UserPoolClient").find(({ Properties }) =>
      String(Properties["ClientName"]).endsWith("-site"),
    );
    assert.equal(client?.Properties["GenerateSecret"], expected.clientSecret);
    for (const declaration of catalogue.functions) {
      const found = functionNamed(synthesis, declaration.name);
      assert.equal(found.Properties["MemorySize"], declaration.memory_mb);
      assert.equal(found.Properties["Timeout"], declaration.timeout_seconds);
      const reserved = expected.reserved ? (declaration.reserved_concurrency ?? undefined) : undefined;
      assert.equal(found.Properties["ReservedConcurrentExecutions"], reserved);
    }
  });

  test(`${title}: everything calls the live version; a release moves it as the stage says`, () => {
    const aliases = ofType(synthesis, "AWS::Lambda::Alias");
    assert.equal(aliases.length, catalogue.functions.length);
    const groups = ofType(synthesis, "AWS::CodeDeploy::DeploymentGroup");
    assert.equal(groups.length, expected.release === undefined ? 0 : aliases.length);
    for (const group of groups) {
      assert.equal(group.Properties["DeploymentConfigName"], expected.release);
      const rollback = group.Properties["AutoRollbackConfiguration"];
      assert.deepEqual(at(rollback, "Enabled"), true);
      assert.ok(list(at(rollback, "Events")).includes("DEPLOYMENT_STOP_ON_ALARM"));
      const alarms = list(at(group.Properties, "AlarmConfiguration", "Alarms"));
      const names = alarms.map((alarm) => String(at(alarm, "Name")));
      assert.ok(names.includes("rollcall-prod-api-down") && names.length === 2, names.join());
      const known = ofType(synthesis, "AWS::CloudWatch::Alarm").map(
        ({ Properties }) => Properties["AlarmName"],
      );
      assert.deepEqual(names.filter((name) => !known.includes(name)), []);
    }
    for (const version of ofType(synthesis, "AWS::Lambda::Version")) {
      assert.equal(version.DeletionPolicy, "Retain", "going back needs the versions before");
    }
  });

  test(`${title}: no stack holds more than CloudFormation takes`, () => {
    const { app } = synthesis;
    for (const stack of [app.data, app.events, app.api, ...app.routes, app.observability]) {
      const count = stack?.node.findAll().filter((each) => "cfnResourceType" in each).length ?? 0;
      assert.ok(count < 450, `${stack?.node.id}: ${count}`);
    }
  });

  test(`${title}: what costs is told by the stage's tag`, () => {
    for (const { id, Properties } of ofType(synthesis, "AWS::Lambda::Function")) {
      const tags = list(Properties["Tags"]);
      assert.ok(
        tags.some((tag) => at(tag, "Key") === "rollcall:stage" && at(tag, "Value") === stage.name),
        id,
      );
    }
  });
}

const CERTIFICATE = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012";
const API = { host: "api.rollcall.example", certificate_arn: CERTIFICATE.replace("us-east-1", "eu-west-1") };
const WITH_EDGE = { api: API, edge: { certificate_arn: CERTIFICATE } };

test("under a host of its own the API has TLS 1.2 and no other host", () => {
  const named = synthesise("prod", fixture(), "prod", { api: API });
  const api = only(named, "AWS::ApiGatewayV2::Api");
  assert.equal(api.Properties["DisableExecuteApiEndpoint"], true);
  const domain = only(named, "AWS::ApiGatewayV2::DomainName");
  assert.equal(domain.Properties["DomainName"], "api.rollcall.example");
  assert.equal(
    at(domain.Properties, "DomainNameConfigurations", 0, "SecurityPolicy"),
    "TLS_1_2",
  );
  only(named, "AWS::ApiGatewayV2::ApiMapping");
});

test("the edge: firewall, TLS, nothing of the API is cached, files come from a sealed bucket", () => {
  const edge = synthesise("prod", fixture(), "prod", WITH_EDGE);
  assert.equal(edge.app.edge?.region, EDGE_REGION);
  const config = at(only(edge, "AWS::CloudFront::Distribution").Properties, "DistributionConfig");
  assert.deepEqual(at(config, "Aliases"), ["www.rollcall.example"]);
  assert.equal(at(config, "ViewerCertificate", "MinimumProtocolVersion"), "TLSv1.2_2021");
  assert.equal(at(config, "WebACLId"), `${only(edge, "AWS::WAFv2::WebACL").id}.Arn`);
  const api = at(config, "DefaultCacheBehavior");
  // Amazon's policies CachingDisabled and AllViewerExceptHostHeader.
  assert.equal(at(api, "CachePolicyId"), "4135ea2d-6df8-44a3-9df3-4b5a84be39ad");
  assert.equal(at(api, "OriginRequestPolicyId"), "b689b0a8-53d0-40ab-baf2-68738e2966ac");
  assert.equal(at(api, "ViewerProtocolPolicy"), "https-only");
  assert.deepEqual(
    list(at(config, "CacheBehaviors")).map((behaviour) => at(behaviour, "PathPattern")),
    FILES.map((folder) => `/${folder}/*`),
  );
  assert.equal(at(config, "CustomErrorResponses"), undefined, "an error of the API stays JSON");
  const bucket = only(edge, "AWS::S3::Bucket");
  assert.deepEqual(bucket.Properties["PublicAccessBlockConfiguration"], {
    BlockPublicAcls: true,
    BlockPublicPolicy: true,
    IgnorePublicAcls: true,
    RestrictPublicBuckets: true,
  });
  only(edge, "AWS::CloudFront::OriginAccessControl");
  const statements = list(
    at(only(edge, "AWS::S3::BucketPolicy").Properties, "PolicyDocument", "Statement"),
  );
  const allowed = statements.filter((statement) => at(statement, "Effect") === "Allow");
  assert.deepEqual(
    allowed.map((statement) => [at(statement, "Action"), at(statement, "Principal")]),
    [["s3:GetObject", { Service: "cloudfront.amazonaws.com" }]],
  );
  assert.ok(allowed.every((statement) => at(statement, "Condition", "StringEquals") !== undefined));
});

test("the firewall limits each address and follows Amazon's rules, but lets people write", () => {
  const edge = synthesise("prod", fixture(), "prod", WITH_EDGE);
  const firewall = only(edge, "AWS::WAFv2::WebACL").Properties;
  assert.equal(firewall["Scope"], "CLOUDFRONT");
  const rules = list(firewall["Rules"]);
  assert.deepEqual(at(rules[0], "Statement", "RateBasedStatement"), {
    AggregateKeyType: "IP",
    Limit: 2000,
  });
  const managed = rules.slice(1).map((rule) => [
    at(rule, "Name"),
    list(at(rule, "Statement", "ManagedRuleGroupStatement", "RuleActionOverrides")).map((each) =>
      at(each, "Name"),
    ),
  ]);
  assert.deepEqual(managed, [
    ["AWSManagedRulesAmazonIpReputationList", []],
    ["AWSManagedRulesKnownBadInputsRuleSet", []],
    [
      "AWSManagedRulesCommonRuleSet",
      ["SizeRestrictions_BODY", "CrossSiteScripting_BODY", "NoUserAgent_HEADER"],
    ],
  ]);
  for (const rule of rules) {
    assert.equal(at(rule, "VisibilityConfig", "SampledRequestsEnabled"), false, "samples hold data");
  }
});

test("pages get every security header", () => {
  const edge = synthesise("prod", fixture(), "prod", WITH_EDGE);
  const policies = ofType(edge, "AWS::CloudFront::ResponseHeadersPolicy");
  const pages = policies.find(({ id }) => id.startsWith("PageHeaders"));
  const security = at(pages?.Properties, "ResponseHeadersPolicyConfig", "SecurityHeadersConfig");
  assert.deepEqual(at(security, "StrictTransportSecurity"), {
    AccessControlMaxAgeSec: 31_536_000,
    IncludeSubdomains: true,
    Override: true,
    Preload: true,
  });
  assert.equal(at(security, "FrameOptions", "FrameOption"), "DENY");
  const policy = String(at(security, "ContentSecurityPolicy", "ContentSecurityPolicy"));
  assert.match(policy, /object-src 'none'.*frame-ancestors 'none'/);
  assert.doesNotMatch(policy, /unsafe/);
  const custom = at(pages?.Properties, "ResponseHeadersPolicyConfig", "CustomHeadersConfig", "Items");
  assert.ok(list(custom).some((each) => at(each, "Header") === "permissions-policy"));
});

test("a route where the edge serves files stops the synthesis", () => {
  const catalogue = fixture();
  const [health] = catalogue.functions;
  health?.triggers.push({ kind: "http", method: "GET", path: "/console/{page}" });
  assert.throws(() => synthesise("prod", catalogue, "prod", WITH_EDGE), /no route can be there/);
});

const DELIVERY = { repository: "example/rollcall", branch: "main", provider: "create" };

test("GitHub deploys a stage from its environment on one branch, without a key, and nothing else", () => {
  for (const name of ["dev", "staging", "prod"] as const) {
    const delivered = synthesise(name, fixture(), name, { delivery: DELIVERY });
    const role = roleNamed(delivered, `rollcall-${name}-deploy`);
    const [trust, ...others] = list(at(role.Properties, "AssumeRolePolicyDocument", "Statement"));
    assert.deepEqual(others, []);
    assert.equal(at(trust, "Action"), "sts:AssumeRoleWithWebIdentity");
    assert.deepEqual(at(trust, "Condition"), {
      StringEquals: {
        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
        "token.actions.githubusercontent.com:sub": `repo:example/rollcall:environment:${name}:ref:refs/heads/main`,
      },
    });
    only(delivered, "AWS::IAM::OIDCProvider");
    const actions = list(role.Properties["Policies"])
      .flatMap((policy) => list(at(policy, "PolicyDocument", "Statement")))
      .flatMap((statement) => list(at(statement, "Action")));
    assert.deepEqual(actions.sort(), [
      "cloudwatch:DescribeAlarms",
      "lambda:GetAlias",
      "lambda:ListVersionsByFunction",
      "lambda:UpdateAlias",
      "sqs:GetQueueAttributes",
      "sqs:GetQueueUrl",
      "sts:AssumeRole",
    ]);
  }
  const existing = synthesise("prod", fixture(), "prod", {
    delivery: { ...DELIVERY, provider: "existing" },
  });
  assert.deepEqual(ofType(existing, "AWS::IAM::OIDCProvider"), []);
});

test("switch: instances that are kept ready", () => {
  const ready = synthesise("prod", fixture(), "prod", { provisioned_concurrency: { enroll: 3 } });
  const found = ofType(ready, "AWS::Lambda::Alias").map(({ Properties }) =>
    at(Properties, "ProvisionedConcurrencyConfig"),
  );
  assert.deepEqual(
    found.filter((each) => each !== undefined),
    [{ ProvisionedConcurrentExecutions: 3 }],
  );
});

test("switch: capacity that is paid for and follows the load", () => {
  const provisioned_capacity = { read: { min: 5, max: 500 }, write: { min: 2, max: 200 } };
  const paid = synthesise("prod", fixture(), "prod", { provisioned_capacity });
  for (const { Properties } of ofType(paid, "AWS::DynamoDB::GlobalTable")) {
    assert.equal(Properties["BillingMode"], "PROVISIONED");
    const write = at(Properties, "WriteProvisionedThroughputSettings");
    assert.deepEqual(at(write, "WriteCapacityAutoScalingSettings", "MaxCapacity"), 200);
  }
});

test("switch: a network of ours, in which functions may do what Lambda needs and no more", () => {
  const inVpc = synthesise("prod", fixture(), "prod", { vpc: true });
  const functions = ofType(inVpc, "AWS::Lambda::Function").filter(({ Properties }) =>
    String(Properties["FunctionName"]).startsWith("rollcall-"),
  );
  for (const { Properties } of functions) {
    assert.ok(list(at(Properties, "VpcConfig", "SubnetIds")).length === 2);
  }
  assert.equal(ofType(inVpc, "AWS::EC2::NatGateway").length, 1);
  only(inVpc, "AWS::EC2::FlowLog");
});

test("switch: replicas of tables and secrets in other regions, and a second region that waits", () => {
  const values = {
    region: "eu-central-1",
    replica_regions: ["eu-west-1"],
    standby: { region: "eu-west-1" },
    identity: {
      provider: "other",
      issuer: "https://id.rollcall.example",
      client_id: "rollcall",
      profile: "generic",
    },
  };
  const first = synthesise("prod", fixture(), "prod", values);
  for (const { Properties } of ofType(first, "AWS::DynamoDB::GlobalTable")) {
    const regions = list(Properties["Replicas"]).map((replica) => at(replica, "Region"));
    assert.deepEqual(regions.sort(), ["eu-central-1", "eu-west-1"]);
  }
  for (const { Properties } of ofType(first, "AWS::SecretsManager::Secret")) {
    assert.deepEqual(at(Properties, "ReplicaRegions"), [{ Region: "eu-west-1" }]);
  }
  const second = synthesise("prod", fixture(), "standby", values, true);
  assert.equal(second.app.region, "eu-west-1");
  assert.deepEqual(ofType(second, "AWS::DynamoDB::GlobalTable"), []);
  const streams = ({ resources }: Synthesis) =>
    resources.filter(({ Properties }) => Properties["StartingPosition"] !== undefined);
  assert.deepEqual(streams(second), [], "nothing is told twice");
  const stream_arns = { users: "arn:aws:dynamodb:eu-west-1:1:table/rollcall-prod-users/stream/1" };
  const over = synthesise("prod", fixture(), "over", { ...values, standby: { ...values.standby, stream_arns } }, true);
  assert.equal(streams(over).length, 1, "it takes over");
});

for (const [what, values, message] of [
  ["replicas without a region", { replica_regions: ["eu-west-1"] }, /needs `region`/],
  ["a standby without replicas", { standby: { region: "eu-west-1" } }, /no replicas/],
  ["an edge without the API's host", { edge: { certificate_arn: CERTIFICATE } }, /needs `api`/],
  [
    "an edge's certificate elsewhere",
    { ...WITH_EDGE, edge: { certificate_arn: API.certificate_arn } },
    /certificate_arn/,
  ],
] as const) {
  test(`a deployment is refused: ${what}`, () => {
    assert.throws(() => synthesise("prod", fixture(), what, values), message);
  });
}

function functionNamed(synthesis: Synthesis, name: string): Resource {
  const full = `rollcall-${synthesis.stage.name}-${name}`;
  const found = ofType(synthesis, "AWS::Lambda::Function").find(
    ({ Properties }) => Properties["FunctionName"] === full,
  );
  assert.ok(found, full);
  return found;
}

function roleNamed(synthesis: Synthesis, name: string): Resource {
  const found = ofType(synthesis, "AWS::IAM::Role").find(
    ({ Properties }) => Properties["RoleName"] === name,
  );
  assert.ok(found, name);
  return found;
}
