//! Counters of rate limits in the table `edge`, under `rate#{policy}#{hash of who}` / `rate`:
//! one number per slot of time, in attributes named `w` and the slot's number.

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use rollcall_domain::port::{PortError, PortErrorClass};
use rollcall_domain::rate_limit::{Counts, Limit, RateKey, Slot, Verdict, WINDOW_SECONDS, stale};
use rollcall_domain::time::after_seconds;
use rollcall_resources::table::EXPIRES_AT;
use rollcall_resources::{Grant, Table};

use crate::item::{Attributes, number};
use crate::tables::capability;
use crate::update::ItemUpdate;

const RATE: &str = "rate";
/// What the names of counters begin with.
const COUNTER: &str = "w";

/// A counted arrival.
#[derive(Debug)]
pub struct Arrival {
    /// What was decided.
    pub verdict: Verdict,
    /// What failed after the decision. It holds nobody up: too much stays counted for a while.
    pub unsettled: Option<PortError>,
}

capability! {
    /// Counts arrivals.
    RateCounter, Grant::table(Table::Edge, &["dynamodb:UpdateItem"])
}

impl RateCounter {
    /// Counts an arrival and decides about it: one write for who is admitted, two for who is
    /// refused. The write adds to a counter and answers all of them, so arrivals at one moment are
    /// decided one after the other and none has to be tried again.
    pub async fn arrive(
        &self,
        key: &RateKey,
        limit: Limit,
        now: Timestamp,
    ) -> Result<Arrival, PortError> {
        let own = Slot::at(now);
        let name = counter(own);
        // Twice the window, since the item is of use to clocks that are behind.
        let expires_at = after_seconds(now, 2 * WINDOW_SECONDS).as_second();
        let arrival = item(key)
            .set_to(&name, format!("if_not_exists(#{name}, :zero) + :one"))
            .value("zero", number(0))
            .value("one", number(1))
            .set(EXPIRES_AT, number(expires_at));
        let before = self.tables.apply("count an arrival", Table::Edge, arrival).await?;
        let mut counts = read(&before.unwrap_or_default())?;
        let count = counts.entry(own).or_default();
        *count = count.saturating_add(1);
        let verdict = limit.decide(&counts, now);
        let settled = if verdict.admitted {
            self.tidy(key, &counts, now).await
        } else {
            self.take_back(key, &name).await
        };
        Ok(Arrival { verdict, unsettled: settled.err() })
    }

    async fn take_back(&self, key: &RateKey, name: &str) -> Result<(), PortError> {
        let refused = item(key)
            .set_to(name, format!("#{name} - :one"))
            .value("one", number(1))
            .only_if(&format!("attribute_exists(#{name})"));
        self.tables.apply("take an arrival back", Table::Edge, refused).await?;
        Ok(())
    }

    /// Removes counters that nobody looks at, a batch at a time, so that the item stays small.
    async fn tidy(&self, key: &RateKey, counts: &Counts, now: Timestamp) -> Result<(), PortError> {
        let old = stale(counts, now);
        if old.is_empty() {
            return Ok(());
        }
        let empty = item(key);
        let removal = old.into_iter().fold(empty, |update, slot| update.remove(&counter(slot)));
        self.tables.apply("remove old counters", Table::Edge, removal).await?;
        Ok(())
    }
}

fn item(key: &RateKey) -> ItemUpdate {
    ItemUpdate::of(&format!("rate#{}", key.as_str()), RATE)
}

fn counter(slot: Slot) -> String {
    format!("{COUNTER}{}", slot.number())
}

fn read(item: &Attributes) -> Result<Counts, PortError> {
    let corrupt =
        || PortError::new("count an arrival", PortErrorClass::Corrupt, "a counter is not a number");
    let counters = item.iter().filter_map(|(name, value)| {
        let slot = name.strip_prefix(COUNTER)?.parse().ok().map(Slot::numbered)?;
        Some((slot, value))
    });
    counters
        .map(|(slot, value)| match value {
            AttributeValue::N(text) => {
                text.parse::<u32>().map(|count| (slot, count)).map_err(|_error| corrupt())
            }
            _ => Err(corrupt()),
        })
        .collect()
}
