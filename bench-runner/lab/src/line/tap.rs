//! The TAP devices at the ends of a line: what a namespace sends over one, the holder reads, and the other way round.
#![expect(unsafe_code, reason = "a TAP device is made by calls on a descriptor")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;

use crate::error::{Doing as _, LabError};
use crate::netns::NetNs;
use crate::topology::Port;

/// Where TAP devices come from.
const FACTORY: &str = "/dev/net/tun";

// From `linux/if_tun.h`.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNSETIFINDEX: libc::Ioctl = 0x4004_54da;
const IFF_TAP: libc::c_short = 0x0002;
/// Packets without a header of the driver's.
const IFF_NO_PI: libc::c_short = 0x1000;

/// Makes a device in a namespace, with the index that `port` asks for and still down. It goes with the descriptor.
pub(crate) fn open(netns: &NetNs, port: Port) -> Result<OwnedFd, LabError> {
    netns.enter(|| make(port).doing(|| format!("make the line's device `{}`", port.name)))
}

/// Says why there can be no line here, trying in a namespace; `None` where there can.
pub(crate) fn available(netns: &NetNs, port: Port) -> Option<String> {
    let error = open(netns, port).err()?;
    Some(format!(
        "no TAP devices for a line ({}): run `modprobe tun` as root, or give this container `{FACTORY}`",
        error.cause()
    ))
}

/// Makes a device in the caller's namespace.
fn make(port: Port) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(FACTORY)?;
    let mut name = [0; libc::IFNAMSIZ];
    for (to, from) in name
        .iter_mut()
        .zip(port.name.bytes().take(libc::IFNAMSIZ - 1))
    {
        *to = libc::c_char::from_ne_bytes([from]);
    }
    let request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: IFF_TAP | IFF_NO_PI,
        },
    };
    let index: libc::c_uint = port.index;
    // SAFETY: the call reads an unsigned integer, which lives until it returns.
    done(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFINDEX, &raw const index) })?;
    // SAFETY: the call reads and writes an interface request, which lives until it returns.
    done(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw const request) })?;
    Ok(file.into())
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
