// Which changes of a template would take data with them. CloudFormation replaces a resource when certain
// properties change: it makes a new, empty one and deletes the old one, or leaves it without anybody
// who uses it. What holds data or names that others know may neither be replaced nor go.

type Properties = Readonly<Record<string, unknown>>;

export interface TemplateResource {
  readonly Type: string;
  readonly Properties?: Properties;
  readonly DeletionPolicy?: string;
}

export interface TemplateOf {
  readonly Resources?: Readonly<Record<string, TemplateResource>>;
}

/** Resources with a memory, and the properties whose change makes a new one (AWS's reference). */
const STATEFUL: Readonly<Record<string, readonly string[]>> = {
  "AWS::DynamoDB::GlobalTable": ["TableName", "KeySchema", "LocalSecondaryIndexes"],
  "AWS::SecretsManager::Secret": ["Name"],
  "AWS::KMS::Key": ["KeySpec", "KeyUsage", "MultiRegion"],
  "AWS::S3::Bucket": ["BucketName", "ObjectLockEnabled"],
  "AWS::SQS::Queue": ["QueueName", "FifoQueue"],
  "AWS::Backup::BackupVault": ["BackupVaultName", "EncryptionKeyArn"],
  "AWS::Cognito::UserPool": ["AliasAttributes", "UsernameAttributes", "UsernameConfiguration"],
  // A new client has a new id, and everybody signs in anew.
  "AWS::Cognito::UserPoolClient": ["UserPoolId", "GenerateSecret"],
  "AWS::Cognito::UserPoolDomain": ["Domain", "UserPoolId"],
  // Its address is what callers know.
  "AWS::ApiGatewayV2::Api": ["ProtocolType"],
  "AWS::ApiGatewayV2::DomainName": ["DomainName"],
  "AWS::CloudFront::Distribution": [],
};

/** What stands in the way of putting `after` in the place of `before`. */
export function refusals(before: TemplateOf, after: TemplateOf): string[] {
  return Object.entries(before.Resources ?? {}).flatMap(([id, old]) => {
    const replacing = STATEFUL[old.Type];
    if (replacing === undefined) {
      return [];
    }
    const now = after.Resources?.[id];
    if (now === undefined) {
      return [`${old.Type} ${id} would go`];
    }
    if (now.Type !== old.Type) {
      return [`${old.Type} ${id} would become ${now.Type}`];
    }
    const changed = replacing.filter((name) => !isSame(old.Properties?.[name], now.Properties?.[name]));
    const replaced = changed.map((name) => `${old.Type} ${id} would be replaced: ${name} changes`);
    return old.DeletionPolicy === "Retain" && now.DeletionPolicy !== "Retain"
      ? [...replaced, `${old.Type} ${id} would not be retained any more`]
      : replaced;
  });
}

function isSame(left: unknown, right: unknown): boolean {
  return JSON.stringify(sorted(left)) === JSON.stringify(sorted(right));
}

/** The same value with the keys of its objects in order. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(sorted);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const entries = Object.entries(value).map(([key, part]): [string, unknown] => [key, sorted(part)]);
  return Object.fromEntries(entries.sort(([left], [right]) => left.localeCompare(right)));
}
