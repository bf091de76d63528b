//! The generation of a namespace's `nf_tables` rules: a number that the kernel raises at each change, whoever makes it.

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::error::{Doing as _, LabError};
use crate::netlink::plain::{self, Talk};

/// `NFNL_SUBSYS_NFTABLES` in the upper byte of a message's type.
const NFTABLES: u16 = 10 << 8;
/// `NFT_MSG_NEWGEN`: how the generation is answered.
const NEW: u16 = NFTABLES | 15;
/// `NFT_MSG_GETGEN`.
const GET: u16 = NFTABLES | 16;
/// `NFTA_GEN_ID`.
const ID: u16 = 1;

/// Returns the generation of the rules of the namespace that the caller is in.
///
/// # Errors
/// The kernel has no `nf_tables`, or the caller lacks `CAP_NET_ADMIN`.
pub(crate) fn generation() -> Result<u64, LabError> {
    let ask = || {
        let talk = Talk::open(SockProtocol::NetlinkNetFilter)?;
        let answer = talk.ask(&plain::request(GET, 0, [0; 4], &[]))?;
        let answer = plain::read(&answer)?;
        let id = plain::find(answer.attributes, ID).filter(|_| answer.kind == NEW);
        let id = id.and_then(|id| plain::number::<4>(id, 0));
        id.map(u32::from_be_bytes).ok_or(Errno::EBADMSG)
    };
    ask()
        .map(u64::from)
        .doing(|| "read the generation of the nf_tables rules")
}

#[cfg(test)]
mod tests {
    use tollgate_results::arm::Family;

    use super::*;
    use crate::{rules, testing};

    #[test]
    fn each_change_of_the_rules_shows_and_traffic_does_not() {
        let test = "rules::generation::tests::each_change_of_the_rules_shows_and_traffic_does_not";
        testing::in_namespace(test, Family::Ipv4, || {
            let servers = testing::servers(Family::Ipv4, 1);
            testing::echo(servers[0]);
            rules::load_nftables(
                "add table ip x\n\
                 add set ip x seen { type ipv4_addr ; flags dynamic,timeout ; timeout 1s ; }\n\
                 add chain ip x y { type filter hook output priority 0 ; }\n\
                 add rule ip x y update @seen { ip saddr }\n",
            )
            .unwrap();
            let before = generation().unwrap();
            testing::ask_tcp(testing::client(Family::Ipv4), servers[0]);
            assert_eq!(
                generation().unwrap(),
                before,
                "sets that packets fill are no rules"
            );
            rules::load_nftables("flush ruleset\n").unwrap();
            assert!(generation().unwrap() > before);
        });
    }
}
