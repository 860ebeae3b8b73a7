//! The functions that a user pool calls ("Customizing user pool workflows with Lambda triggers" in
//! Cognito's developer guide): their events, its patience with them, and what it makes of answers.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Map, Value, json};

use crate::options::User;
use crate::provider::Provider;
use crate::state::Grant;

/// How long the pool waits for one call.
pub const TRIGGER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often it calls when no answer comes in time.
const CALLS_MAX: u32 = 3;

/// When a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// Somebody has confirmed their address.
    PostConfirmation,
    /// Tokens are about to be made.
    PreTokenGeneration,
}

/// Why a trigger did not do its work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TriggerError {
    /// The function failed, in its own words.
    #[error("{0}")]
    Failed(String),
    /// It did not answer in time, three times.
    #[error("the function took longer than five seconds")]
    TimedOut,
    /// It did not give the event back.
    #[error("Unrecognizable lambda output")]
    Unrecognizable,
}

/// Who can call the functions.
pub trait Triggers: Send + Sync {
    /// Calls the function of `trigger` with an event; `None` when it has none.
    fn invoke(
        &self,
        trigger: Trigger,
        event: Value,
    ) -> Option<BoxFuture<'_, Result<Value, TriggerError>>>;
}

impl Trigger {
    fn name(self) -> &'static str {
        match self {
            Self::PostConfirmation => "PostConfirmation",
            Self::PreTokenGeneration => "PreTokenGeneration",
        }
    }

    fn event_version(self) -> &'static str {
        match self {
            Self::PostConfirmation => "1",
            Self::PreTokenGeneration => "2",
        }
    }
}

/// A trigger that keeps somebody out, as Cognito words it.
#[derive(Debug)]
pub(crate) struct Obstacle(pub(crate) String);

/// Why tokens are made, as far as events tell.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A sign-in at the hosted pages.
    HostedAuth,
    /// A refresh.
    RefreshTokens,
}

/// What a function wants to be different in the tokens.
#[derive(Default)]
pub(crate) struct Override {
    /// The groups instead of the person's; none of them when they are suppressed.
    groups: Option<Vec<Value>>,
    pub(crate) id: ClaimChanges,
    pub(crate) access: ClaimChanges,
}

/// What a function wants to be different in one token.
#[derive(Default)]
pub(crate) struct ClaimChanges {
    set: Map<String, Value>,
    removed: Vec<String>,
}

/// Tells that somebody has confirmed their address. The account stands whatever comes of it.
pub(crate) async fn post_confirmation(
    provider: &Provider,
    client_id: &str,
    user: &User,
) -> Result<(), Obstacle> {
    let call = Call {
        trigger: Trigger::PostConfirmation,
        source: "PostConfirmation_ConfirmSignUp",
        client_id,
        user,
        request: json!({ "userAttributes": attributes(user) }),
        response: json!({}),
    };
    call.make(provider).await.map(drop)
}

/// Asks what is to be different in the tokens of a person.
pub(crate) async fn pre_token_generation(
    provider: &Provider,
    occasion: Occasion,
    grant: &Grant,
    user: &User,
) -> Result<Override, Obstacle> {
    let source = match occasion {
        Occasion::HostedAuth => "TokenGeneration_HostedAuth",
        Occasion::RefreshTokens => "TokenGeneration_RefreshTokens",
    };
    let call = Call {
        trigger: Trigger::PreTokenGeneration,
        source,
        client_id: &grant.client_id,
        user,
        request: json!({
            "userAttributes": attributes(user),
            "groupConfiguration": {
                "groupsToOverride": user.groups,
                "iamRolesToOverride": [],
                "preferredRole": null,
            },
            "scopes": grant.scopes,
        }),
        response: json!({ "claimsAndScopeOverrideDetails": null }),
    };
    let response = call.make(provider).await?;
    Ok(response.map_or_else(Override::default, |response| Override::read(&response)))
}

/// One event, before it is one.
struct Call<'a> {
    trigger: Trigger,
    source: &'static str,
    client_id: &'a str,
    user: &'a User,
    request: Value,
    response: Value,
}

