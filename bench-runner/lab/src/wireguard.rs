//! Keys and peers of WireGuard devices, over the kernel's generic netlink family of that name.
//!
//! The kernel itself turns a private key into the public one, so that no cryptography is needed here.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read as _};

use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_packet_wireguard::{
    WireguardAddressFamily, WireguardAllowedIp, WireguardAllowedIpAttr, WireguardAttribute,
    WireguardCmd, WireguardMessage, WireguardPeer as Peer, WireguardPeerAttribute,
};
use rtnetlink::packet_core::{
    Emitable, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload,
    ParseableParametrized,
};
use rtnetlink::sys::protocols::NETLINK_GENERIC;
use rtnetlink::sys::{Socket, SocketAddr};

use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;
use crate::topology::WireguardPeer;

/// Length of the longest answer: that to a look-up of a family, about a kilobyte.
const ANSWER_BYTES: usize = 16 << 10;

/// Gives the WireGuard devices of two nodes a key each, and makes each other's peer.
pub(crate) fn join(nodes: [(&NetNs, &WireguardPeer); 2]) -> Result<(), LabError> {
    let mut keys = Vec::new();
    for (netns, peer) in nodes {
        keys.push(netns.enter(|| give_key(peer.device))?);
    }
    for ((netns, peer), other) in nodes.into_iter().zip(keys.into_iter().rev()) {
        netns.enter(|| {
            Generic::open()
                .and_then(|generic| generic.set(peer.device, vec![of_peer(peer, other)]))
                .doing(|| "tell a WireGuard device of its peer")
        })?;
    }
    Ok(())
}

/// Gives a device of the caller's namespace a new private key and the port that both nodes use, and returns the public
/// key.
pub(crate) fn give_key(device: u32) -> Result<[u8; 32], LabError> {
    let give = || {
        let mut key = [0; 32];
        File::open("/dev/urandom")?.read_exact(&mut key)?;
        let generic = Generic::open()?;
        let port = crate::topology::WIREGUARD_PORT;
        let attributes = vec![
            WireguardAttribute::PrivateKey(key),
            WireguardAttribute::ListenPort(port),
        ];
        generic.set(device, attributes)?;
        generic.public_key(device)
    };
    give().doing(|| "give a WireGuard device its key")
}

fn of_peer(peer: &WireguardPeer, key: [u8; 32]) -> WireguardAttribute {
    let (address, prefix) = peer.allowed;
    let family = if address.is_ipv4() {
        WireguardAddressFamily::Ipv4
    } else {
        WireguardAddressFamily::Ipv6
    };
    let allowed = WireguardAllowedIp(vec![
        WireguardAllowedIpAttr::Family(family),
        WireguardAllowedIpAttr::IpAddr(address),
        WireguardAllowedIpAttr::Cidr(prefix),
    ]);
    WireguardAttribute::Peers(vec![Peer(vec![
        WireguardPeerAttribute::PublicKey(key),
        WireguardPeerAttribute::Endpoint(peer.endpoint),
        WireguardPeerAttribute::AllowedIps(vec![allowed]),
    ])])
}

/// A generic netlink socket in the caller's namespace.
struct Generic {
    socket: Socket,
    /// The number that this kernel has given WireGuard's family.
    family: u16,
}

impl Generic {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_GENERIC)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let mut generic = Self { socket, family: 0 };
        let wanted = GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(
                WireguardMessage::family_name().to_owned(),
            )],
        };
        let found = generic.ask(wanted, NLM_F_ACK)?;
        let number = found
            .iter()
            .flat_map(|answer| &answer.nlas)
            .find_map(|nla| {
                let GenlCtrlAttrs::FamilyId(number) = nla else {
                    return None;
                };
                Some(*number)
            });
        generic.family = number.ok_or(io::ErrorKind::NotFound)?;
        Ok(generic)
    }

    fn set(&self, device: u32, mut attributes: Vec<WireguardAttribute>) -> io::Result<()> {
        attributes.insert(0, WireguardAttribute::IfIndex(device));
        let message = WireguardMessage {
            cmd: WireguardCmd::SetDevice,
            attributes,
        };
        self.ask(message, NLM_F_ACK).map(drop)
    }

    fn public_key(&self, device: u32) -> io::Result<[u8; 32]> {
        let message = WireguardMessage {
            cmd: WireguardCmd::GetDevice,
            attributes: vec![WireguardAttribute::IfIndex(device)],
        };
        let answers = self.ask(message, NLM_F_DUMP)?;
        let mut attributes = answers.iter().flat_map(|answer| &answer.attributes);
        let key = attributes.find_map(|attribute| match attribute {
            WireguardAttribute::PublicKey(key) => Some(*key),
            _ => None,
        });
        key.ok_or_else(|| io::Error::other("the kernel shows no public key"))
    }

    /// Sends a request and returns all that is answered until the kernel says that this was all.
    fn ask<F>(&self, payload: F, flags: u16) -> io::Result<Vec<F>>
    where
        F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Clone + Debug,
    {
        let mut inner = GenlMessage::from_payload(payload);
        inner.set_resolved_family_id(self.family);
        let mut message = NetlinkMessage::from(inner);
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        let mut request = vec![0; message.buffer_len()];
        message.serialize(&mut request);
        self.socket.send(&request, 0)?;
        let mut answers = Vec::new();
        loop {
            let mut buffer = Vec::with_capacity(ANSWER_BYTES);
            self.socket.recv(&mut buffer, 0)?;
            if read(&buffer, &mut answers)? {
                return Ok(answers);
            }
        }
    }
}

/// Reads the messages of one answer; returns whether they end it.
fn read<F>(mut rest: &[u8], answers: &mut Vec<F>) -> io::Result<bool>
where
    F: GenlFamily + Emitable + ParseableParametrized<[u8], GenlHeader> + Clone + Debug,
{
    while !rest.is_empty() {
        let message =
            NetlinkMessage::<GenlMessage<F>>::deserialize(rest).map_err(io::Error::other)?;
        match message.payload {
            NetlinkPayload::Done(_) => return Ok(true),
            NetlinkPayload::Error(error) if error.code.is_none() => return Ok(true),
            NetlinkPayload::Error(error) => return Err(error.to_io()),
            NetlinkPayload::InnerMessage(inner) => answers.push(inner.payload),
            _ => {}
        }
        // Messages begin at multiples of four bytes.
        let length = usize::try_from(message.header.length).unwrap_or(usize::MAX);
        let next = length.next_multiple_of(4).max(4);
        rest = rest.get(next..).unwrap_or_default();
    }
    Ok(false)
}
