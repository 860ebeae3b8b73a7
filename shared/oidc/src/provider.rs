//! What is learned about one provider: its discovery document and its keys.

use std::sync::Arc;

use rollcall_domain::time::Timestamp;

use crate::cache::{Cache, Demand};
use crate::discovery::{self, Discovery};
use crate::error::{Endpoint, OidcError};
use crate::http::Http;
use crate::key_set::{self, KeySet};
use crate::settings::{ProviderProfile, SettingsError};
use crate::verify::TokenRefusal;

/// One provider. Nothing is fetched before it is needed.
pub(crate) struct Provider {
    issuer: String,
    profile: ProviderProfile,
    pub(crate) http: Http,
    discovery: Cache<Discovery>,
    keys: Cache<KeySet>,
}

impl Provider {
    pub(crate) fn new(issuer: &str, profile: ProviderProfile) -> Result<Self, SettingsError> {
        Ok(Self {
            issuer: issuer.to_owned(),
            profile,
            http: Http::new()?,
            discovery: Cache::new(),
            keys: Cache::new(),
        })
    }

    /// The discovery document, checked.
    pub(crate) async fn discovery(&self, now: Timestamp) -> Result<Arc<Discovery>, OidcError> {
        let fetch = async {
            let url = discovery::document_url(&self.issuer)?;
            let document = self.http.get(Endpoint::Discovery, &url).await?;
            Discovery::check(&document, &self.issuer, self.profile)
        };
        self.discovery.get(Demand::Usable, now, fetch).await
    }

    /// What `check` says with the keys that are known, or with newer ones when it knows a token's
    /// key not: those are looked for at most once a minute.
    pub(crate) async fn verify<T>(
        &self,
        now: Timestamp,
        check: impl Fn(&KeySet) -> Result<T, TokenRefusal>,
    ) -> Result<T, OidcError> {
        let keys = self.keys(Demand::Usable, now).await?;
        let mut verdict = check(&keys);
        if matches!(verdict, Err(TokenRefusal::UnknownKey)) {
            let keys = self.keys(Demand::Newer, now).await?;
            verdict = check(&keys);
        }
        Ok(verdict?)
    }

    async fn keys(&self, demand: Demand, now: Timestamp) -> Result<Arc<KeySet>, OidcError> {
        let fetch = async {
            let discovery = self.discovery(now).await?;
            let document: key_set::Document =
                self.http.get(Endpoint::Jwks, &discovery.jwks_uri).await?;
            let keys = KeySet::of(document);
            if keys.is_empty() { Err(OidcError::NoUsableKey) } else { Ok(keys) }
        };
        self.keys.get(demand, now, fetch).await
    }
}
