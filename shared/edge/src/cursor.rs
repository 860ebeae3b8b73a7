//! Pages of lists: how many entries, and where the list goes on. Cursors are signed for one caller
//! and one list (`rollcall_domain::cursor`), so nobody makes them up or hands them on.
//!
//! The smallest example is `functions/identity/src/user_connection_list.rs`:
//!
//! ```text
//! let position = cursors.open(page.cursor.as_deref(), caller, context).await?;
//! let found = ports.lister.list(&caller.user, state, after.as_ref(), page.limit).await?;
//! let cursor = cursors.seal(next, caller, context).await?;
//! ```

use std::sync::Arc;

use rollcall_domain::cursor::{CursorScope, InvalidCursor};
use rollcall_domain::secret::Secret;
use rollcall_resources::{Grant, SecretName};
use rollcall_runtime::declaration::Parameter;
use rollcall_runtime::{Startup, StartupError};
use rollcall_secrets::SecretReader;

use crate::caller::Principal;
use crate::problem::{INTERNAL, Problem};
use crate::request::{Context, FromRequest, HttpRequest};

/// Entries on a page whose caller does not say.
pub const PAGE_ENTRIES_DEFAULT: usize = 20;
/// Entries on a page at most.
pub const PAGE_ENTRIES_MAX: usize = 100;

/// What routes with pages take, for their declarations.
pub const PAGE_PARAMETERS: &[Parameter] = &[
    Parameter { name: "limit", description: "How many to list: 1 to 100, 20 by default." },
    Parameter { name: "cursor", description: "Where to go on: `cursor` of the page before." },
];

/// Which page is asked for.
#[derive(Clone, Debug)]
pub struct Page {
    /// Entries at most.
    pub limit: usize,
    /// Where to go on, as the caller sent it.
    pub cursor: Option<String>,
}

impl FromRequest for Page {
    fn from_request(request: &HttpRequest) -> Result<Self, Problem> {
        let limit = match request.query_parameter("limit") {
            None => PAGE_ENTRIES_DEFAULT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_ENTRIES_MAX).contains(limit))
                .ok_or_else(|| {
                    let detail = format!("must be a number from 1 to {PAGE_ENTRIES_MAX}");
                    Problem::invalid("query:limit", "out-of-range", &detail)
                })?,
        };
        Ok(Self { limit, cursor: request.query_parameter("cursor") })
    }
}

/// Makes and opens the cursors of one function's list.
#[derive(Clone)]
pub struct Cursors {
    key: Arc<SecretReader>,
    list: String,
}

impl Cursors {
    /// What making and opening cursors needs.
    pub const GRANTS: &'static [Grant] = &[Grant::secret(SecretName::CursorKey)];

    /// The cursors of the function that starts.
    pub fn new(startup: &Startup) -> Result<Self, StartupError> {
        let key = Arc::new(startup.secret(SecretName::CursorKey)?);
        Ok(Self { key, list: startup.function().name.to_owned() })
    }

    /// The cursors of the part of the list that `filter` picks; those of another part are not theirs.
    #[must_use]
    pub fn filtered(&self, filter: &str) -> Self {
        Self { key: Arc::clone(&self.key), list: format!("{}?{filter}", self.list) }
    }

    /// The position that a caller's cursor holds: 422 for one that was not made for the caller and
    /// this list.
    pub async fn open(
        &self,
        cursor: Option<&str>,
        caller: &impl Principal,
        context: &Context,
    ) -> Result<Option<String>, Problem> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let check = |key: &Secret| self.scope(caller).open(key, cursor).ok();
        let opened = self.key.verify(context.now, check).await;
        let opened = opened.map_err(|error| Problem::port(&error))?;
        opened.map(Some).ok_or_else(|| invalid(&InvalidCursor))
    }

    /// The cursor that holds a position, for this caller.
    pub async fn seal(
        &self,
        position: Option<&str>,
        caller: &impl Principal,
        context: &Context,
    ) -> Result<Option<String>, Problem> {
        let Some(position) = position else {
            return Ok(None);
        };
        let keys = self.key.keys(context.now).await.map_err(|error| Problem::port(&error))?;
        let cursor = self.scope(caller).seal(keys.signing(context.now), position);
        cursor.map(Some).map_err(|_error| Problem::new(&INTERNAL))
    }

    fn scope<'scope>(&'scope self, caller: &'scope impl Principal) -> CursorScope<'scope> {
        CursorScope { list: &self.list, caller: caller.name() }
    }
}

fn invalid(error: &InvalidCursor) -> Problem {
    Problem::invalid("query:cursor", "invalid-cursor", error)
}
