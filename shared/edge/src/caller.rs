//! Who sends requests: people and machines, each found out once per request.

use rollcall_domain::audit::Actor;
use rollcall_domain::id::UserId;
use rollcall_domain::role::Role;
use rollcall_domain::scope::Scope;
use rollcall_domain::session::Session;

/// Somebody to whom rate limits, idempotency keys and cursors belong.
pub trait Principal {
    /// A name that nobody else has: a user's id, or `client:` and a machine's client id.
    fn name(&self) -> &str;
}

/// A user who sent a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The user.
    pub user: UserId,
    /// What the user may do.
    pub roles: Vec<Role>,
    /// What the request proved it with.
    pub credential: Credential,
}

/// What a user proved who they are with.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The session of a browser.
    Session(Session),
    /// An access token of the identity provider.
    Token {
        /// The client that it was issued to.
        client_id: String,
        /// What it may be used for, as far as that says anything here.
        scopes: Vec<Scope>,
    },
}

/// A machine that sent a request in nobody's name (RFC 6749 §4.4).
#[derive(Clone, Debug)]
pub struct Machine {
    name: String,
    client_id: String,
    /// What its token may be used for.
    pub scopes: Vec<Scope>,
}

/// Whoever sent a request, before a route says whom it is for.
#[derive(Clone, Debug)]
pub(crate) enum Sender {
    /// A user.
    User(Caller),
    /// A machine.
    Machine(Machine),
}

/// Somebody who operates Rollcall: a user with the route's role, or a machine with its scope.
#[derive(Clone, Debug)]
pub enum Operator {
    /// A user.
    User(Caller),
    /// A machine.
    Machine(Machine),
}

impl Machine {
    /// The machine that a client id names.
    pub(crate) fn new(client_id: &str, scopes: Vec<Scope>) -> Self {
        let actor = Actor::Client(client_id.to_owned());
        Self { name: actor.to_string(), client_id: client_id.to_owned(), scopes }
    }
}

impl Operator {
    /// Who that is in the audit log.
    pub fn actor(&self) -> Actor {
        match self {
            Self::User(caller) => Actor::User(caller.user.clone()),
            Self::Machine(machine) => Actor::Client(machine.client_id.clone()),
        }
    }
}

impl Principal for Caller {
    fn name(&self) -> &str {
        self.user.as_str()
    }
}

impl Principal for Session {
    fn name(&self) -> &str {
        self.user.as_str()
    }
}

impl Principal for Machine {
    fn name(&self) -> &str {
        &self.name
    }
}

impl Principal for Operator {
    fn name(&self) -> &str {
        match self {
            Self::User(caller) => caller.name(),
            Self::Machine(machine) => machine.name(),
        }
    }
}
