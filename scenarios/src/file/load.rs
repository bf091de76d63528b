//! When requests are sent: `"closed"`, or a table for an open loop.

use std::fmt;

use schemars::JsonSchema;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tollgate_results::units::Rate;
use tollgate_results::workload::{Arrivals, OpenLoad};

use super::value::some_quantity;

/// When requests are sent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)] // For writing and the schema; reading is by hand, for its error.
pub(crate) enum Load {
    /// The next request after the reply to the one before.
    Closed(Closed),
    /// On a schedule, whatever became of the requests before.
    Open(OpenTable),
}

/// The word for a closed loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Closed {
    /// The next request after the reply to the one before.
    Closed,
}

/// The schedule of an open loop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    default,
    deny_unknown_fields,
    rename_all = "kebab-case",
    expecting = "a table"
)]
pub(crate) struct OpenTable {
    /// Requests per second over all connections: `"1/s"` to `"1M/s"`.
    #[serde(
        deserialize_with = "some_quantity",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(required)]
    pub(crate) open: Option<Rate>,
    /// How planned times are spread: as independent users arrive, or with the same gap.
    pub(crate) arrivals: Arrivals,
    /// Connections that share the requests; over HTTP each carries one at a time.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) connections: i64,
    /// Most requests without an outcome at once, over all connections.
    #[schemars(range(min = 1, max = 65536))]
    pub(crate) in_flight: i64,
}

impl Default for OpenTable {
    fn default() -> Self {
        let load = OpenLoad::new(Rate(1));
        Self {
            open: None,
            arrivals: load.arrivals,
            connections: load.connections.into(),
            in_flight: load.in_flight.into(),
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self::Closed(Closed::Closed)
    }
}

impl<'de> Deserialize<'de> for Load {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WordOrTable;

        impl<'de> Visitor<'de> for WordOrTable {
            type Value = Load;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"closed\", or a table such as { open = \"10k/s\" }")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Load, E> {
                match text {
                    "closed" => Ok(Load::default()),
                    "open" => Err(E::custom(
                        "an open loop needs its rate; write load = { open = \"10k/s\" }",
                    )),
                    other => Err(E::unknown_variant(other, &["closed"])),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Load, A::Error> {
                OpenTable::deserialize(MapAccessDeserializer::new(map)).map(Load::Open)
            }
        }

        deserializer.deserialize_any(WordOrTable)
    }
}
