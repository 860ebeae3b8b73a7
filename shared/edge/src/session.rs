//! Callers with a browser: the session that a cookie names, and whether a page of ours sent the
//! request.

use rollcall_domain::port::PortErrorClass;
use rollcall_domain::secret::Secret;
use rollcall_domain::session::{Session, SessionHash};
use rollcall_resources::SecretName;
use rollcall_runtime::declaration::Method;
use rollcall_runtime::settings::{Setting, SettingKind};
use rollcall_runtime::{Startup, StartupError};
use rollcall_secrets::SecretReader;
use rollcall_store::PortError;
use rollcall_store::sessions::SessionReader;

use crate::problem::{CSRF, Problem, UNAUTHENTICATED};
use crate::request::{Context, HttpRequest};

/// The cookie that carries the session id.
pub const SESSION_COOKIE: &str = "__Host-rollcall_session";
/// The header that carries the CSRF token.
pub const CSRF_HEADER: &str = "x-csrf-token";
/// The field that carries the CSRF token in a form of ours.
pub const CSRF_FIELD: &str = "csrf_token";

/// The origins whose pages may send requests that change something.
pub static ORIGINS: Setting = Setting {
    name: "ROLLCALL_ORIGINS",
    description: "The origins of our own pages, separated by spaces.",
    kind: SettingKind::Urls,
};

/// Finds the session that a request came with.
pub(crate) struct Sessions {
    reader: SessionReader,
    /// Absent where no route changes anything.
    pages: Option<Pages>,
}

/// Tells pages of ours from others.
struct Pages {
    csrf_key: SecretReader,
    origins: Vec<String>,
}

impl Sessions {
    /// For the function that starts.
    pub(crate) fn new(startup: &Startup) -> Result<Self, StartupError> {
        let changes = startup.function().routes().any(|route| route.method != Method::Get);
        let pages = changes.then(|| Pages::new(startup)).transpose()?;
        Ok(Self { reader: startup.capability()?, pages })
    }

    /// The live session of a request; where it changes something, a page of ours must have sent it.
    pub(crate) async fn find(
        &self,
        request: &HttpRequest,
        context: &Context,
    ) -> Result<Session, Problem> {
        let unauthenticated = || Problem::new(&UNAUTHENTICATED);
        let session_id = request.cookie(SESSION_COOKIE).ok_or_else(unauthenticated)?;
        let hash = SessionHash::of(&session_id);
        let session = self.reader.find(&hash).await.map_err(|error| Problem::port(&error))?;
        let session =
            session.filter(|session| session.is_live(context.now)).ok_or_else(unauthenticated)?;
        if !request.is_safe() {
            let pages = self.pages.as_ref().ok_or_else(|| Problem::new(&CSRF))?;
            pages.check(request, &session, context).await?;
        }
        Ok(session)
    }

    /// The session after this use of it, which is stored now and then.
    pub(crate) async fn used(
        &self,
        session: Session,
        context: &Context,
    ) -> Result<Session, Problem> {
        if !session.needs_touch(context.now) {
            return Ok(session);
        }
        self.touch(&session, context).await?;
        Ok(Session { last_used_at: context.now, ..session })
    }

    async fn touch(&self, session: &Session, context: &Context) -> Result<(), Problem> {
        match self.reader.touch(session, context.now).await {
            Ok(()) => Ok(()),
            // The session was ended between the two calls: revoked means revoked.
            Err(PortError { class: PortErrorClass::Conflict, .. }) => {
                Err(Problem::new(&UNAUTHENTICATED))
            }
            Err(error) => Err(Problem::port(&error)),
        }
    }
}

impl Pages {
    fn new(startup: &Startup) -> Result<Self, StartupError> {
        Ok(Self {
            csrf_key: startup.secret(SecretName::CsrfKey)?,
            origins: startup.setting(&ORIGINS)?.split(' ').map(ToOwned::to_owned).collect(),
        })
    }

    /// Whether a page of ours sent the request: its origin must be ours and it must know the
    /// session's token. Either alone is not enough.
    async fn check(
        &self,
        request: &HttpRequest,
        session: &Session,
        context: &Context,
    ) -> Result<(), Problem> {
        let refused = |detail| Err(Problem::new(&CSRF).with_detail(detail));
        if !is_ours(request.header("origin"), request.header("sec-fetch-site"), &self.origins) {
            return refused("Origin or Sec-Fetch-Site does not name a page of ours");
        }
        // Only functions that take forms ever see one.
        let token = match request.header(CSRF_HEADER) {
            Some(token) => Some(token.to_owned()),
            None => request.form_field(CSRF_FIELD),
        };
        let is_right = match &token {
            None => None,
            Some(token) => {
                let check = |key: &Secret| session.accepts_csrf_token(key, token).then_some(());
                let checked = self.csrf_key.verify(context.now, check).await;
                checked.map_err(|error| Problem::port(&error))?
            }
        };
        match is_right {
            Some(()) => Ok(()),
            None => refused("X-CSRF-Token is missing or not this session's"),
        }
    }
}

/// Whether what the browser says about the sending page names one of ours. At least one of the two
/// headers must be there, and neither may name somebody else.
fn is_ours(origin: Option<&str>, fetch_site: Option<&str>, origins: &[String]) -> bool {
    let origin_is_ours = origin.map(|origin| origins.iter().any(|ours| ours == origin));
    let site_is_ours = fetch_site.map(|site| matches!(site, "same-origin" | "same-site"));
    match (origin_is_ours, site_is_ours) {
        // A page on another host of ours is cross-site to the API but listed by its origin.
        (Some(true), _) | (None, Some(true)) => true,
        (Some(false), _) | (None, Some(false) | None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_pages_may_change_something() {
        let origins = ["https://rollcall.example".to_owned()];
        for (origin, site, ours) in [
            (Some("https://rollcall.example"), Some("same-site"), true),
            (Some("https://rollcall.example"), None, true),
            (None, Some("same-origin"), true),
            (None, Some("cross-site"), false),
            (None, Some("none"), false),
            (Some("null"), Some("same-origin"), false),
            (Some("https://rollcall.example.evil.example"), None, false),
            (Some("http://rollcall.example"), None, false),
            (None, None, false),
        ] {
            assert_eq!(is_ours(origin, site, &origins), ours, "{origin:?} {site:?}");
        }
    }
}
