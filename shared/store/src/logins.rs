//! Sign-ins in flight in the table `edge`, under `login#{hash of state}` / `login`.

use aws_sdk_dynamodb::types::ReturnValue;
use jiff::Timestamp;
use rollcall_domain::invitation::InvitationHash;
use rollcall_domain::login::Login;
use rollcall_domain::port::PortError;
use rollcall_domain::secret::Secret;
use rollcall_domain::session::SessionHash;
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::failed;
use crate::item::{from_item, key};
use crate::tables::capability;

const LOGIN: &str = "login";

#[derive(Debug, Serialize, Deserialize)]
struct LoginItem {
    pk: String,
    sk: String,
    nonce: String,
    code_verifier: String,
    browser_hash: String,
    return_path: String,
    started_at: Timestamp,
    invitation: Option<String>,
    expires_at: i64,
    trace_id: String,
}

fn login_key(state: &str) -> String {
    format!("login#{}", SessionHash::of(state).as_str())
}

capability! {
    /// Begins sign-ins.
    LoginStarter, Grant::table(Table::Edge, &["dynamodb:PutItem"])
}

impl LoginStarter {
    /// Stores a sign-in that goes to the provider now.
    pub async fn start(&self, login: &Login, trace_id: &str) -> Result<(), PortError> {
        let item = LoginItem {
            pk: login_key(&login.state),
            sk: LOGIN.to_owned(),
            nonce: login.nonce.clone(),
            code_verifier: login.code_verifier.expose().to_owned(),
            browser_hash: login.browser_hash.as_str().to_owned(),
            return_path: login.return_path.clone(),
            started_at: login.started_at,
            invitation: login.invitation.as_ref().map(ToString::to_string),
            expires_at: login.ends_at().as_second(),
            trace_id: trace_id.to_owned(),
        };
        self.tables.put_version(Table::Edge, &item, 1).await
    }
}

capability! {
    /// Takes sign-ins back, each once.
    LoginFinisher, Grant::table(Table::Edge, &["dynamodb:DeleteItem"])
}

impl LoginFinisher {
    /// Takes the sign-in that `state` names out of the table: of any number of callers, one gets it.
    pub async fn take(&self, state: &str) -> Result<Option<Login>, PortError> {
        let answer = self
            .tables
            .client
            .delete_item()
            .table_name(self.tables.name(Table::Edge))
            .set_key(Some(key(&login_key(state), LOGIN)))
            .return_values(ReturnValue::AllOld)
            .send()
            .await
            .map_err(failed("take a sign-in"))?;
        let Some(item) = answer.attributes else {
            return Ok(None);
        };
        let item: LoginItem = from_item(item)?;
        Ok(Some(Login {
            state: state.to_owned(),
            nonce: item.nonce,
            code_verifier: Secret::new(item.code_verifier),
            browser_hash: SessionHash::stored(item.browser_hash),
            return_path: item.return_path,
            started_at: item.started_at,
            invitation: item.invitation.map(InvitationHash::stored),
        }))
    }
}
