//! What stands on the nodes beside the path under test: rules and connections that no packet of the slice belongs to.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Load that merely stands there, on each node of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Rules in FORWARD as a controller of network policies writes them, none of which matches: 0 to 50,000.
    #[serde(default)]
    pub policies: u32,
    /// Entries in the connection-tracking table of each node: 0 to 200,000.
    #[serde(default)]
    pub connections: u32,
}

impl Standing {
    /// Most rules: some seconds to load.
    pub const MOST_POLICIES: u32 = 50_000;
    /// Most entries: below the 262,144 that a kernel with 8 GiB or more allows a namespace, with room for traffic.
    pub const MOST_CONNECTIONS: u32 = 200_000;

    /// Returns whether nothing stands there.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.policies == 0 && self.connections == 0
    }
}

impl fmt::Display for Standing {
    /// Says what stands: `500 policies, 10000 connections standing`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ending = |count, one, more| if count == 1 { one } else { more };
        if self.policies > 0 {
            let ending = ending(self.policies, "policy", "policies");
            write!(f, "{} {ending}", self.policies)?;
        }
        if self.policies > 0 && self.connections > 0 {
            f.write_str(", ")?;
        }
        if self.connections > 0 {
            let ending = ending(self.connections, "connection", "connections");
            write!(f, "{} {ending}", self.connections)?;
        }
        f.write_str(" standing")
    }
}
