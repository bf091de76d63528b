//! Generic netlink: families of messages that the kernel numbers as they come, and finds by name.

use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use super::plain::{self, Talk, attribute, find, number, request};

/// `GENL_ID_CTRL`, which knows all families.
const CONTROL: u16 = 16;
/// `CTRL_CMD_GETFAMILY`, and the version of the controller's messages.
const GET_FAMILY: [u8; 4] = [3, 1, 0, 0];
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// A conversation with one family, in the network namespace of the calling thread.
#[derive(Debug)]
pub(crate) struct Generic {
    talk: Talk,
    family: Family,
}

/// The number that the kernel has given a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Family(pub(crate) u16);

impl Generic {
    /// Looks for a family; the kernel loads its module where it may.
    pub(crate) fn open(name: &str) -> Result<Self, Errno> {
        let talk = Talk::open(SockProtocol::NetlinkGeneric)?;
        let mut wanted = Vec::new();
        attribute(&mut wanted, FAMILY_NAME, &[name.as_bytes(), &[0]].concat());
        let answer = talk.ask(&request(CONTROL, 0, GET_FAMILY, &wanted))?;
        let attributes = plain::read(&answer)?.attributes;
        let id = find(attributes, FAMILY_ID).and_then(|id| number(id, 0));
        let family = id.map(u16::from_ne_bytes).ok_or(Errno::EBADMSG)?;
        Ok(Self {
            talk,
            family: Family(family),
        })
    }

    pub(crate) const fn family(&self) -> Family {
        self.family
    }

    /// Sends requests of the family: see [`Talk::ask`].
    pub(crate) fn ask(&self, requests: &[u8]) -> Result<Vec<u8>, Errno> {
        self.talk.ask(requests)
    }
}

impl Family {
    /// Writes a request: a command of this version of the family's messages, flags and attributes.
    pub(crate) fn request(
        self,
        (command, version): (u8, u8),
        flags: u16,
        attributes: &[u8],
    ) -> Vec<u8> {
        request(self.0, flags, [command, version, 0, 0], attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_found_by_name() {
        let Ok(controller) = Generic::open("nlctrl") else {
            return eprintln!("SKIPPED, NOTHING WAS TESTED: no generic netlink");
        };
        assert_eq!(controller.family(), Family(CONTROL));
        let error = Generic::open("nosuchfamily").unwrap_err();
        assert_eq!(error, Errno::ENOENT);
    }
}
