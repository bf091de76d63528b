//! Objects of a cluster as the API or `kubectl` gives them, sorted by what they are.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, Service};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How deep lists may lie in lists: `kubectl` makes one list, tools that join dumps a second.
const DEEPEST_LIST: usize = 4;

/// The label that cloud providers set on nodes.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

/// What it was called until Kubernetes 1.17.
const ZONE_BEFORE: &str = "failure-domain.beta.kubernetes.io/zone";

/// Returns the zone of a node, where it says so.
pub(crate) fn zone_of(node: &Node) -> Option<&String> {
    let labels = node.metadata.labels.as_ref()?;
    let zone = labels.get(ZONE).or_else(|| labels.get(ZONE_BEFORE))?;
    (!zone.is_empty()).then_some(zone)
}

/// Most documents of a dump that are looked at.
const MOST_OBJECTS: usize = 1_000_000;

/// Objects of a cluster, as far as they were asked for.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Daemon sets: the plugins and proxies of each node.
    pub daemon_sets: Vec<DaemonSet>,
    /// Configuration of those.
    pub config_maps: Vec<ConfigMap>,
    /// Pods, of which proxies that run as static pods are of interest.
    pub pods: Vec<Pod>,
    /// Services; `None` where they were not asked for.
    pub services: Option<Vec<Service>>,
    /// Policies by kind; `None` where they were not asked for.
    pub policies: Option<Vec<Policy>>,
    /// Objects of kinds that aren't part of Kubernetes itself.
    pub custom: Vec<Value>,
}

/// A policy, of which only its name is of interest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Policy {
    /// Its kind, such as `NetworkPolicy` or `CiliumNetworkPolicy`.
    pub kind: String,
}

/// A dump that can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It isn't JSON or YAML.
    #[error("object {number}: {reason}; give what `kubectl get … -o json` or `-o yaml` prints")]
    Text {
        /// Which object, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// It isn't an object of the API.
    #[error("object {number} has no `kind`; give what `kubectl get … -o json` or `-o yaml` prints")]
    Kind {
        /// Which object, from 1.
        number: usize,
    },
    /// It isn't what its kind should be.
    #[error("{kind} `{name}`: {reason}; the dump was edited or cut off")]
    Object {
        /// Its kind.
        kind: String,
        /// Its name, with its namespace where it has one.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// There are too many.
    #[error("more than {MOST_OBJECTS} objects; dump fewer kinds")]
    TooMany,
    /// There is nothing.
    #[error("there is no object in it; give what `kubectl get … -o json` or `-o yaml` prints")]
    Empty,
}

impl Snapshot {
    /// Reads a dump: JSON documents one after the other, or YAML documents; lists count as their items.
    ///
    /// # Errors
    ///
    /// When it is neither, or an object isn't what its kind should be; it names the first.
    pub fn read(text: &str) -> Result<Self, SnapshotError> {
        let documents = if text.trim_start().starts_with('{') {
            json(text)?
        } else {
            yaml(text)?
        };
        let mut objects = Vec::new();
        for (index, document) in documents.into_iter().enumerate() {
            flatten(document, index + 1, DEEPEST_LIST, &mut objects)?;
        }
        if objects.is_empty() {
            return Err(SnapshotError::Empty);
        }
        let mut snapshot = Self::default();
        for object in objects {
            snapshot.add(object)?;
        }
        Ok(snapshot)
    }

    /// Adds one object by its kind.
    ///
    /// # Errors
    ///
    /// When it isn't what its kind should be.
    pub fn add(&mut self, object: Value) -> Result<(), SnapshotError> {
        let kind = text_at(&object, "/kind").unwrap_or_default().to_owned();
        let group = text_at(&object, "/apiVersion")
            .and_then(|version| version.split_once('/'))
            .map_or("", |(group, _)| group);
        match (group, kind.as_str()) {
            ("", "Node") => self.nodes.push(typed(object)?),
            ("apps", "DaemonSet") => self.daemon_sets.push(typed(object)?),
            ("", "ConfigMap") => self.config_maps.push(typed(object)?),
            ("", "Pod") => self.pods.push(typed(object)?),
            ("", "Service") => {
                let services = self.services.get_or_insert_default();
                services.push(typed(object)?);
            }
            (_, policy) if policy.ends_with("NetworkPolicy") => {
                let policies = self.policies.get_or_insert_default();
                policies.push(Policy { kind });
            }
            _ => self.custom.push(object),
        }
        Ok(())
    }

    /// Returns the zone of each node that has one.
    #[must_use]
    pub fn zones(&self) -> BTreeMap<String, String> {
        let zone = |node: &Node| {
            let zone = zone_of(node)?;
            Some((node.metadata.name.clone()?, zone.clone()))
        };
        self.nodes.iter().filter_map(zone).collect()
    }

    /// Returns a daemon set of one of these names, in any namespace.
    pub(crate) fn daemon_set(&self, names: &[&str]) -> Option<&DaemonSet> {
        self.daemon_sets.iter().find(|set| {
            let name = set.metadata.name.as_deref();
            name.is_some_and(|name| names.contains(&name))
        })
    }

    /// Returns a config map by its name, in any namespace.
    pub(crate) fn config_map(&self, name: &str) -> Option<&ConfigMap> {
        let mut maps = self.config_maps.iter();
        maps.find(|map| map.metadata.name.as_deref() == Some(name))
    }

    /// Returns the objects of a kind that isn't part of Kubernetes itself.
    pub(crate) fn custom<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let of_kind = move |object: &&Value| text_at(object, "/kind") == Some(kind);
        self.custom.iter().filter(of_kind)
    }
}

