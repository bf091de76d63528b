//! Arms: impossible points are refused, sweeps spread out.

use std::collections::BTreeSet;

use tollgate_results::arm::{
    Access, Arm, Datapath, Name, Place, Pods, Service, Services, SweepPoint, Wire,
};
use tollgate_results::cluster_path::Path;
use tollgate_results::standing::Standing;

use super::{change, cluster, kernel, range};
use crate::document::Document;
use crate::fault::suggestion;
use crate::file::{ArmTable, Counts, File, ServicesTable, WorkloadTable};

/// Most arms of a scenario, each level of a sweep counted.
const MOST_ARMS: usize = 256;

/// Most services of an arm.
const MOST_SERVICES: i64 = 50_000;

/// Most endpoints of an arm, all services together.
const MOST_ENDPOINTS: i64 = 100_000;

/// Checks all arms and returns them in the file's order, each with all workloads or those that it names.
/// Their references are those that they name themselves.
pub(super) fn check(document: &mut Document<'_>, file: &File, workloads: &[Name]) -> Vec<Arm> {
    let mut tables: Vec<(&Name, &ArmTable)> = file.arm.iter().collect();
    tables.sort_by_key(|(name, _)| document.offset(&["arm", name.as_str()]));
    if tables.len() < 2 && !document.is_broken(&["arm"]) {
        let message = "nothing to compare; write at least two arms, for example [arm.native] and \
                       [arm.vxlan]";
        document.fault(&["arm"], message);
    }
    let mut arms = Vec::new();
    for (name, table) in tables {
        let checked = Checked {
            document,
            name,
            table,
        };
        arms.extend(checked.arms(file, workloads));
    }
    if arms.len() > MOST_ARMS {
        let message = format!(
            "{} arms with all sweeps; at most {MOST_ARMS} are run",
            arms.len()
        );
        document.fault(&["arm"], message);
    }
    arms
}

/// One `[arm.NAME]` under check.
struct Checked<'a, 'd> {
    document: &'a mut Document<'d>,
    name: &'a Name,
    table: &'a ArmTable,
}

impl Checked<'_, '_> {
    fn arms(mut self, file: &File, workloads: &[Name]) -> Vec<Arm> {
        if self.name.as_str().contains('@') {
            self.fault(
                &[],
                "`@` is for the levels of a sweep; leave it out of the name",
            );
        }
        self.impossible_points();
        let workloads = self.workloads(file, workloads);
        let change = change::check(self.document, self.name, self.table);
        let cluster = cluster::check(self.document, self.name, self.table);
        let standing = self.standing();
        let kernel = kernel::kernel(self.document, self.name, self.table);
        let line = kernel::line(self.document, self.name, self.table);
        let levels = self.levels();
        levels
            .into_iter()
            .filter_map(|(services, sweep)| {
                let name = match &sweep {
                    Some(point) => format!("{}@{}", point.series, point.level),
                    None => self.name.to_string(),
                };
                let Ok(name) = name.parse() else {
                    let message = format!("`{name}` is too long for a name; shorten the arm's");
                    self.fault(&[], message);
                    return None;
                };
                Some(Arm {
                    name,
                    reference: self.table.reference.clone(),
                    datapath: Datapath {
                        kernel: kernel.clone(),
                        line,
                        cluster: cluster.clone(),
                        ..self.datapath(services, standing)
                    },
                    workloads: workloads.clone(),
                    sweep,
                    change: change.clone(),
                })
            })
            .collect()
    }

    fn fault(&mut self, below: &[&str], message: impl Into<String>) {
        let path = [&["arm", self.name.as_str()], below].concat();
        if !self.document.is_broken(&["arm", self.name.as_str()]) {
            self.document.fault(&path, message);
        }
    }

    fn datapath(&self, services: Option<Services>, standing: Standing) -> Datapath {
        Datapath {
            // A cluster's pods are as they are.
            pods: match self.table.cluster {
                Some(_) => Pods::Host,
                None => self.table.pods,
            },
            wire: self.table.wire,
            service: self.table.service,
            services,
            family: self.table.family,
            offloads: self.table.offloads,
            outside: self.table.outside,
            standing,
            place: self.table.place,
            ..Datapath::default()
        }
    }

