//! The base that every arm stands on (DESIGN §4.11): sysctls, flannel's rules, and proof that they hold.

use std::fs;
use std::path::Path;

use tollgate_results::arm::Family;

use crate::address::{self, Side};
use crate::congestion::{Congestion, Way};
use crate::error::{Doing as _, LabError};
use crate::rules::{self, Backend};
use crate::topology::Place;

/// Sets the sysctls of the namespace that the caller is in, before it has any device, and reads them back.
pub(crate) fn sysctls(
    place: Place,
    family: Family,
    congestion: Congestion,
) -> Result<(), LabError> {
    if congestion.way == Way::ByDefault {
        set(
            "net/ipv4/tcp_congestion_control",
            congestion.algorithm.as_str(),
        )?;
    }
    match family {
        // IPv6's own chatter (router solicitations, multicast reports) would count as packets.
        Family::Ipv4 => set_if_there("net/ipv6/conf/default/disable_ipv6", "1")?,
        Family::Ipv6 => {
            set("net/ipv6/conf/default/accept_dad", "0")?;
            set("net/ipv6/conf/default/router_solicitations", "0")?;
        }
    }
    if matches!(place, Place::Node(_)) {
        match family {
            Family::Ipv4 => set("net/ipv4/ip_forward", "1")?,
            Family::Ipv6 => set("net/ipv6/conf/all/forwarding", "1")?,
        }
        set_if_there("net/bridge/bridge-nf-call-iptables", "1")?;
        set_if_there("net/bridge/bridge-nf-call-ip6tables", "1")?;
    }
    if place == Place::Switch {
        // A switch has no firewall.
        set_if_there("net/bridge/bridge-nf-call-iptables", "0")?;
    }
    Ok(())
}

/// Returns a line for the reader where the kernel does not pass bridged packets to iptables.
pub(crate) fn bridge_note() -> Option<String> {
    (!Path::new("/proc/sys/net/bridge").exists()).then(|| {
        "br_netfilter is not loaded: bridged packets skip iptables, unlike on a Kubernetes node \
         (`modprobe br_netfilter`)"
            .to_owned()
    })
}

/// Sets sysctls of devices that stand in the namespace that the caller is in.
pub(crate) fn device_sysctls(sysctls: &[(&str, &str)]) -> Result<(), LabError> {
    sysctls
        .iter()
        .try_for_each(|(name, value)| set(name, value))
}

/// Sets a sysctl of the namespace that the caller is in, and reads it back.
pub(crate) fn set(name: &str, value: &str) -> Result<(), LabError> {
    let path = Path::new("/proc/sys").join(name);
    let read = || fs::read_to_string(&path).doing(|| format!("read the sysctl `{name}`"));
    // Most hold already, and a namespace of an ordinary user may read more than it may write.
    if read()?.trim() == value {
        return Ok(());
    }
    fs::write(&path, value).doing(|| format!("set the sysctl `{name}` to {value}"))?;
    let found = read()?;
    if found.trim() == value {
        return Ok(());
    }
    Err(LabError::said(
        format!("set the sysctl `{name}` to {value}"),
        format!("the kernel keeps it at {}", found.trim()),
    ))
}

fn set_if_there(name: &str, value: &str) -> Result<(), LabError> {
    if Path::new("/proc/sys").join(name).exists() {
        set(name, value)
    } else {
        Ok(())
    }
}

/// Loads flannel's rules on the node whose namespace the caller is in. They make it track connections.
pub(crate) fn load_flannel(side: Side, family: Family) -> Result<(), LabError> {
    rules::load_iptables(Backend::Nft, family, &flannel(side, family))
        .map_err(|error| LabError::said("load flannel's rules", error.cause()))
}

/// Returns flannel's masquerade and forward chains for one node, as iptables-restore reads them.
fn flannel(side: Side, family: Family) -> String {
    let cluster = address::cluster_cidr(family);
    let pods = format!(
        "{}/{}",
        address::pod(side, 0, family),
        address::pod_prefix(family)
    );
    let multicast = match family {
        Family::Ipv4 => "224.0.0.0/4",
        Family::Ipv6 => "ff00::/8",
    };
    let masq = "-m comment --comment \"flanneld masq\"";
    let forward = "-m comment --comment \"flanneld forward\"";
    format!(
        "*nat\n\
         :FLANNEL-POSTRTG - [0:0]\n\
         -A POSTROUTING {masq} -j FLANNEL-POSTRTG\n\
         -A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 {masq} -j RETURN\n\
         -A FLANNEL-POSTRTG -s {pods} -d {cluster} {masq} -j RETURN\n\
         -A FLANNEL-POSTRTG -s {cluster} -d {pods} {masq} -j RETURN\n\
         -A FLANNEL-POSTRTG ! -s {cluster} -d {pods} {masq} -j RETURN\n\
         -A FLANNEL-POSTRTG -s {cluster} ! -d {multicast} {masq} -j MASQUERADE --random-fully\n\
         -A FLANNEL-POSTRTG ! -s {cluster} -d {cluster} {masq} -j MASQUERADE --random-fully\n\
         COMMIT\n\
         *filter\n\
         :FORWARD ACCEPT [0:0]\n\
         :FLANNEL-FWD - [0:0]\n\
         -A FORWARD {forward} -j FLANNEL-FWD\n\
         -A FLANNEL-FWD -s {cluster} {forward} -j ACCEPT\n\
         -A FLANNEL-FWD -d {cluster} {forward} -j ACCEPT\n\
         COMMIT\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_both_nodes_are_never_masqueraded() {
        let text = flannel(Side::B, Family::Ipv4);
        let rules: Vec<_> = text
            .lines()
            .filter(|l| l.starts_with("-A FLANNEL-POSTRTG"))
            .collect();
        assert!(rules[1].starts_with("-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16"));
        assert!(rules[1].ends_with("-j RETURN"));
        assert!(rules[2].starts_with("-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.1.0/24"));
        assert!(flannel(Side::A, Family::Ipv6).contains("-s fd00:10:244::/64 -d fd00:10:244::/48"));
    }
}
