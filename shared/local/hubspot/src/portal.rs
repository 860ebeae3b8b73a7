//! One HubSpot account as a state machine: a request and the time go in, an answer comes out.
//!
//! A call passes, in this order: faults before HubSpot, the token, the rate limits, faults of
//! HubSpot, the scopes, the handler, faults after the handler, the log.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use jiff::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::associations::Associations;
use crate::calls::{Call, Log, TokenKind, Violation, ViolationKind};
use crate::events::Events;
use crate::faults::{Faults, Plan, Unreachable};
use crate::limits::{BURST_WINDOW_MS, Exceeded, Limits, Policy};
use crate::oauth::{MINTED, OAuth};
use crate::properties::Schema;
use crate::records::{SavedTable, Source, Table};
use crate::routes::{Area, Route};
use crate::settings::{ErrorGeneration, Settings};
use crate::standard::{self, OBJECT_TYPES, ObjectType};
use crate::webhooks::Webhooks;
use crate::wire::{Answer, Outcome, Refusal, Request, instant};
use crate::write::Writer;
use crate::{Scopes, Token};

const FIRST_ID: u64 = 501;
/// Longest path with query that HubSpot's servers take.
const URL_CHARACTERS_MAX: usize = 8_192;

/// Records and definitions of one object type.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) table: Table,
    pub(crate) schema: Schema,
}

impl Holding {
    fn new(kind: &'static ObjectType) -> Self {
        let schema = standard::schema(kind);
        let table = Table::new(kind, &schema, SavedTable::default());
        Self { table, schema }
    }
}

/// What a handler may know about the call it serves.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    pub(crate) request: &'a Request,
    pub(crate) now: Timestamp,
    pub(crate) plan: &'a Plan,
}

/// The account.
pub(crate) struct Portal {
    pub(crate) settings: Settings,
    pub(crate) base_url: String,
    pub(crate) tokens: Vec<Token>,
    pub(crate) expired_tokens: BTreeSet<String>,
    pub(crate) holdings: BTreeMap<&'static str, Holding>,
    pub(crate) blocked_emails: BTreeSet<String>,
    pub(crate) events: Events,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) log: Log,
    pub(crate) next_id: u64,
    pub(crate) random: StdRng,
    /// Properties without definition that the present call tried to write.
    pub(crate) unknown_properties: BTreeSet<String>,
    pub(crate) webhooks: Webhooks,
    pub(crate) oauth: OAuth,
    pub(crate) associations: Associations,
    /// Status with which the present call's credential was turned away.
    unauthorized: Option<u16>,
}

/// What a snapshot keeps of an account: its data, not its settings, faults and log.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    holdings: BTreeMap<String, SavedHolding>,
    blocked_emails: BTreeSet<String>,
    events: Events,
    limits: Limits,
    next_id: u64,
    #[serde(default)]
    associations: Associations,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedHolding {
    table: SavedTable,
    schema: Schema,
}

impl Portal {
    /// An account with what `saved` holds, or as on its first day.
    pub(crate) fn new(
        settings: Settings,
        base_url: String,
        tokens: Vec<Token>,
        saved: Option<Saved>,
    ) -> Self {
        let random = StdRng::seed_from_u64(settings.shuffle_seed);
        let mut portal = Self {
            settings,
            base_url,
            tokens,
            expired_tokens: BTreeSet::new(),
            holdings: BTreeMap::new(),
            blocked_emails: BTreeSet::new(),
            events: Events::default(),
            limits: Limits::default(),
            faults: Faults::default(),
            log: Log::default(),
            next_id: FIRST_ID,
            random,
            unknown_properties: BTreeSet::new(),
            webhooks: Webhooks::default(),
            oauth: OAuth::default(),
            associations: Associations::default(),
            unauthorized: None,
        };
        if let Some(mut saved) = saved {
            for kind in OBJECT_TYPES {
                if let Some(SavedHolding { table, schema }) = saved.holdings.remove(kind.id) {
                    let table = Table::new(kind, &schema, table);
                    portal.holdings.insert(kind.id, Holding { table, schema });
                }
            }
            portal.blocked_emails = saved.blocked_emails;
            portal.events = saved.events;
            portal.limits = saved.limits;
            portal.next_id = saved.next_id;
            portal.associations = saved.associations;
        }
        portal
    }