    /// Returns what stands beside the path.
    fn standing(&mut self) -> Standing {
        let table = self.table.standing.clone();
        let mut number = |key, number: i64, most: u32| {
            if let Some(message) = range(number, (0, i64::from(most))) {
                self.fault(&["standing", key], message);
            }
            // What doesn't fit was out of range.
            u32::try_from(number).unwrap_or(0)
        };
        Standing {
            policies: number("policies", table.policies, Standing::MOST_POLICIES),
            connections: number("connections", table.connections, Standing::MOST_CONNECTIONS),
        }
    }

    /// Notes points that no machine can stand. Arms of two families may be compared: family is a dimension
    /// like any other.
    fn impossible_points(&mut self) {
        if self.table.service == Service::None && self.table.services.is_some() {
            let message = "services that nothing translates; write service = \"iptables-legacy\" or \
                           another, or remove the key";
            self.fault(&["services"], message);
        }
        let by_ebpf = matches!(
            self.table.service,
            Service::None | Service::SocketLb | Service::TcLb
        );
        if self.table.pods.past_the_stack() && !by_ebpf {
            let message = format!(
                "pods = \"{}\" passes by the node's netfilter, where `{}` would translate; write \
                 service = \"socket-lb\", or pods = \"routed\"",
                self.table.pods, self.table.service
            );
            self.fault(&["service"], message);
        }
        if self.table.pods == Pods::Host && self.table.wire != Wire::Native {
            let message = format!(
                "pods = \"host\" sends from the node's own address, which `{}` never carries; write \
                 wire = \"native\", or pods = \"bridge\"",
                self.table.wire
            );
            self.fault(&["wire"], message);
        }
        if self.table.pods == Pods::Host && self.table.service == Service::TcLb {
            let message = "tc-lb translates at a pod's veth pair, and pods = \"host\" has none; write \
                           pods = \"bridge\", or service = \"socket-lb\"";
            self.fault(&["service"], message);
        }
        if self.table.pods == Pods::Host && self.table.place != Place::OtherNode {
            let message = format!(
                "pods = \"host\" has one address on each node, and {} would be its loopback device; write \
                 place = \"other-node\", or pods = \"bridge\"",
                self.table.place
            );
            self.fault(&["place"], message);
        }
        let bare = matches!(self.table.wire, Wire::Ipip | Wire::Wireguard);
        if self.table.pods.past_the_stack() && bare {
            let message = format!(
                "pods = \"{}\" hands frames to the device between the nodes, and `{}` carries packets without \
                 link-layer addresses; write wire = \"geneve\" or another, or pods = \"routed\"",
                self.table.pods, self.table.wire
            );
            self.fault(&["wire"], message);
        }
        if self.table.place != Place::OtherNode && self.table.line.is_some() {
            let message = format!(
                "a line joins two nodes, and with place = \"{}\" nothing crosses it; remove the key, or write \
                 place = \"other-node\"",
                self.table.place
            );
            self.fault(&["line"], message);
        }
        for (key, message) in self.datapath(None, Standing::default()).against_outside() {
            self.fault(&[key], message);
        }
        if self.table.outside.is_some() && self.table.line.is_some() {
            let message = "no line stands on the switch that joins a client outside to its nodes; remove the key";
            self.fault(&["line"], message);
        }
        if self.table.place == Place::Hairpin {
            self.impossible_hairpins();
        }
    }

    /// A hairpin is a pod that reaches itself through its own service: it takes a service, and no other endpoint that
    /// this could choose.
    fn impossible_hairpins(&mut self) {
        if self.table.service == Service::None {
            let message = "place = \"hairpin\" is a pod that reaches itself through its own service; write \
                           service = \"iptables-nft\" or another, or place = \"same-node\"";
            self.fault(&["place"], message);
        }
        if self.table.service == Service::TcLb {
            let message = "tc-lb doesn't masquerade a pod that reaches itself, whose replies then go astray; write \
                           service = \"iptables-nft\" or another";
            self.fault(&["service"], message);
        }
        let endpoints = self.table.services.as_ref().map(|table| table.endpoints);
        if endpoints.is_some_and(|endpoints| endpoints > 1) {
            let message = "with place = \"hairpin\" the pod is the only endpoint of its service; write endpoints = 1, \
                           or place = \"same-node\"";
            self.fault(&["services", "endpoints"], message);
        }
    }

