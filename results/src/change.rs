//! What is done to an arm beyond its datapath: commands of the user's own, and a toll planted on purpose.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::units::Nanoseconds;

/// What an arm has beyond its datapath. By default nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Commands that are run in order once the datapath stands, before anything is measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apply: Vec<Command>,
    /// A command that is repeated until it succeeds: the change is in force then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready: Option<Command>,
    /// Time for which the responder spins before each reply: a toll of known size, to prove that a gate catches one.
    /// At most [`MOST_PLANTED`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planted: Option<Nanoseconds>,
}

/// Longest toll that can be planted: beyond it a responder would look dead rather than slow.
pub const MOST_PLANTED: Nanoseconds = Nanoseconds(100_000_000);

/// One command of the user's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// Where it runs.
    pub on: Place,
    /// The program and its arguments; no shell reads them.
    pub run: Vec<String>,
    /// How long it may take; for a ready check, how long it may be repeated.
    pub within: Nanoseconds,
}

/// A command that was run on an arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// Where it ran.
    pub on: Place,
    /// The program and its arguments.
    pub run: Vec<String>,
    /// How long it took; for a ready check, until it succeeded.
    pub took_ns: u64,
    /// The last line that it wrote, if it wrote any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<String>,
}

/// Where a command runs.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// The client's pod, or its node where the arm has no pods.
    Client,
    /// The server's pod, or its node where the arm has no pods.
    Server,
    /// The client's node.
    ClientNode,
    /// The server's node.
    ServerNode,
    /// The machine on which the runner runs: for arms of a cluster, whose configuration it changes.
    Runner,
}

impl Place {
    /// Returns the place as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::ClientNode => "client-node",
            Self::ServerNode => "server-node",
            Self::Runner => "runner",
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Command {
    /// Says where and what: `client-node: sysctl -w net.core.somaxconn=1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.on, line(&self.run))
    }
}

impl Change {
    /// Returns whether the arm is its datapath and nothing else.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Says in a few words what is changed, for a place behind the datapath's dimensions; empty for no change.
    #[must_use]
    pub fn words(&self) -> String {
        let mut parts: Vec<String> = self
            .apply
            .iter()
            .map(|command| line(&command.run))
            .collect();
        parts.extend(
            self.planted
                .map(|toll| format!("PLANTED TOLL of {toll} before each reply")),
        );
        parts.join("; ")
    }
}

/// Writes a command as one would type it, quoted only where it has to be.
#[must_use]
pub fn line(run: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let words = run.iter().map(|word| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.escape_debug().to_string().replace('\'', "\\'"))
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_says_what_it_is() {
        let sysctl = ["sysctl", "-w", "net.ipv4.tcp_rmem=1 2 3"].map(str::to_owned);
        let change = Change {
            apply: vec![Command {
                on: Place::ClientNode,
                run: sysctl.to_vec(),
                within: Nanoseconds(1),
            }],
            ready: None,
            planted: Some(Nanoseconds(3_000)),
        };
        assert_eq!(
            change.words(),
            "sysctl -w 'net.ipv4.tcp_rmem=1 2 3'; PLANTED TOLL of 3us before each reply"
        );
        assert!(!change.is_none() && Change::default().is_none());
        assert_eq!(Change::default().words(), "");
    }

    #[test]
    fn a_line_is_one_line() {
        assert_eq!(line(&["a\nb".to_owned(), String::new()]), "'a\\nb' ''");
    }
}