/// Returns a text below an object, by its JSON pointer.
pub(crate) fn text_at<'a>(object: &'a Value, pointer: &str) -> Option<&'a str> {
    object.pointer(pointer)?.as_str()
}

fn json(text: &str) -> Result<Vec<Value>, SnapshotError> {
    let mut documents = Vec::new();
    for document in serde_json::Deserializer::from_str(text).into_iter() {
        documents.push(document.map_err(|error| SnapshotError::Text {
            number: documents.len() + 1,
            reason: error.to_string(),
        })?);
        bounded(documents.len())?;
    }
    Ok(documents)
}

fn yaml(text: &str) -> Result<Vec<Value>, SnapshotError> {
    let documents = serde_saphyr::from_multiple::<Value>(text);
    let documents = documents.map_err(|error| SnapshotError::Text {
        number: 1,
        reason: first_line(&error.to_string()),
    })?;
    bounded(documents.len())?;
    Ok(documents)
}

/// Takes lists apart.
fn flatten(
    document: Value,
    number: usize,
    depth: usize,
    objects: &mut Vec<Value>,
) -> Result<(), SnapshotError> {
    bounded(objects.len() + 1)?;
    if document.is_null() {
        // A YAML document between two separators may be empty.
        return Ok(());
    }
    let Some(kind) = text_at(&document, "/kind") else {
        return Err(SnapshotError::Kind { number });
    };
    let list = kind.strip_suffix("List").map(ToOwned::to_owned);
    let (Some(item_kind), true) = (list, depth > 0) else {
        objects.push(document);
        return Ok(());
    };
    let version = document.get("apiVersion").cloned();
    let Value::Object(mut fields) = document else {
        return Err(SnapshotError::Kind { number });
    };
    let Some(Value::Array(items)) = fields.remove("items") else {
        return Ok(());
    };
    for mut item in items {
        // The API leaves kind and version out of the items of a typed list.
        if let Value::Object(fields) = &mut item
            && !item_kind.is_empty()
        {
            fields
                .entry("kind")
                .or_insert_with(|| item_kind.as_str().into());
            if let Some(version) = &version {
                fields.entry("apiVersion").or_insert(version.clone());
            }
        }
        flatten(item, number, depth - 1, objects)?;
    }
    Ok(())
}

