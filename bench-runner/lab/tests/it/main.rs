//! The lab with real namespaces: as root, and as an ordinary user where the machine allows it.

mod datapaths;
mod harness;
