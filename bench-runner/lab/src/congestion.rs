//! Which congestion control an arm's connections use, and how it comes to them.

use std::fmt;
use std::fs;
use std::path::Path;

use tollgate_results::kernel::Kernel;

/// Most letters of a congestion control's name: `TCP_CA_NAME_MAX` less the end.
const LONGEST: usize = 15;

/// The name of a congestion control, as small as the kernel's own, so that plain data can hold it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Algorithm {
    letters: [u8; LONGEST],
    length: usize,
}

impl Algorithm {
    /// Takes over a name; a longer one than a kernel has is cut, and then known to none.
    pub(crate) fn new(name: &str) -> Self {
        let mut letters = [0; LONGEST];
        let length = name.len().min(LONGEST);
        letters[..length].copy_from_slice(&name.as_bytes()[..length]);
        Self { letters, length }
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.letters[..self.length]).unwrap_or_default()
    }
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An arm's congestion control.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Congestion {
    pub(crate) algorithm: Algorithm,
    pub(crate) way: Way,
}

/// How a congestion control comes to an arm's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the default of its namespaces.
    ByDefault,
    /// By its routes: a kernel whose own default is another one allows it as a namespace's default only where
    /// the machine's administrator has said so.
    ByRoute,
    /// Not at all: the kernel lacks it.
    Missing,
}

/// The base's congestion control, the usual default.
const CUBIC: &str = "cubic";

impl Congestion {
    /// Finds out what this kernel allows of what an arm asks for; the base's where it asks for none.
    pub(crate) fn of(kernel: &Kernel) -> Self {
        let name = kernel.congestion.as_deref().unwrap_or(CUBIC);
        let holds = |file: &str| words(file).iter().any(|word| word == name);
        let way = if holds("tcp_allowed_congestion_control") {
            Way::ByDefault
        } else if holds("tcp_available_congestion_control") {
            Way::ByRoute
        } else {
            Way::Missing
        };
        Self {
            algorithm: Algorithm::new(name),
            way,
        }
    }

    /// Returns the algorithm where routes are to choose it.
    pub(crate) fn by_route(self) -> Option<Algorithm> {
        (self.way == Way::ByRoute).then_some(self.algorithm)
    }

    /// Returns what is missing and how to mend it; `None` where the kernel has it.
    pub(crate) fn missing(self) -> Option<String> {
        (self.way == Way::Missing).then(|| {
            let has = words("tcp_available_congestion_control").join(", ");
            format!(
                "this kernel has no `{0}` congestion control, only {has}: run `modprobe tcp_{0}` as root",
                self.algorithm
            )
        })
    }

    /// Says how it comes to connections, for the arm's facts.
    pub(crate) fn words(self) -> String {
        match self.way {
            Way::ByDefault => format!("{}, the namespaces' default", self.algorithm),
            Way::ByRoute => format!("{}, chosen by every route", self.algorithm),
            Way::Missing => "the kernel's default".to_owned(),
        }
    }
}

/// Returns the words of one of the machine's TCP sysctls; none where it cannot be read.
fn words(file: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new("/proc/sys/net/ipv4").join(file)).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_kernel_lacks_is_said_with_what_it_has() {
        let kernel = Kernel {
            congestion: Some("nosuchthing".to_owned()),
            ..Kernel::default()
        };
        let congestion = Congestion::of(&kernel);
        assert_eq!(
            (congestion.way, congestion.by_route()),
            (Way::Missing, None)
        );
        let missing = congestion.missing().unwrap();
        assert!(
            missing.contains("nosuchthing") && missing.contains("modprobe"),
            "{missing}"
        );
    }

    #[test]
    fn a_name_is_kept_as_it_is() {
        assert_eq!(Algorithm::new("bbr").to_string(), "bbr");
        assert_eq!(
            Algorithm::new("a-name-that-no-kernel-has").as_str().len(),
            LONGEST
        );
    }
}
