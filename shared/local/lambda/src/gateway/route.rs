//! Which route a request belongs to.
//!
//! Followed: "Create routes for HTTP APIs in API Gateway". The path is matched after
//! percent-decoding, as API Gateway does, so an encoded slash separates segments.

use std::cmp::Reverse;
use std::collections::BTreeMap;

/// One route of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSpec {
    /// `GET`, …, or `ANY`. Not looked at for the path `$default`.
    pub method: String,
    /// `/courses/{slug}`, `/files/{proxy+}`, or `$default`.
    pub path: String,
    /// The function it invokes.
    pub function: String,
}

impl RouteSpec {
    /// The route key of the payload: `GET /courses/{slug}` or `$default`.
    pub(super) fn key(&self) -> String {
        if self.path == DEFAULT {
            return DEFAULT.to_owned();
        }
        format!("{} {}", self.method, self.path)
    }
}

pub(super) const DEFAULT: &str = "$default";

/// How closely a route fits; larger is closer. Segments count from the left, then the method.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fit {
    segments: Vec<Reverse<Segment>>,
    exact_method: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Segment {
    Literal,
    Parameter,
    Greedy,
}

/// The closest route and its path parameters, which are decoded as `path` is.
pub(super) fn find<'routes>(
    routes: &'routes [RouteSpec],
    method: &str,
    path: &str,
) -> Option<(&'routes RouteSpec, BTreeMap<String, String>)> {
    routes
        .iter()
        .filter_map(|route| {
            let (fit, parameters) = fit(route, method, path)?;
            Some((fit, route, parameters))
        })
        .max_by(|(one, ..), (other, ..)| one.cmp(other))
        .map(|(_, route, parameters)| (route, parameters))
}

fn fit(route: &RouteSpec, method: &str, path: &str) -> Option<(Fit, BTreeMap<String, String>)> {
    let mut fit = Fit { segments: Vec::new(), exact_method: route.method == method };
    let mut parameters = BTreeMap::new();
    if route.path == DEFAULT {
        return Some((fit, parameters));
    }
    if !fit.exact_method && route.method != "ANY" {
        return None;
    }
    let mut rest = Some(path.strip_prefix('/')?);
    for pattern in route.path.strip_prefix('/')?.split('/') {
        let remaining = rest?;
        let name = pattern.strip_prefix('{').and_then(|pattern| pattern.strip_suffix('}'));
        let (segment, after) = match remaining.split_once('/') {
            Some((segment, after)) => (segment, Some(after)),
            None => (remaining, None),
        };
        let kind = match name {
            None if pattern == segment => Segment::Literal,
            None => return None,
            Some(_) if segment.is_empty() => return None,
            Some(name) => {
                let (name, value, kind) = match name.strip_suffix('+') {
                    Some(name) => (name, remaining, Segment::Greedy),
                    None => (name, segment, Segment::Parameter),
                };
                parameters.insert(name.to_owned(), value.to_owned());
                kind
            }
        };
        fit.segments.push(Reverse(kind));
        rest = if kind == Segment::Greedy { None } else { after };
    }
    rest.is_none().then_some((fit, parameters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expected: Option<(&str, &[(&str, &str)])>) {
        let routes: Vec<RouteSpec> = [
            "GET /pets/dog/1",
            "GET /pets/dog/{id}",
            "GET /pets/{proxy+}",
            "ANY /pets/dog/1",
            "GET /",
            "POST /courses/{slug}/enrolment",
        ]
        .iter()
        .filter_map(|key| key.split_once(' '))
        .map(|(method, path)| RouteSpec {
            method: method.to_owned(),
            path: path.to_owned(),
            function: String::new(),
        })
        .collect();
        let found = find(&routes, method, path).map(|(route, parameters)| {
            let parameters: Vec<(String, String)> = parameters.into_iter().collect();
            (route.key(), parameters)
        });
        let expected = expected.map(|(key, parameters)| {
            let parameters = parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            (key.to_owned(), parameters)
        });
        assert_eq!(found, expected, "{method} {path}");
    }

    #[test]
    fn the_most_specific_route_wins() {
        check("GET", "/pets/dog/1", Some(("GET /pets/dog/1", &[])));
        check("PUT", "/pets/dog/1", Some(("ANY /pets/dog/1", &[])));
        check("GET", "/pets/dog/2", Some(("GET /pets/dog/{id}", &[("id", "2")])));
        check("GET", "/pets/cat/1", Some(("GET /pets/{proxy+}", &[("proxy", "cat/1")])));
        check("GET", "/", Some(("GET /", &[])));
        check("GET", "/pets/", None);
        check("GET", "/pets", None);
        check("POST", "/courses//enrolment", None);
        check("POST", "/courses/rust/enrolment/", None);
        check("post", "/courses/rust/enrolment", None);
    }

    #[test]
    fn the_default_route_takes_what_is_left() {
        let routes = ["GET /{proxy+}", "ANY $default"].map(|key| {
            let (method, path) = key.split_once(' ').unwrap();
            RouteSpec { method: method.to_owned(), path: path.to_owned(), function: String::new() }
        });
        let key = |method| find(&routes, method, "/x").map(|(route, _)| route.key());
        assert_eq!(key("GET").as_deref(), Some("GET /{proxy+}"));
        assert_eq!(key("POST").as_deref(), Some("$default"));
    }
}
