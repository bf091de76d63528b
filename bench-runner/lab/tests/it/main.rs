//! The lab with real namespaces: as root, and as an ordinary user where the machine allows it.

#[cfg(test)]
mod anatomy;
#[cfg(test)]
mod boundaries;
#[cfg(test)]
mod datapaths;
#[cfg(test)]
mod exhaustion;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod kept;
#[cfg(test)]
mod kernel;
#[cfg(test)]
mod line;
#[cfg(test)]
mod lives;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod netkit;
#[cfg(test)]
mod outside;
#[cfg(test)]
mod places;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod services;
#[cfg(test)]
mod show;
mod traces;
#[cfg(test)]
mod use_of_an_arm;
#[cfg(test)]
mod wires;
