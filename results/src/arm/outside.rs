//! What a datapath from outside the cluster can be combined with.

use super::{Datapath, Family, Place, Pods, Service, Wire};

impl Datapath {
    /// Lists what cannot stand beside `outside`: the dimension's key, and why and how to mend it. Empty where the client is in
    /// the cluster or all is well.
    #[must_use]
    pub fn against_outside(&self) -> Vec<(&'static str, String)> {
        let Some(outside) = self.outside else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        let mut refuse = |key, wrong: bool, why: &str, mend: &str| {
            if wrong {
                faults.push((key, format!("outside = \"{outside}\" {why}; {mend}")));
            }
        };
        refuse(
            "pods",
            self.pods.past_the_stack() || self.pods == Pods::Host,
            "ends at a pod that its node's stack delivers to",
            "write pods = \"bridge\"",
        );
        refuse(
            "wire",
            self.wire != Wire::Native,
            "joins its nodes without a tunnel",
            "write wire = \"native\"",
        );
        refuse(
            "place",
            self.place != Place::OtherNode,
            "has its server on the other node",
            "write place = \"other-node\"",
        );
        refuse(
            "line",
            self.line.is_some(),
            "joins its machines by a switch, on which no line stands",
            "remove the key",
        );
        refuse(
            "service",
            self.service != Service::None,
            "translates the service's address at the entry node by itself",
            "write service = \"none\"",
        );
        refuse(
            "family",
            self.family != Family::Ipv4,
            "has no IPv6: there the address would need an extension header",
            "write family = \"ipv4\"",
        );
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::Outside;

    #[test]
    fn outside_stands_beside_the_plainest_path_only() {
        let plain = Datapath {
            outside: Some(Outside::Dsr),
            ..Datapath::default()
        };
        assert_eq!(plain.against_outside(), []);
        let all = Datapath {
            pods: Pods::Host,
            wire: Wire::Vxlan,
            service: Service::SocketLb,
            family: Family::Ipv6,
            ..plain
        };
        let faults = all.against_outside();
        let keys: Vec<_> = faults.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["pods", "wire", "service", "family"]);
        for (key, fault) in faults {
            assert!(fault.starts_with("outside = \"dsr\" "), "{fault}");
            assert!(fault.contains(&format!("; write {key} = ")), "{fault}");
        }
        let inside = Datapath {
            outside: None,
            ..all
        };
        assert_eq!(inside.against_outside(), []);
    }
}