    /// What has to survive a restart.
    pub(crate) fn saved(&self) -> Saved {
        let holding = |(id, holding): (&&str, &Holding)| {
            let table = holding.table.saved();
            let schema = holding.schema.clone();
            ((*id).to_owned(), SavedHolding { table, schema })
        };
        Saved {
            holdings: self.holdings.iter().map(holding).collect(),
            blocked_emails: self.blocked_emails.clone(),
            events: self.events.clone(),
            limits: self.limits.clone(),
            next_id: self.next_id,
            associations: self.associations.clone(),
        }
    }

    /// Records and definitions of `kind`.
    pub(crate) fn holding(&mut self, kind: &'static ObjectType) -> &mut Holding {
        self.holdings.entry(kind.id).or_insert_with(|| Holding::new(kind))
    }

    /// A writer of records of `kind` on behalf of the calling app.
    pub(crate) fn writer<'a>(
        &'a mut self,
        kind: &'static ObjectType,
        context: &Context<'a>,
    ) -> Writer<'a> {
        let Self { settings, holdings, blocked_emails, next_id, .. } = self;
        let holding = holdings.entry(kind.id).or_insert_with(|| Holding::new(kind));
        let Holding { table, schema } = holding;
        Writer {
            table,
            schema,
            settings,
            blocked_emails,
            refused: &context.plan.refused,
            next_id,
            now: context.now,
            source: Source::Integration,
        }
    }

    /// A version 4 UUID from the seed.
    pub(crate) fn uuid(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid()
    }

    /// Answers one call, and logs it.
    pub(crate) fn exchange(&mut self, request: &Request, now: Timestamp) -> Outcome {
        let plan = self.faults.take(&request.method, &request.path);
        let mut call = Call {
            number: 0,
            at: now,
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            trace_id: request.trace_id.clone(),
            token: None,
            counted: Vec::new(),
            limited_by: None,
            faulty: plan.hit,
            status: None,
            body: String::from_utf8_lossy(&request.body).into_owned(),
            answer: String::new(),
        };
        let context = Context { request, now, plan: &plan };
        let answer = self.answer(&context, &mut call);
        call.status = answer.as_ref().map(|answer| answer.status);
        let body = answer.as_ref().and_then(|answer| answer.body.as_ref());
        let text = body.map(Value::to_string).unwrap_or_default();
        // What an app sends and gets there are its secrets.
        if request.path.starts_with("/oauth/") {
            call.body.clear();
        } else {
            call.answer.clone_from(&text);
        }
        self.record(call);
        Outcome { answer, text, delay: plan.delay }
    }

    fn record(&mut self, call: Call) {
        let at = call.at;
        let route = format!("{} {}", call.method, call.path);
        let limited_by = call.limited_by;
        let kept = self.settings.calls_kept;
        let number = self.log.push(call, kept);
        let unknown = std::mem::take(&mut self.unknown_properties);
        let mut kinds = Vec::new();
        if let Some(policy) = limited_by {
            kinds.push(ViolationKind::RateLimited { policy });
        }
        if !unknown.is_empty() {
            let names = unknown.into_iter().collect();
            kinds.push(ViolationKind::UnknownProperties { names });
        }
        if let Some(status) = self.unauthorized.take() {
            kinds.push(ViolationKind::Unauthorized { status });
        }
        for kind in kinds {
            let violation = Violation { call: number, at, route: route.clone(), kind };
            self.log.violate(violation, kept);
        }
    }

    fn answer(&mut self, context: &Context<'_>, call: &mut Call) -> Option<Answer> {
        let plan = context.plan;
        match plan.unreachable {
            Some(Unreachable::Closes) => return None,
            Some(Unreachable::Answers(status)) => return Some(self.plain(status)),
            None => {}
        }
        let request = context.request;
        if request.path.len() + request.query.len() > URL_CHARACTERS_MAX {
            return Some(self.plain(414));
        }
        if request.path.starts_with("/oauth/") {
            return Some(match &plan.answer {
                Some((status, ..)) => self.plain(*status),
                None => self.oauth_call(request, context.now),
            });
        }
        let token = match self.token(request, context.now) {
            Ok(token) => token,
            Err(refusal) => {
                self.unauthorized = Some(refusal.status);
                return Some(self.refused(&refusal));
            }
        };
        call.token = Some(token.kind());
        let route = Route::parse(&request.path);
        let search = route.as_ref().is_some_and(Route::is_search);
        let now_ms = context.now.as_millisecond();
        let admitted = self.limits.admit(&self.settings, &token.app(), search, now_ms);
        if let Err(exceeded) = admitted {
            call.limited_by = Some(exceeded.policy);
            let mut answer = self.over_limit(exceeded);
            self.add_rate_headers(&mut answer, &token, search);
            return Some(answer);
        }
        call.counted = vec![Policy::TenSecondlyRolling, Policy::Daily];
        call.counted.extend(search.then_some(Policy::Secondly));
        let mut answer = if let Some((status, headers, body)) = &plan.answer {
            let mut answer = self.plain(*status);
            if body.is_some() {
                answer.body.clone_from(body);
            }
            answer.headers.extend(headers.clone());
            answer
        } else {
            self.handled(context, route.as_ref(), &token)
        };
        if plan.drop_after {
            return None;
        }
        self.add_rate_headers(&mut answer, &token, search);
        Some(answer)
    }

    fn handled(&mut self, context: &Context<'_>, route: Option<&Route>, token: &Token) -> Answer {
        let outcome = match route {
            Some(route) => self.dispatch(context, route, token),
            None => Err(Refusal::not_found()),
        };
        let lag_ms = self.settings.search_lag_ms;
        if let Some(kind) = route.and_then(Route::object_type) {
            let table = &mut self.holding(kind).table;
            if context.plan.no_op {
                table.roll_back(context.now);
            }
            // Keeps the queue of unseen changes as short as the lag.
            table.indexed(context.now, lag_ms);
            let changes = table.take_changes();
            if kind.is_contact() {
                self.tell_changes(changes, Source::Integration, context.now);
            }
        }
        let batch = context.request.path.contains("/batch/");
        match (outcome, context.plan.empty_results) {
            (Ok(_), Some(status)) if batch => {
                let now = instant(context.now);
                let body = json!({"status": "COMPLETE", "results": [], "errors": [],
                                  "startedAt": now, "completedAt": now});
                Answer::json(status, body)
            }
            (Ok(answer), _) => answer,
            (Err(refusal), _) => self.refused(&refusal),
        }
    }

    fn dispatch(
        &mut self,
        context: &Context<'_>,
        route: &Route,
        token: &Token,
    ) -> Result<Answer, Refusal> {
        let rest: Vec<&str> = route.rest.iter().map(String::as_str).collect();
        let method = context.request.method.as_str();
        if let Err(refusal) = token.allows(&route.scopes(method)) {
            self.unauthorized = Some(refusal.status);
            return Err(refusal);
        }
        match &route.area {
            Area::Objects(Some(kind)) => self.objects(context, kind, &rest),
            Area::Properties(Some(kind)) => self.definitions(context, kind, route.dated, &rest),
            Area::Associations(Some(from), Some(to)) => {
                self.association_batches(context, (from, to), &rest)
            }
            Area::Objects(None) | Area::Properties(None) | Area::Associations(..) => {
                let message = format!("Unable to infer object type from: {}", route.type_name);
                Err(Refusal::invalid(message))
            }
            Area::Events => self.custom_events(context, &rest),
            Area::Account => Ok(Answer::json(200, self.account())),
        }
    }

    fn account(&self) -> Value {
        let minutes = self.settings.utc_offset_minutes;
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, rest) = (minutes.abs() / 60, minutes.abs() % 60);
        json!({
            "portalId": self.settings.portal_id,
            "accountType": self.settings.account_type,
            "timeZone": "Etc/UTC",
            "utcOffset": format!("{sign}{hours:02}:{rest:02}"),
            "utcOffsetMilliseconds": i64::from(minutes) * 60_000,
            "companyCurrency": "USD",
            "additionalCurrencies": [],
            "uiDomain": "app.hubspot.com",
            "dataHostingLocation": "na1",
        })
    }

    fn token(&self, request: &Request, now: Timestamp) -> Result<Token, Refusal> {
        let value = request.authorization.as_deref();
        let value = value.and_then(|value| value.strip_prefix("Bearer "));
        if let Some(minted) = value.and_then(|value| self.oauth.token(value, now)) {
            return minted;
        }
        let token = value.and_then(|value| self.tokens.iter().find(|t| t.value == value));
        let Some(token) = token else {
            return Err(Refusal::new(
                401,
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found. This API supports OAuth 2.0 authentication and you can find more details at https://developers.hubspot.com/docs/methods/auth/oauth-overview",
            ));
        };
        if self.expired_tokens.contains(&token.value) {
            let message = "The OAuth token used to make this call expired.";
            return Err(Refusal::new(401, "EXPIRED_AUTHENTICATION", message));
        }
        Ok(token.clone())
    }

    pub(crate) fn refused(&mut self, refusal: &Refusal) -> Answer {
        self.unknown_properties.extend(refusal.unknown_properties());
        let correlation_id = self.uuid();
        refusal.answer(correlation_id)
    }

    /// The body of a failure that says nothing more than its status.
    fn plain(&mut self, status: u16) -> Answer {
        let category = match status {
            401 => "INVALID_AUTHENTICATION",
            403 => "MISSING_SCOPES",
            404 => "OBJECT_NOT_FOUND",
            409 => "CONFLICT",
            429 => "RATE_LIMITS",
            400..500 => "VALIDATION_ERROR",
            _ => "INTERNAL_ERROR",
        };
        self.refused(&Refusal::new(status, category, format!("Error {status}")))
    }

    fn over_limit(&mut self, exceeded: Exceeded) -> Answer {
        let correlation_id = self.uuid();
        let policy = exceeded.policy;
        let message = format!("You have reached your {} limit.", policy.phrase());
        let body = match self.settings.error_generation {
            ErrorGeneration::Legacy => json!({
                "status": "error",
                "message": message,
                "errorType": "RATE_LIMIT",
                "correlationId": correlation_id,
                "policyName": policy.name(),
                "requestId": self.uuid(),
            }),
            ErrorGeneration::Current => json!({
                "status": "error",
                "message": message,
                "category": "RATE_LIMITS",
                "correlationId": correlation_id,
                "policyName": policy.name(),
            }),
        };
        let mut answer = Answer::json(429, body);
        if self.settings.retry_after_on_429 {
            let seconds = exceeded.wait_ms.max(0).unsigned_abs().div_ceil(1_000);
            answer.headers.push(("Retry-After".to_owned(), seconds.to_string()));
        }
        answer
    }

    /// Searches carry no rate headers, and OAuth apps none about the day.
    fn add_rate_headers(&self, answer: &mut Answer, token: &Token, search: bool) {
        if search {
            return;
        }
        let left = self.limits.left(&self.settings, &token.app());
        let mut add = |name: &str, value: String| {
            answer.headers.push((format!("X-HubSpot-RateLimit-{name}"), value));
        };
        let burst = self.settings.burst_limit();
        add("Max", burst.to_string());
        add("Remaining", left.burst.to_string());
        add("Interval-Milliseconds", BURST_WINDOW_MS.to_string());
        add("Secondly", (burst / 10).to_string());
        add("Secondly-Remaining", (burst / 10).min(left.burst).to_string());
        if token.kind() == TokenKind::PrivateApp {
            add("Daily", self.settings.daily_limit().to_string());
            add("Daily-Remaining", left.daily.to_string());
        }
    }
}

impl Token {
    /// Tokens that begin with `oauth` are OAuth access tokens; all others belong to a private app
    /// or service key.
    pub(crate) fn kind(&self) -> TokenKind {
        if self.value.starts_with("oauth") { TokenKind::OAuth } else { TokenKind::PrivateApp }
    }

    /// Names the app in the limits, which are saved, without giving the token away.
    fn app(&self) -> String {
        if self.value.starts_with(MINTED) {
            return MINTED.to_owned();
        }
        let mut hasher = DefaultHasher::new();
        self.value.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }

    /// Any one of `needed` suffices; an empty list needs nothing.
    fn allows(&self, needed: &[String]) -> Result<(), Refusal> {
        let allowed = match &self.scopes {
            Scopes::All => true,
            Scopes::List(granted) => {
                needed.is_empty() || needed.iter().any(|scope| granted.contains(scope))
            }
        };
        if allowed {
            return Ok(());
        }
        let message = "This app hasn't been granted all required scopes to make this call.";
        Err(Refusal::new(403, "MISSING_SCOPES", message).with_required_scopes(needed.to_vec()))
    }
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "test data reads best in place")]
mod tests;
