//! Hands the caller everything that is kept of them, as one file (GDPR articles 15 and 20): their
//! items of every table, as they are stored. What only proves who somebody is, such as the hashes of
//! session cookies and the sealed tokens of the identity provider, is left out.

use std::collections::BTreeMap;

use rollcall_edge::{Caller, Context, NoInput, Problem, Response};
use rollcall_runtime::declaration::{Operation, RateClass};
use rollcall_runtime::openapi::schema;
use rollcall_runtime::{Function, Method, Route, Startup, StartupError, Trigger};
use rollcall_store::personal::{Holding, PersonalReader};
use rollcall_store::{Capability, PortError};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

/// What the file is called.
const DISPOSITION: &str = r#"attachment; filename="rollcall-export.json""#;

/// The declaration.
pub static FUNCTION: Function = Function {
    name: "user-export",
    purpose: "Hands the caller everything that is kept of them.",
    triggers: &[Trigger::Http(Route { method: Method::Get, path: "/users/me/export" })],
    rate: RateClass::Credential,
    grants: &[PersonalReader::GRANTS],
    operation: Operation {
        success_status: 200,
        response: Some(schema::<Output>),
        ..Operation::EMPTY
    },
    start: |startup| rollcall_edge::signed_in(startup, Ports::new(startup)?, handle),
    ..rollcall_edge::SIGNED_IN_READ
};

struct Ports {
    personal: PersonalReader,
}

impl Ports {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self { personal: startup.capability()? })
    }
}

/// Everything that is kept of a person.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Export")]
struct Output {
    /// The user.
    user_id: String,
    /// When the export was made (RFC 3339, UTC).
    exported_at: String,
    /// What each table keeps, by its name; `item` names an item within its table.
    tables: BTreeMap<&'static str, Vec<Map<String, Value>>>,
}

async fn handle(
    ports: &Ports,
    caller: &Caller,
    context: &Context,
    _input: NoInput,
) -> Result<Response, UserExportError> {
    let holdings = ports.personal.everything(&caller.user).await?;
    let tables = holdings.into_iter().map(|Holding { table, items }| (table.name(), items));
    let output = Output {
        user_id: caller.user.to_string(),
        exported_at: context.now.to_string(),
        tables: tables.collect(),
    };
    Ok(Response::json(200, &output).with_header("content-disposition", DISPOSITION))
}

#[derive(Debug, thiserror::Error)]
enum UserExportError {
    #[error(transparent)]
    Port(#[from] PortError),
}

impl From<UserExportError> for Problem {
    fn from(error: UserExportError) -> Self {
        match error {
            UserExportError::Port(error) => Self::port(&error),
        }
    }
}