impl Call<'_> {
    /// Calls the function, and answers the `response` of the event that it gave back; `None` when
    /// there is no function.
    async fn make(self, provider: &Provider) -> Result<Option<Value>, Obstacle> {
        let Some(triggers) = provider.triggers() else {
            return Ok(None);
        };
        let trigger = self.trigger;
        let event = self.event(provider);
        let mut answer = Err(TriggerError::TimedOut);
        for _ in 0..CALLS_MAX {
            let Some(invocation) = triggers.invoke(trigger, event.clone()) else {
                return Ok(None);
            };
            if let Ok(answered) = tokio::time::timeout(TRIGGER_TIMEOUT, invocation).await {
                answer = answered;
                break;
            }
        }
        let response = answer.and_then(|answer| given_back(&event, answer));
        response.map(Some).map_err(|error| {
            let name = trigger.name();
            tracing::error!(trigger = name, %error, "a user pool's trigger failed");
            Obstacle(format!("{name} failed with error {error}."))
        })
    }

    fn event(self, provider: &Provider) -> Value {
        json!({
            "version": self.trigger.event_version(),
            "triggerSource": self.source,
            "region": provider.region(),
            "userPoolId": provider.pool_id(),
            "userName": self.user.username,
            "callerContext": {
                "awsSdkVersion": "aws-sdk-unknown-unknown",
                "clientId": self.client_id,
            },
            "request": self.request,
            "response": self.response,
        })
    }
}

/// The response, if the rest is the event that was sent.
fn given_back(sent: &Value, mut answer: Value) -> Result<Value, TriggerError> {
    let same = ["version", "triggerSource", "userPoolId", "userName"]
        .iter()
        .all(|name| sent.get(name) == answer.get(name));
    match answer.get_mut("response").map(Value::take) {
        Some(response @ Value::Object(_)) if same => Ok(response),
        _ => Err(TriggerError::Unrecognizable),
    }
}

/// Every attribute as text, which is how events carry them.
fn attributes(user: &User) -> Value {
    let mut attributes = json!({
        "sub": user.subject,
        "cognito:user_status": "CONFIRMED",
        "email": user.email,
        "email_verified": user.email_verified.to_string(),
    });
    if let Value::Object(attributes) = &mut attributes {
        let names = [("given_name", &user.given_name), ("family_name", &user.family_name)];
        let known = names.into_iter().filter(|(_, name)| !name.is_empty());
        attributes.extend(known.map(|(attribute, name)| (attribute.to_owned(), json!(name))));
    }
    attributes
}

impl Override {
    fn read(response: &Value) -> Self {
        match response.get("claimsAndScopeOverrideDetails") {
            None | Some(Value::Null) => Self::default(),
            Some(details) => {
                let groups = details.pointer("/groupOverrideDetails/groupsToOverride");
                let groups = groups.and_then(Value::as_array).cloned();
                Self {
                    // Details without groups suppress them, as the guide says.
                    groups: Some(groups.unwrap_or_default()),
                    id: ClaimChanges::read(details.get("idTokenGeneration")),
                    access: ClaimChanges::read(details.get("accessTokenGeneration")),
                }
            }
        }
    }

    /// The person as the tokens are to show them.
    pub(crate) fn person(&self, user: &User) -> User {
        let Some(groups) = &self.groups else {
            return user.clone();
        };
        let names = groups.iter().filter_map(Value::as_str);
        User { groups: names.map(ToOwned::to_owned).collect(), ..user.clone() }
    }
}

impl ClaimChanges {
    fn read(generation: Option<&Value>) -> Self {
        let part = |name| generation.and_then(|generation| generation.get(name));
        let set = part("claimsToAddOrOverride").and_then(Value::as_object).cloned();
        let removed = part("claimsToSuppress").and_then(Value::as_array);
        let removed = removed.into_iter().flatten().filter_map(Value::as_str);
        Self { set: set.unwrap_or_default(), removed: removed.map(ToOwned::to_owned).collect() }
    }

    /// Changes claims, save those that Cognito keeps for itself.
    pub(crate) fn apply(&self, claims: &mut Map<String, Value>) {
        let allowed =
            |name: &&String| !RESERVED.contains(&name.as_str()) && !name.starts_with("cognito:");
        for name in self.removed.iter().filter(allowed) {
            claims.remove(name);
        }
        for (name, value) in self.set.iter().filter(|(name, _)| allowed(name)) {
            claims.insert(name.clone(), value.clone());
        }
    }
}

/// Claims that no function changes ("Pre token generation Lambda trigger", excluded claims).
const RESERVED: [&str; 22] = [
    "acr",
    "amr",
    "at_hash",
    "aud",
    "auth_time",
    "azp",
    "client_id",
    "device_key",
    "event_id",
    "exp",
    "iat",
    "identities",
    "iss",
    "jti",
    "nbf",
    "nonce",
    "origin_jti",
    "scope",
    "sub",
    "token_use",
    "username",
    "version",
];
