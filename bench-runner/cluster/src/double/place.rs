//! Which object a path names, and which objects a query selects.

use std::collections::BTreeMap;

use serde_json::Value;

/// Where an object stands; without a name it is a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Place {
    /// Reads a path; returns the part of the object, such as `portforward`, where it names one.
    pub(super) fn of(path: &str) -> Option<(Self, Option<String>)> {
        let mut parts = path.trim_matches('/').split('/').map(ToOwned::to_owned);
        let group = match parts.next()?.as_str() {
            "api" => String::new(),
            "apis" => parts.next()?,
            _ => return None,
        };
        parts.next()?;
        let mut rest: Vec<String> = parts.collect();
        let mut namespace = String::new();
        // A namespace itself is an object; what stands in one has it before its kind.
        if rest.first().is_some_and(|first| first == "namespaces") && rest.len() > 2 {
            namespace = rest.remove(1);
            rest.remove(0);
        }
        let mut rest = rest.into_iter();
        let place = Self {
            group,
            plural: rest.next()?,
            namespace,
            name: rest.next().unwrap_or_default(),
        };
        Some((place, rest.next()))
    }

    /// Returns whether a list at this place holds an object.
    pub(super) fn holds(&self, other: &Self) -> bool {
        let everywhere = self.namespace.is_empty() || self.namespace == other.namespace;
        self.group == other.group && self.plural == other.plural && everywhere
    }
}

/// Returns whether the label selector of a query selects an object: `key=value` and `key` are understood.
pub(super) fn selects(params: &BTreeMap<String, String>, object: &Value) -> bool {
    let Some(selector) = params.get("labelSelector") else {
        return true;
    };
    let labels = object.pointer("/metadata/labels");
    selector.split(',').all(|term| {
        let (key, value) = term
            .split_once('=')
            .map_or((term, None), |(key, value)| (key, Some(value)));
        let found = labels
            .and_then(|labels| labels.get(key))
            .and_then(Value::as_str);
        found.is_some_and(|found| value.is_none_or(|value| value == found))
    })
}

/// Reads a query.
pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (unescaped(key), unescaped(value))
        })
        .collect()
}

fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let code = code.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_objects() {
        let named = |path: &str| {
            let (place, part) = Place::of(path).unwrap();
            (place.group, place.plural, place.namespace, place.name, part)
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(
            named("/api/v1/namespaces/ns/pods/p/portforward"),
            (
                text(""),
                text("pods"),
                text("ns"),
                text("p"),
                Some(text("portforward"))
            )
        );
        assert_eq!(
            named("/api/v1/namespaces/ns"),
            (text(""), text("namespaces"), text(""), text("ns"), None)
        );
        assert_eq!(
            named("/apis/apps/v1/daemonsets"),
            (text("apps"), text("daemonsets"), text(""), text(""), None)
        );
        assert!(Place::of("/healthz").is_none());
        assert_eq!(query("a=b%3Dc&d=")["a"], "b=c");
    }
}