    /// Returns the workloads of this arm in the order of the file.
    fn workloads(&mut self, file: &File, all: &[Name]) -> Vec<Name> {
        let Some(own) = &self.table.workloads else {
            self.has_ports(file, all, &[]);
            return all.to_vec();
        };
        if own.is_empty() {
            let message = "runs no workload; name one, or remove the key to run all";
            self.fault(&["workloads"], message);
        }
        let mut seen = BTreeSet::new();
        for name in own {
            let known = file.workload.contains_key(name);
            if !known && !self.document.has(&["workload", name.as_str()]) {
                let known = suggestion(name.as_str(), all.iter().map(Name::as_str));
                self.fault(
                    &["workloads"],
                    format!("no workload is named `{name}`{known}"),
                );
            }
            if !seen.insert(name) {
                self.fault(&["workloads"], format!("`{name}` is there twice"));
            }
        }
        self.has_ports(file, own, &["workloads"]);
        all.iter()
            .filter(|name| own.contains(name))
            .cloned()
            .collect()
    }

    /// Notes workloads without a port: it is all that a service's address answers on.
    fn has_ports(&mut self, file: &File, workloads: &[Name], key: &[&str]) {
        let path = self.table.cluster.as_ref().and_then(|table| table.path);
        let mend = match (self.table.service, self.table.outside) {
            (Service::None, None) if path.is_some_and(Path::is_translated) => {
                "write path = \"pod-ip\""
            }
            (Service::None, None) => return,
            (_, None) => "write service = \"none\"",
            (_, Some(_)) => "remove the key `outside`",
        };
        let portless =
            |name: &&Name| matches!(file.workload.get(*name), Some(WorkloadTable::IcmpEcho(_)));
        for name in workloads.iter().filter(portless) {
            let message = format!(
                "`{name}` is icmp-echo, which no service answers; leave it out of this arm's \
                 `workloads`, or {mend}"
            );
            self.fault(key, message);
        }
    }

    /// Returns the services of the arm, for a sweep those of each level.
    fn levels(&mut self) -> Vec<(Option<Services>, Option<SweepPoint>)> {
        if self.table.service == Service::None {
            return vec![(None, None)];
        }
        let table = self.table.services.clone().unwrap_or_default();
        if let Some(message) = range(table.endpoints, (1, 100)) {
            self.fault(&["services", "endpoints"], message);
        }
        match &table.count {
            Counts::One(count) => vec![(Some(self.services(&table, *count)), None)],
            Counts::Sweep(levels) => self.sweep(&table, levels),
        }
    }

    fn sweep(
        &mut self,
        table: &ServicesTable,
        levels: &[i64],
    ) -> Vec<(Option<Services>, Option<SweepPoint>)> {
        if levels.len() < 2 {
            let message =
                "a sweep has at least two levels; write more, or one number without brackets";
            self.fault(&["services", "count"], message);
        }
        let mut seen = BTreeSet::new();
        let mut points = Vec::new();
        for &level in levels {
            if !seen.insert(level) {
                self.fault(&["services", "count"], format!("{level} is there twice"));
                continue;
            }
            let services = self.services(table, level);
            let series = self.name.clone();
            let level = u64::from(services.count);
            points.push((Some(services), Some(SweepPoint { series, level })));
        }
        points
    }

    fn services(&mut self, table: &ServicesTable, count: i64) -> Services {
        let key = &["services", "count"];
        if let Some(message) = range(count, (1, MOST_SERVICES)) {
            self.fault(key, message);
        } else if count.saturating_mul(table.endpoints) > MOST_ENDPOINTS {
            let message = format!(
                "{count} services with {} endpoints each are more than {MOST_ENDPOINTS} endpoints; \
                 lower one of them",
                table.endpoints
            );
            self.fault(key, message);
        } else if table.access == Access::NodePort && count > i64::from(Services::MOST_NODE_PORTS) {
            let message = format!(
                "{count} services with a node port each; Kubernetes keeps 30000 to 32767 for them, room for {}",
                Services::MOST_NODE_PORTS
            );
            self.fault(key, message);
        }
        // What doesn't fit was out of range.
        let fit = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Services {
            count: fit(count),
            endpoints: fit(table.endpoints),
            position: table.position,
            affinity: table.affinity,
            access: table.access,
        }
    }
}