const fn bounded(count: usize) -> Result<(), SnapshotError> {
    if count > MOST_OBJECTS {
        return Err(SnapshotError::TooMany);
    }
    Ok(())
}

fn typed<T: DeserializeOwned>(object: Value) -> Result<T, SnapshotError> {
    let kind = text_at(&object, "/kind").unwrap_or_default().to_owned();
    let name = name_of(&object);
    serde_json::from_value(object).map_err(|error| SnapshotError::Object {
        kind,
        name,
        reason: first_line(&error.to_string()),
    })
}

/// Returns an object's name, with its namespace where it has one.
pub(crate) fn name_of(object: &Value) -> String {
    let name = text_at(object, "/metadata/name").unwrap_or("without a name");
    text_at(object, "/metadata/namespace").map_or_else(
        || name.to_owned(),
        |namespace| format!("{namespace}/{name}"),
    )
}

/// Parsers show the place below their message; an error of ours has one line.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_single_objects_in_json_and_yaml_are_the_same() {
        let json = r#"{"kind":"List","apiVersion":"v1","items":[
            {"kind":"Node","apiVersion":"v1","metadata":{"name":"a"}},
            {"kind":"NodeList","apiVersion":"v1","items":[{"metadata":{"name":"b"}}]}]}
            {"kind":"Service","apiVersion":"v1","metadata":{"name":"kubernetes"}}"#;
        let yaml = "\
kind: Node
apiVersion: v1
metadata: {name: a}
---
kind: NodeList
apiVersion: v1
items: [{metadata: {name: b}}]
---
kind: Service
apiVersion: v1
metadata: {name: kubernetes}
";
        for text in [json, yaml] {
            let snapshot = Snapshot::read(text).unwrap();
            let names: Vec<_> = snapshot
                .nodes
                .iter()
                .map(|node| node.metadata.name.as_deref().unwrap())
                .collect();
            assert_eq!(names, ["a", "b"]);
            assert_eq!(snapshot.services.unwrap().len(), 1);
            assert!(snapshot.policies.is_none(), "nobody asked for policies");
        }
    }

    #[test]
    fn what_is_no_dump_is_told_in_one_line() {
        for (text, part) in [
            ("", "no object in it"),
            ("{", "object 1: EOF"),
            ("{\"kind\":\"Node\"}{", "object 2: EOF"),
            ("{}", "object 1 has no `kind`"),
            ("- 1\n- 2\n", "object 1 has no `kind`"),
            ("a: [", "object 1: "),
            ("Error from server (Forbidden)", "object 1 has no `kind`"),
            (
                "{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"},\"status\":7}",
                "Node `a`: ",
            ),
        ] {
            let told = Snapshot::read(text).unwrap_err().to_string();
            assert!(told.contains(part), "{text}: {told}");
            assert_eq!(told.lines().count(), 1, "{told}");
        }
    }

    #[test]
    fn yaml_that_unfolds_without_end_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(
                &[
                    "a",
                    &level.to_string(),
                    ": &a",
                    &level.to_string(),
                    " [",
                    &below,
                    "]\n",
                ]
                .concat(),
            );
        }
        let told = Snapshot::read(&text).unwrap_err().to_string();
        assert_eq!(told.lines().count(), 1, "{told}");
    }

    #[test]
    fn nested_lists_have_a_bottom() {
        let mut text = String::new();
        for _ in 0..100 {
            text.push_str(r#"{"kind":"List","items":["#);
        }
        text.push_str(r#"{"kind":"Node","apiVersion":"v1"}"#);
        text.push_str(&"]}".repeat(100));
        // Too deep to be of use: what lies below isn't looked at, or the parser refuses it.
        if let Ok(snapshot) = Snapshot::read(&text) {
            assert!(snapshot.nodes.is_empty());
        }
    }
}
