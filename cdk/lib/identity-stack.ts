// The user pool: who people are, how they prove it, and which of our functions it calls on the way.

import { CfnOutput, Duration, RemovalPolicy, Stack } from "aws-cdk-lib";
import {
  AccountRecovery,
  type AuthFlow,
  CfnUserPool,
  ClientAttributes,
  FeaturePlan,
  Mfa,
  OAuthScope,
  ResourceServerScope,
  UserPool,
  UserPoolClient,
  UserPoolClientIdentityProvider,
  VerificationEmailStyle,
} from "aws-cdk-lib/aws-cognito";
import type { Construct } from "constructs";

import type { Catalogue, CognitoTrigger } from "./catalogue.ts";
import type { Deployment } from "./deployment.ts";
import { fullName, liveArn } from "./names.ts";
import { callbackUrl, type IdentityProvider } from "./settings.ts";
import type { Stage } from "./stage.ts";

export interface IdentityStackProps {
  readonly stage: Stage;
  readonly catalogue: Catalogue;
  readonly deployment: Deployment;
  readonly domainPrefix: string;
}

/**
 * People sign in on the hosted pages alone. A client without a list gets Cognito's default one, with
 * sign-ins by API; this flow needs triggers of its own, and without them signs nobody in.
 */
const NO_SIGN_IN_BY_API: AuthFlow = { custom: true };
const PASSWORD_LENGTH_MIN = 12;
const TOKEN_VALIDITY = Duration.hours(1);
const REFRESH_VALIDITY = Duration.days(30);
/** A replaced refresh token works a little longer, for an answer that was lost on its way. */
const ROTATION_GRACE = Duration.seconds(60);

export class IdentityStack extends Stack {
  /** What functions must know of the pool. */
  readonly provider: IdentityProvider;
  readonly userPoolArn: string;

  constructor(scope: Construct, private readonly props: IdentityStackProps) {
    super(scope, "identity", { terminationProtection: props.stage.protectsData });
    const pool = this.createPool();
    pool.addDomain("Domain", { cognitoDomain: { domainPrefix: props.domainPrefix } });
    const site = this.createSiteClient(pool);
    const monitor = this.createMonitorClient(pool);
    this.provider = {
      issuer: pool.userPoolProviderUrl,
      clientId: site.userPoolClientId,
      profile: "cognito",
      machineClientIds: [monitor.userPoolClientId],
    };
    this.userPoolArn = pool.userPoolArn;
    new CfnOutput(this, "UserPoolId", { value: pool.userPoolId });
    new CfnOutput(this, "SiteClientId", { value: site.userPoolClientId });
    new CfnOutput(this, "MonitorClientId", { value: monitor.userPoolClientId });
  }

  private createPool(): UserPool {
    const { stage } = this.props;
    const pool = new UserPool(this, "Users", {
      userPoolName: fullName(stage.name, "users"),
      // Events of version V2_0, with which roles come into access tokens, need this plan.
      featurePlan: FeaturePlan.ESSENTIALS,
      selfSignUpEnabled: true,
      signInAliases: { email: true },
      signInCaseSensitive: false,
      standardAttributes: { email: { required: true, mutable: true } },
      autoVerify: { email: true },
      userVerification: {
        emailSubject: "Your Rollcall code",
        emailBody: "Your code is {####}. Nobody from Rollcall will ever ask you for it.",
        emailStyle: VerificationEmailStyle.CODE,
      },
      // A new address counts once it is proven; until then the old one does.
      keepOriginal: { email: true },
      passwordPolicy: {
        minLength: PASSWORD_LENGTH_MIN,
        requireLowercase: true,
        requireUppercase: true,
        requireDigits: true,
        requireSymbols: true,
        tempPasswordValidity: Duration.days(1),
      },
      mfa: Mfa.OPTIONAL,
      mfaSecondFactor: { sms: false, otp: true },
      accountRecovery: AccountRecovery.EMAIL_ONLY,
      deviceTracking: {
        challengeRequiredOnNewDevice: true,
        deviceOnlyRememberedOnUserPrompt: true,
      },
      deletionProtection: stage.protectsData,
      removalPolicy: stage.protectsData ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY,
    });
    const resource = pool.node.defaultChild;
    if (!(resource instanceof CfnUserPool)) {
      throw new Error("a user pool is made of one resource");
    }
    // By their ARNs: the functions need the pool's issuer, so they come after it.
    const postConfirmation = this.triggerArn("post-confirmation");
    const preTokenGeneration = this.triggerArn("pre-token-generation");
    resource.lambdaConfig = {
      ...(postConfirmation !== undefined && { postConfirmation }),
      ...(preTokenGeneration !== undefined && {
        preTokenGenerationConfig: { lambdaArn: preTokenGeneration, lambdaVersion: "V2_0" },
      }),
    };
    return pool;
  }

  private triggerArn(name: CognitoTrigger["trigger"]): string | undefined {
    const { catalogue, stage } = this.props;
    const declaration = catalogue.functions.find(({ triggers }) =>
      triggers.some((trigger) => trigger.kind === "cognito" && trigger.trigger === name),
    );
    return declaration && liveArn(this, stage.name, declaration.name);
  }

  /** Our site: people sign in by code, and no password passes through our hands. */
  private createSiteClient(pool: UserPool): UserPoolClient {
    const { stage, deployment } = this.props;
    const names = { givenName: true, familyName: true };
    return pool.addClient("Site", {
      userPoolClientName: fullName(stage.name, "site"),
      generateSecret: stage.hasClientSecret,
      authFlows: NO_SIGN_IN_BY_API,
      supportedIdentityProviders: [UserPoolClientIdentityProvider.COGNITO],
      oAuth: {
        flows: { authorizationCodeGrant: true },
        scopes: [OAuthScope.OPENID, OAuthScope.EMAIL, OAuthScope.PROFILE],
        callbackUrls: [callbackUrl(deployment)],
        logoutUrls: [deployment.site_url],
      },
      readAttributes: new ClientAttributes().withStandardAttributes({
        ...names,
        email: true,
        emailVerified: true,
      }),
      writeAttributes: new ClientAttributes().withStandardAttributes({ ...names, email: true }),
      preventUserExistenceErrors: true,
      enableTokenRevocation: true,
      accessTokenValidity: TOKEN_VALIDITY,
      idTokenValidity: TOKEN_VALIDITY,
      refreshTokenValidity: REFRESH_VALIDITY,
      refreshTokenRotationGracePeriod: ROTATION_GRACE,
    });
  }

  /** A machine that watches over Rollcall and signs nobody in. */
  private createMonitorClient(pool: UserPool): UserPoolClient {
    const operate = new ResourceServerScope({
      scopeName: "operate",
      scopeDescription: "Read how Rollcall is doing",
    });
    const server = pool.addResourceServer("Rollcall", {
      identifier: "rollcall",
      scopes: [operate],
    });
    return pool.addClient("Monitor", {
      userPoolClientName: fullName(this.props.stage.name, "monitor"),
      generateSecret: true,
      authFlows: NO_SIGN_IN_BY_API,
      supportedIdentityProviders: [UserPoolClientIdentityProvider.COGNITO],
      oAuth: {
        flows: { clientCredentials: true },
        scopes: [OAuthScope.resourceServer(server, operate)],
      },
      preventUserExistenceErrors: true,
      enableTokenRevocation: true,
      accessTokenValidity: TOKEN_VALIDITY,
    });
  }
}
