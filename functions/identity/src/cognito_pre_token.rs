//! Shows in the tokens of a user pool what its people may do with us: roles that an administrator
//! granted join the pool's own groups in `cognito:groups`.
//!
//! What the pool's own groups are stays readable in a claim of the id token, for `auth-callback` takes
//! its part of the roles from there. Without it a granted role would come back as the pool's at the
//! next sign-in, and could never be withdrawn.
//!
//! A failure would keep people out, so there is none: when the table does not answer in time, the
//! groups stay as they are. Then a token shows fewer roles than somebody has, and never more; our own
//! routes go by the session and not by these groups.

use std::convert::Infallible;
use std::time::Duration;

use rollcall_domain::groups;
use rollcall_domain::port::PortError;
use rollcall_domain::user::User;
use rollcall_oidc::PROVIDER_GROUPS;
use rollcall_runtime::declaration::{COGNITO_TIMEOUT_SECONDS, CognitoTrigger};
use rollcall_runtime::invocation::chain;
use rollcall_runtime::{Function, Invocation, Startup, StartupError, Trigger};
use rollcall_store::Capability;
use rollcall_store::users::UserReader;
use serde_json::{Value, json};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use crate::pool::PoolEvent;
use crate::settings::OIDC_ISSUER;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "cognito-pre-token",
    purpose: "Puts people's roles into the tokens of the user pool.",
    triggers: &[Trigger::Cognito(CognitoTrigger::PreTokenGeneration)],
    grants: &[UserReader::GRANTS],
    settings: &[&OIDC_ISSUER],
    timeout_seconds: COGNITO_TIMEOUT_SECONDS,
    start: |startup| Ok(rollcall_runtime::event(Ports::new(startup)?, handle)),
    ..Function::EVENT
};

/// How long reading may take.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

struct Ports {
    users: UserReader,
    issuer: String,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        let issuer = startup.setting(&OIDC_ISSUER)?.to_owned();
        Ok(Self { users: startup.capability()?, issuer })
    }
}

/// Whose tokens are made.
struct Input<'a> {
    subject: &'a str,
    /// The pool's groups, with what else it wants back unchanged.
    configuration: &'a Value,
}

impl<'a> Input<'a> {
    /// `None` when the event is of another pool, or its version is not the one that we answer.
    fn read(event: &'a Value, issuer: &str) -> Option<Self> {
        let event = PoolEvent::of(event, issuer).filter(|event| event.version() == "2")?;
        Some(Self {
            subject: event.subject()?,
            configuration: event.request("groupConfiguration").unwrap_or(&Value::Null),
        })
    }

    fn groups(&self) -> Vec<String> {
        let groups = self.configuration.get("groupsToOverride").and_then(Value::as_array);
        let groups = groups.into_iter().flatten().filter_map(Value::as_str);
        groups.map(ToOwned::to_owned).collect()
    }
}

/// Gives the event back, with groups if they are to be others, whatever happens.
async fn handle(
    ports: &Ports,
    mut event: Value,
    _invocation: &Invocation,
) -> Result<Value, Infallible> {
    let details = match Input::read(&event, &ports.issuer) {
        None => {
            tracing::error!("tokens are made for an event that is not understood");
            None
        }
        Some(input) => match find(ports, &input).await {
            Ok(user) => user.and_then(|user| details(&input, &user)),
            Err(error) => {
                tracing::error!(error = chain(&error), "tokens are made without granted roles");
                None
            }
        },
    };
    if let (Some(details), Some(event)) = (details, event.as_object_mut()) {
        let response = json!({ "claimsAndScopeOverrideDetails": details });
        event.insert("response".to_owned(), response);
    }
    Ok(event)
}

async fn find(ports: &Ports, input: &Input<'_>) -> Result<Option<User>, PreTokenError> {
    let found = ports.users.find_by_identity(&ports.issuer, input.subject);
    Ok(timeout(READ_TIMEOUT, found).await??)
}

/// What is to be different. The parts of the group configuration that are not ours go back as they
/// came, since Cognito takes the answer for the whole.
fn details(input: &Input<'_>, user: &User) -> Option<Value> {
    let own = input.groups();
    let shown = groups::shown(user, &own)?;
    let part = |name| input.configuration.get(name).cloned().unwrap_or_default();
    Some(json!({
        "groupOverrideDetails": {
            "groupsToOverride": shown,
            "iamRolesToOverride": part("iamRolesToOverride"),
            "preferredRole": part("preferredRole"),
        },
        "idTokenGeneration": { "claimsToAddOrOverride": { PROVIDER_GROUPS: own } },
    }))
}

#[derive(Debug, thiserror::Error)]
enum PreTokenError {
    #[error("it took too long")]
    TooLong(#[from] Elapsed),
    #[error(transparent)]
    Port(#[from] PortError),
}
