//! A sign-in that has begun and not come back yet (OpenID Connect Core §3.1, RFC 7636).

use crate::invitation::InvitationHash;
use crate::limits::LOGIN_SECONDS;
use crate::random::{Random, token_256};
use crate::secret::{Secret, constant_time_equal};
use crate::session::SessionHash;
use crate::time::{Timestamp, after_seconds};

/// A sign-in in flight. The verifier never leaves the server (fault S5 of the system before this
/// one: it travelled readable inside `state`), and the browser that began it must finish it (S6).
#[derive(Clone, Debug)]
pub struct Login {
    /// The `state` parameter, which also names the transaction.
    pub state: String,
    /// The `nonce` the id token must carry.
    pub nonce: String,
    /// The PKCE verifier.
    pub code_verifier: Secret,
    /// The hash of the value in the browser's binding cookie.
    pub browser_hash: SessionHash,
    /// Where to go afterwards: a path on our site.
    pub return_path: String,
    /// When the sign-in began.
    pub started_at: Timestamp,
    /// The invitation that it began with.
    pub invitation: Option<InvitationHash>,
}

/// Why a sign-in cannot be finished.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefusal {
    /// More than ten minutes passed.
    #[error("the sign-in took too long")]
    Expired,
    /// Another browser comes back than the one that began.
    #[error("the sign-in was begun in another browser")]
    OtherBrowser,
}

impl Login {
    /// Begins a sign-in; the second value goes into the browser's binding cookie.
    pub fn begin(return_path: String, now: Timestamp, random: &dyn Random) -> (Self, String) {
        let browser = token_256(random);
        let login = Self {
            state: token_256(random),
            nonce: token_256(random),
            code_verifier: Secret::new(token_256(random)),
            browser_hash: SessionHash::of(&browser),
            return_path,
            started_at: now,
            invitation: None,
        };
        (login, browser)
    }

    /// When it can no longer be finished.
    pub fn ends_at(&self) -> Timestamp {
        after_seconds(self.started_at, LOGIN_SECONDS)
    }

    /// Whether the browser with this binding cookie may finish the sign-in now.
    pub fn check(&self, browser_cookie: &str, now: Timestamp) -> Result<(), LoginRefusal> {
        if !constant_time_equal(
            self.browser_hash.as_str(),
            SessionHash::of(browser_cookie).as_str(),
        ) {
            return Err(LoginRefusal::OtherBrowser);
        }
        if now >= self.ends_at() { Err(LoginRefusal::Expired) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn s_06_only_the_browser_that_began_may_finish_and_only_in_time() {
        let start = Timestamp::from_second(0).unwrap();
        let (login, browser) = Login::begin("/".to_owned(), start, &SeededRandom::new(7));
        let check =
            |cookie: &str, seconds| login.check(cookie, Timestamp::from_second(seconds).unwrap());
        assert_eq!(check(&browser, LOGIN_SECONDS - 1), Ok(()));
        assert_eq!(check(&browser, LOGIN_SECONDS), Err(LoginRefusal::Expired));
        assert_eq!(check("", 0), Err(LoginRefusal::OtherBrowser));
        assert_eq!(check(&login.state, 0), Err(LoginRefusal::OtherBrowser));
    }
}
