//! What the provider remembers. All times are seconds since the epoch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::key::Keys;
use crate::options::User;
use crate::provider::equal;
use crate::random;

/// How long the hosted session spares the next sign-in the form.
pub(crate) const SESSION_SECONDS: i64 = 3600;
const CODE_SECONDS: i64 = 300;
const REFRESH_SECONDS: i64 = 30 * 24 * 3600;

/// What one sign-in allows one client; a code and all refresh tokens that follow carry it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) client_id: String,
    pub(crate) username: String,
    pub(crate) scopes: Vec<String>,
    pub(crate) auth_time: i64,
    /// Names the whole family of tokens, for revocation.
    pub(crate) origin_jti: String,
}

/// An authorization code that was not redeemed yet.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Code {
    pub(crate) grant: Grant,
    pub(crate) redirect_uri: String,
    pub(crate) nonce: Option<String>,
    /// The S256 challenge, if the client sent one.
    pub(crate) challenge: Option<String>,
    ends_at: i64,
}

/// A refresh token.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Refresh {
    pub(crate) grant: Grant,
    ends_at: i64,
    /// Set when a newer token has replaced this one: the end of the grace window.
    replaced_until: Option<i64>,
}

/// A browser that has signed in here.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) username: String,
    pub(crate) auth_time: i64,
}

/// Somebody who can sign in once the address is confirmed.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) user: User,
    /// What proves that the address is theirs; `None` once it was proven.
    pub(crate) confirmation_code: Option<String>,
}

/// Whether a refresh replaces the refresh token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotation {
    pub(crate) enabled: bool,
    /// How long a replaced token still works; Cognito's `RetryGracePeriodSeconds`, 0 to 60.
    pub(crate) grace_seconds: u32,
}

/// What a presented refresh token turned out to be.
pub(crate) enum Presented {
    Usable(Grant),
    /// Replaced earlier and past its grace window: somebody holds a copy (RFC 9700 §4.14.2).
    Replayed(Grant),
    Unknown,
}

/// Everything that survives a restart.
#[derive(Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) keys: Keys,
    pub(crate) rotation: Rotation,
    sessions: BTreeMap<String, Session>,
    codes: BTreeMap<String, Code>,
    refresh_tokens: BTreeMap<String, Refresh>,
    revoked_origins: BTreeSet<String>,
    /// Who signed up here.
    #[serde(default)]
    accounts: Vec<Account>,
}

