//! The scenarios in the binary.

/// A scenario that is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// The text of its file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        [$(Shipped { name: $name, text: include_str!(concat!("../shipped/", $name, ".toml")) }),+]
    };
}

/// In the order in which a newcomer would run them.
static SHIPPED: &[Shipped] = &shipped![
    "quickstart",
    "overlay-tax",
    "pod-attachment",
    "service-path",
    "ebpf-latency",
    "datapath-matrix",
    "service-scaling",
    "north-south",
    "bbr",
    "sysctl-folklore",
    "latency-under-load",
    "conntrack-exhaustion",
    "service-balance",
    "gateway-split"
];

/// Returns the shipped scenarios, in the order in which a newcomer would run them.
#[must_use]
pub fn shipped() -> &'static [Shipped] {
    SHIPPED
}
