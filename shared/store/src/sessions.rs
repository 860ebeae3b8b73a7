//! Sessions in the table `edge`, under `session#{hash}` / `session`. The id itself is not stored.

use jiff::Timestamp;
use rollcall_domain::id::UserId;
use rollcall_domain::port::PortError;
use rollcall_domain::role::Role;
use rollcall_domain::session::{Session, SessionHash};
use rollcall_resources::{Grant, Table};
use serde::{Deserialize, Serialize};

use crate::error::failed;
use crate::item::{key, number, text, to_item};
use crate::tables::capability;

const SESSION: &str = "session";

#[derive(Debug, Serialize, Deserialize)]
struct SessionItem {
    pk: String,
    sk: String,
    user_id: UserId,
    roles: Vec<Role>,
    signed_in_at: Timestamp,
    last_used_at: Timestamp,
    epoch: u32,
    expires_at: i64,
    trace_id: String,
}

fn session_key(session: &SessionHash) -> String {
    format!("session#{}", session.as_str())
}

capability! {
    /// Looks sessions up and stores that they were used.
    SessionReader, Grant::table(Table::Edge, &["dynamodb:GetItem", "dynamodb:UpdateItem"])
}

impl SessionReader {
    /// A session as stored, strongly consistent; the caller decides whether it is still live.
    pub async fn find(&self, hash: &SessionHash) -> Result<Option<Session>, PortError> {
        let item: Option<SessionItem> =
            self.tables.get(Table::Edge, &session_key(hash), SESSION).await?;
        Ok(item.map(|item| Session {
            hash: hash.clone(),
            user: item.user_id,
            roles: item.roles,
            signed_in_at: item.signed_in_at,
            last_used_at: item.last_used_at,
            epoch: item.epoch,
        }))
    }

    /// Stores that the session was used now. A session that has ended meanwhile stays ended.
    pub async fn touch(&self, session: &Session, now: Timestamp) -> Result<(), PortError> {
        let used = Session { last_used_at: now, ..session.clone() };
        self.tables
            .client
            .update_item()
            .table_name(self.tables.name(Table::Edge))
            .set_key(Some(key(&session_key(&session.hash), SESSION)))
            .update_expression("SET last_used_at = :now, expires_at = :end")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":now", text(now.to_string()))
            .expression_attribute_values(":end", number(used.ends_at().as_second()))
            .send()
            .await
            .map_err(failed("store the use of a session"))?;
        Ok(())
    }
}

capability! {
    /// Begins sessions.
    SessionStarter, Grant::table(Table::Edge, &["dynamodb:PutItem"])
}

impl SessionStarter {
    /// Stores a new session.
    pub async fn start(&self, session: &Session, trace_id: &str) -> Result<(), PortError> {
        let item = SessionItem {
            pk: session_key(&session.hash),
            sk: SESSION.to_owned(),
            user_id: session.user.clone(),
            roles: session.roles.clone(),
            signed_in_at: session.signed_in_at,
            last_used_at: session.last_used_at,
            epoch: session.epoch,
            expires_at: session.ends_at().as_second(),
            trace_id: trace_id.to_owned(),
        };
        self.tables
            .client
            .put_item()
            .table_name(self.tables.name(Table::Edge))
            .set_item(Some(to_item(&item)?))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await
            .map_err(failed("store a session"))?;
        Ok(())
    }
}

capability! {
    /// Ends sessions.
    SessionEnder, Grant::table(Table::Edge, &["dynamodb:DeleteItem"])
}

impl SessionEnder {
    /// Removes a session; ending it twice is ending it once.
    pub async fn end(&self, hash: &SessionHash) -> Result<(), PortError> {
        self.tables
            .client
            .delete_item()
            .table_name(self.tables.name(Table::Edge))
            .set_key(Some(key(&session_key(hash), SESSION)))
            .send()
            .await
            .map_err(failed("end a session"))?;
        Ok(())
    }
}
