//! Search over an index that lags behind the records.

use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::objects::paging;
use crate::portal::{Context, Portal};
use crate::properties::{Kind, Schema};
use crate::records::Record;
use crate::standard::ObjectType;
use crate::values::moment;
use crate::wire::{Answer, Refusal};

const RESULTS_MAX: usize = 200;
const RESULTS_DEFAULT: usize = 10;
/// Results beyond this position cannot be paged to.
const AFTER_MAX: usize = 10_000;
const QUERY_CHARACTERS_MAX: usize = 3_000;
/// Properties that `query` looks at.
const QUERIED: [&str; 10] = [
    "firstname",
    "lastname",
    "email",
    "phone",
    "hs_additional_emails",
    "company",
    "name",
    "domain",
    "dealname",
    "subject",
];

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Search {
    filter_groups: Vec<FilterGroup>,
    query: Option<String>,
    sorts: Vec<Value>,
    properties: Vec<String>,
    limit: Option<usize>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
struct FilterGroup {
    filters: Vec<Filter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Operator {
    Eq,
    Neq,
    Lt,
    Lte,
    Gt,
    Gte,
    Between,
    In,
    NotIn,
    HasProperty,
    NotHasProperty,
    ContainsToken,
    NotContainsToken,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    property_name: String,
    operator: Operator,
    #[serde(default)]
    value: Option<String>,
    #[serde(default)]
    high_value: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

struct Sort {
    property: String,
    descending: bool,
}

impl Portal {
    /// `POST …/{type}/search`.
    pub(crate) fn search(
        &mut self,
        context: &Context<'_>,
        kind: &'static ObjectType,
    ) -> Result<Answer, Refusal> {
        let search: Search = context.request.json()?;
        let bounds = self.settings.search_filter_limits.bounds();
        let lag_ms = self.settings.search_lag_ms;
        let holding = self.holding(kind);
        check(&search, &holding.schema, bounds)?;
        let sort = sort(&search, &holding.schema)?;
        let limit = search.limit.unwrap_or(RESULTS_DEFAULT);
        let after = search.after.as_deref().filter(|after| !after.is_empty()).unwrap_or("0");
        let after: usize = after.parse().ok().ok_or_else(|| Refusal::invalid("Invalid after"))?;
        if limit == 0 || limit > RESULTS_MAX || after >= AFTER_MAX {
            return Err(Refusal::invalid(format!(
                "limit must be 1 to {RESULTS_MAX} and after below {AFTER_MAX}"
            )));
        }
        let schema = &holding.schema;
        let mut found: Vec<_> = holding
            .table
            .indexed(context.now, lag_ms)
            .values()
            .filter(|record| record.archived_at.is_none() && matches(&search, record, kind, schema))
            .collect();
        if let Some(sort) = sort {
            let by = value_kind(schema, &sort.property);
            found.sort_by(|one, other| {
                let (one, other) =
                    (one.value(kind, &sort.property), other.value(kind, &sort.property));
                let order = match (&one, &other) {
                    (Some(one), Some(other)) => compare(by, one, other).unwrap_or(Ordering::Equal),
                    (one, other) => one.is_none().cmp(&other.is_none()),
                };
                if sort.descending { order.reverse() } else { order }
            });
        }
        let total = found.len();
        let names: Vec<&str> = if search.properties.is_empty() {
            kind.shown.to_vec()
        } else {
            search.properties.iter().map(String::as_str).collect()
        };
        let page = found.iter().skip(after).take(limit);
        let results: Vec<_> =
            page.map(|record| record.json(kind, schema, names.iter().copied())).collect();
        let mut body = json!({ "total": total, "results": results });
        let next = after + limit;
        if next < total
            && let Value::Object(fields) = &mut body
        {
            let link = format!("{}?after={next}", context.request.path);
            fields.insert("paging".to_owned(), paging(&next.to_string(), &link));
        }
        Ok(Answer::json(200, body))
    }
}

fn check(search: &Search, schema: &Schema, bounds: (usize, usize, usize)) -> Result<(), Refusal> {
    let (groups, filters, all) = bounds;
    let counts: Vec<_> = search.filter_groups.iter().map(|group| group.filters.len()).collect();
    let over = counts.len() > groups
        || counts.iter().any(|count| *count > filters)
        || counts.iter().sum::<usize>() > all;
    if over {
        return Err(Refusal::invalid(format!(
            "Too many filters: at most {groups} groups of {filters} filters, {all} in all"
        )));
    }
    let query = search.query.as_deref().unwrap_or_default();
    if query.chars().count() > QUERY_CHARACTERS_MAX {
        return Err(Refusal::invalid(format!(
            "The query is longer than {QUERY_CHARACTERS_MAX} characters"
        )));
    }
    for filter in search.filter_groups.iter().flat_map(|group| &group.filters) {
        let name = &filter.property_name;
        if schema.property(name).is_none() {
            return Err(Refusal::invalid(format!("Property \"{name}\" does not exist")));
        }
        let complete = match filter.operator {
            Operator::HasProperty | Operator::NotHasProperty => true,
            Operator::In | Operator::NotIn => !filter.values.is_empty(),
            Operator::Between => filter.value.is_some() && filter.high_value.is_some(),
            _ => filter.value.is_some(),
        };
        if !complete {
            return Err(Refusal::invalid(format!(
                "The filter on {name} lacks the value its operator needs"
            )));
        }
    }
    Ok(())
}

/// One sort, as an object or as the text of the OpenAPI document (`-name` descends).
fn sort(search: &Search, schema: &Schema) -> Result<Option<Sort>, Refusal> {
    let sort = match search.sorts.as_slice() {
        [] => return Ok(None),
        [Value::String(text)] => Sort {
            property: text.trim_start_matches('-').to_owned(),
            descending: text.starts_with('-'),
        },
        [object] => Sort {
            property: object["propertyName"].as_str().unwrap_or_default().to_owned(),
            descending: object["direction"] == "DESCENDING",
        },
        _ => return Err(Refusal::invalid("Only one sort is allowed")),
    };
    if schema.property(&sort.property).is_none() {
        return Err(Refusal::invalid(format!("Cannot sort by {}", sort.property)));
    }
    Ok(Some(sort))
}

fn value_kind(schema: &Schema, name: &str) -> Kind {
    schema.property(name).map_or(Kind::String, |property| property.kind)
}

fn matches(search: &Search, record: &Record, kind: &ObjectType, schema: &Schema) -> bool {
    let holds = |filter: &Filter| {
        let value = record.value(kind, &filter.property_name);
        filter.holds(value.as_deref(), value_kind(schema, &filter.property_name))
    };
    let groups = &search.filter_groups;
    let filtered = groups.is_empty() || groups.iter().any(|group| group.filters.iter().all(holds));
    let query = search.query.as_deref().unwrap_or_default().to_lowercase();
    let queried = || {
        query
            .split_whitespace()
            .all(|word| QUERIED.iter().any(|name| record.get(name).to_lowercase().contains(word)))
    };
    filtered && queried()
}

fn compare(kind: Kind, one: &str, other: &str) -> Option<Ordering> {
    match kind {
        Kind::Number => one.parse::<f64>().ok()?.partial_cmp(&other.parse::<f64>().ok()?),
        Kind::Date | Kind::Datetime => Some(moment(one)?.cmp(&moment(other)?)),
        Kind::String | Kind::Enumeration | Kind::Bool | Kind::PhoneNumber => {
            Some(one.to_lowercase().cmp(&other.to_lowercase()))
        }
    }
}

impl Filter {
    fn holds(&self, value: Option<&str>, kind: Kind) -> bool {
        let wanted = self.value.as_deref().unwrap_or_default();
        let order = value.and_then(|value| compare(kind, value, wanted));
        let below_high = || {
            let high = self.high_value.as_deref().unwrap_or_default();
            value.and_then(|value| compare(kind, value, high)).is_some_and(Ordering::is_le)
        };
        match self.operator {
            Operator::HasProperty => value.is_some(),
            Operator::NotHasProperty => value.is_none(),
            Operator::Eq => order.is_some_and(Ordering::is_eq),
            // Records without a value match the negative operators.
            Operator::Neq => !order.is_some_and(Ordering::is_eq),
            Operator::Lt => order.is_some_and(Ordering::is_lt),
            Operator::Lte => order.is_some_and(Ordering::is_le),
            Operator::Gt => order.is_some_and(Ordering::is_gt),
            Operator::Gte => order.is_some_and(Ordering::is_ge),
            Operator::Between => order.is_some_and(Ordering::is_ge) && below_high(),
            Operator::In => self.lists(value, kind),
            Operator::NotIn => !self.lists(value, kind),
            Operator::ContainsToken => has_token(value, wanted),
            Operator::NotContainsToken => !has_token(value, wanted),
        }
    }

    /// The index holds texts lower-cased and compares them with the values as given, so a list
    /// with capitals finds nothing.
    fn lists(&self, value: Option<&str>, kind: Kind) -> bool {
        let Some(value) = value else { return false };
        self.values.iter().any(|wanted| match kind {
            Kind::String | Kind::PhoneNumber => *wanted == value.to_lowercase(),
            _ => compare(kind, value, wanted).is_some_and(Ordering::is_eq),
        })
    }
}

/// Whether a word of `value`, or all of it, fits `wanted`, in which `*` stands for any text.
fn has_token(value: Option<&str>, wanted: &str) -> bool {
    let Some(value) = value.map(str::to_lowercase) else {
        return false;
    };
    let wanted = wanted.to_lowercase();
    let mut words = value.split(|c: char| !c.is_alphanumeric());
    fits(&value, &wanted) || words.any(|word| fits(word, &wanted))
}

fn fits(text: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => text == pattern,
        Some((start, "")) => text.starts_with(start),
        Some(("", end)) if !end.contains('*') => text.ends_with(end),
        Some((start, rest)) => {
            let middle = rest.trim_end_matches('*');
            let Some(text) = text.strip_prefix(start) else {
                return false;
            };
            if rest.ends_with('*') { text.contains(middle) } else { text.ends_with(middle) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(kind: Kind, filter: &Value, value: Option<&str>, holds: bool) {
        let mut body = json!({ "propertyName": "p" });
        if let (Value::Object(body), Value::Object(filter)) = (&mut body, filter.clone()) {
            body.extend(filter);
        }
        let parsed: Filter = serde_json::from_value(body).unwrap();
        assert_eq!(parsed.holds(value, kind), holds, "{filter} on {value:?}");
    }

    #[test]
    fn operators_compare_by_the_type_of_the_property() {
        let n = Kind::Number;
        check(n, &json!({"operator": "GT", "value": "9"}), Some("10"), true);
        check(n, &json!({"operator": "EQ", "value": "10.0"}), Some("10"), true);
        check(n, &json!({"operator": "BETWEEN", "value": "1", "highValue": "3"}), Some("3"), true);
        check(n, &json!({"operator": "BETWEEN", "value": "1", "highValue": "3"}), Some("4"), false);
        let d = Kind::Datetime;
        check(d, &json!({"operator": "LTE", "value": "0"}), Some("1970-01-01T00:00:00Z"), true);
        check(
            d,
            &json!({"operator": "GTE", "value": "2026-01-01"}),
            Some("2026-02-01T00:00:00Z"),
            true,
        );
        let s = Kind::String;
        check(s, &json!({"operator": "EQ", "value": "ANN"}), Some("Ann"), true);
        check(s, &json!({"operator": "NEQ", "value": "ann"}), None, true);
        check(s, &json!({"operator": "LT", "value": "b"}), None, false);
        check(s, &json!({"operator": "HAS_PROPERTY"}), None, false);
        check(s, &json!({"operator": "NOT_HAS_PROPERTY"}), None, true);
    }

    #[test]
    fn lists_of_texts_must_be_lower_case() {
        let s = Kind::String;
        check(s, &json!({"operator": "IN", "values": ["ann"]}), Some("Ann"), true);
        check(s, &json!({"operator": "IN", "values": ["Ann"]}), Some("Ann"), false);
        check(s, &json!({"operator": "NOT_IN", "values": ["ann"]}), None, true);
    }

    #[test]
    fn tokens_are_words_or_patterns() {
        let s = Kind::String;
        let token = |value: &str| json!({"operator": "CONTAINS_TOKEN", "value": value});
        check(s, &token("example"), Some("ann@example.org"), true);
        check(s, &token("exam"), Some("ann@example.org"), false);
        check(s, &token("exam*"), Some("ann@example.org"), true);
        check(s, &token("*@example.org"), Some("ann@example.org"), true);
        check(s, &token("*xamp*"), Some("ann@example.org"), true);
    }
}
