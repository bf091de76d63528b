//! eBPF programs at a node's devices, as plain data: which stand where, and what their maps hold.

use std::net::IpAddr;

use tollgate_results::evidence;

use super::Mac;

/// The programs of one node and what they know; without any program, nothing.
#[derive(Debug, Default)]
pub(crate) struct FastPath {
    /// Programs, each with the device that it is attached to.
    pub(crate) programs: Vec<(ProgramName, u32)>,
    /// The node's own pods.
    pub(crate) pods: Vec<LocalPod>,
    /// The ways to other nodes' pods.
    pub(crate) routes: Vec<FarPods>,
    /// Whether the pods have netkit pairs, at which the programs see packets that leave them; else veth pairs.
    pub(crate) netkit: bool,
}

/// A program of `bpf/pods.c`, which says what each does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProgramName {
    FromPod,
    FromPodToTunnel,
    FromWire,
    ToTunnel,
}

impl ProgramName {
    /// Every program in the order of its counters in C.
    pub(crate) const ALL: [Self; 4] = [
        Self::FromPod,
        Self::FromPodToTunnel,
        Self::FromWire,
        Self::ToTunnel,
    ];

    /// Returns whether it sees what leaves a pod.
    pub(crate) const fn leaves_pod(self) -> bool {
        matches!(self, Self::FromPod | Self::FromPodToTunnel)
    }

    /// Returns the function's name in C.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FromPod => evidence::FROM_POD[0],
            Self::FromPodToTunnel => evidence::FROM_POD[1],
            Self::FromWire => evidence::FROM_WIRE,
            Self::ToTunnel => evidence::TO_TUNNEL,
        }
    }
}

/// A pod of the node.
#[derive(Debug)]
pub(crate) struct LocalPod {
    pub(crate) address: IpAddr,
    /// The node's end of its pair.
    pub(crate) device: u32,
    /// The pod's end.
    pub(crate) mac: Mac,
    /// What the pod knows the node by; nothing where the pair is a netkit one, as the end above.
    pub(crate) gateway: Mac,
}

/// The way to the pods of another node.
#[derive(Debug)]
pub(crate) struct FarPods {
    pub(crate) to: (IpAddr, u8),
    pub(crate) device: u32,
    /// The tunnel's identifier; 0 where there is none.
    pub(crate) tunnel: u32,
    /// The next hop, or the tunnel's far end.
    pub(crate) via: IpAddr,
}