impl State {
    /// Nobody has signed in yet; refresh tokens rotate with the longest grace Cognito offers.
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            rotation: Rotation { enabled: true, grace_seconds: 60 },
            sessions: BTreeMap::new(),
            codes: BTreeMap::new(),
            refresh_tokens: BTreeMap::new(),
            revoked_origins: BTreeSet::new(),
            accounts: Vec::new(),
        }
    }

    pub(crate) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// Adds an account whose address is still to be confirmed; `None` when the address has one.
    pub(crate) fn sign_up(&mut self, email: &str, password: &str) -> Option<Account> {
        if self.accounts.iter().any(|known| known.user.email.eq_ignore_ascii_case(email)) {
            return None;
        }
        let subject = random::uuid();
        let account = Account {
            user: User {
                // Where people sign in by address, the subject is the name at Cognito too.
                username: subject.clone(),
                password: password.to_owned(),
                subject,
                email: email.to_owned(),
                email_verified: false,
                given_name: String::new(),
                family_name: String::new(),
                groups: Vec::new(),
            },
            confirmation_code: Some(random::confirmation_code()),
        };
        self.accounts.push(account.clone());
        Some(account)
    }

    /// Confirms an address; `None` when the code is another one or was used.
    pub(crate) fn confirm(&mut self, username: &str, code: &str) -> Option<User> {
        let account = self.accounts.iter_mut().find(|known| known.user.username == username)?;
        account.confirmation_code.take_if(|expected| equal(expected, code))?;
        account.user.email_verified = true;
        Some(account.user.clone())
    }

    /// Forgets what has ended, so that a long-lived local cloud does not grow.
    pub(crate) fn forget_ended(&mut self, now: i64) {
        self.sessions.retain(|_, session| session.auth_time + SESSION_SECONDS > now);
        self.codes.retain(|_, code| code.ends_at > now);
        self.refresh_tokens.retain(|_, refresh| refresh.ends_at > now);
    }

    pub(crate) fn begin_session(&mut self, username: &str, now: i64) -> (String, Session) {
        let session = Session { username: username.to_owned(), auth_time: now };
        let id = random::opaque();
        self.sessions.insert(id.clone(), session.clone());
        (id, session)
    }

    pub(crate) fn session(&self, id: &str, now: i64) -> Option<&Session> {
        self.sessions.get(id).filter(|session| session.auth_time + SESSION_SECONDS > now)
    }

    pub(crate) fn end_session(&mut self, id: &str) {
        self.sessions.remove(id);
    }

    pub(crate) fn issue_code(
        &mut self,
        grant: Grant,
        request: &crate::authorize::Request,
        now: i64,
    ) -> String {
        let code = Code {
            grant,
            redirect_uri: request.redirect_uri.clone(),
            nonce: request.nonce.clone(),
            challenge: request.code_challenge.clone(),
            ends_at: now + CODE_SECONDS,
        };
        let value = random::opaque();
        self.codes.insert(value.clone(), code);
        value
    }

    /// Takes a code out, so that no second call can have it. Another client's attempt leaves it.
    pub(crate) fn take_code(&mut self, value: &str, client_id: &str, now: i64) -> Option<Code> {
        if self.codes.get(value)?.grant.client_id != client_id {
            return None;
        }
        self.codes.remove(value).filter(|code| code.ends_at > now)
    }

    pub(crate) fn issue_refresh(&mut self, grant: Grant, now: i64) -> String {
        let value = random::opaque();
        let refresh = Refresh { grant, ends_at: now + REFRESH_SECONDS, replaced_until: None };
        self.refresh_tokens.insert(value.clone(), refresh);
        value
    }

    pub(crate) fn refresh(&self, value: &str, client_id: &str, now: i64) -> Presented {
        let Some(refresh) = self.refresh_tokens.get(value).filter(|refresh| {
            refresh.grant.client_id == client_id
                && refresh.ends_at > now
                && !self.is_revoked(&refresh.grant.origin_jti)
        }) else {
            return Presented::Unknown;
        };
        let grant = refresh.grant.clone();
        if refresh.replaced_until.is_some_and(|until| until <= now) {
            return Presented::Replayed(grant);
        }
        Presented::Usable(grant)
    }

    /// Replaces a refresh token when rotation is on. The new one ends when the old one would have,
    /// as Cognito's does.
    pub(crate) fn rotate_refresh(&mut self, value: &str, now: i64) -> Option<String> {
        if !self.rotation.enabled {
            return None;
        }
        let grace_seconds = i64::from(self.rotation.grace_seconds);
        let old = self.refresh_tokens.get_mut(value)?;
        let fresh = Refresh { replaced_until: None, ..old.clone() };
        old.replaced_until.get_or_insert(now + grace_seconds);
        let value = random::opaque();
        self.refresh_tokens.insert(value.clone(), fresh);
        Some(value)
    }

    /// Ends the family a refresh token belongs to, if `client_id` owns it.
    pub(crate) fn revoke(&mut self, value: &str, client_id: &str) {
        let origin_jti = self
            .refresh_tokens
            .get(value)
            .filter(|refresh| refresh.grant.client_id == client_id)
            .map(|refresh| refresh.grant.origin_jti.clone());
        if let Some(origin_jti) = origin_jti {
            self.revoke_origin(origin_jti);
        }
    }

    pub(crate) fn revoke_origin(&mut self, origin_jti: String) {
        self.refresh_tokens.retain(|_, refresh| refresh.grant.origin_jti != origin_jti);
        self.revoked_origins.insert(origin_jti);
    }

    pub(crate) fn is_revoked(&self, origin_jti: &str) -> bool {
        self.revoked_origins.contains(origin_jti)
    }
}
