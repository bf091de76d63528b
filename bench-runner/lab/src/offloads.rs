//! Segmentation and receive offloads of a device, over the kernel's ethtool call.

use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use crate::error::{Doing as _, LabError};

/// Length of a feature's name in the kernel's table.
const NAME_LENGTH: usize = 32;
/// Most features that a kernel is believed to have.
const MAX_FEATURES: usize = 256;

// Commands and the string set of feature names, from `linux/ethtool.h`.
const ETHTOOL_GSTRINGS: u32 = 0x1b;
const ETHTOOL_GSSET_INFO: u32 = 0x37;
const ETHTOOL_GFEATURES: u32 = 0x3a;
const ETHTOOL_SFEATURES: u32 = 0x3b;
const ETH_SS_FEATURES: u32 = 4;

/// Switches every segmentation and receive offload of these devices of the caller's namespace off, and
/// reads them back. Returns a line for each that the kernel keeps on.
pub(crate) fn switch_off(devices: &[String]) -> Result<Vec<String>, LabError> {
    let mut notes = Vec::new();
    for device in devices {
        let kept = Device::open(device)
            .and_then(|device| device.switch_off())
            .doing(|| format!("switch the offloads of `{device}` off"))?;
        if !kept.is_empty() {
            notes.push(format!("`{device}` keeps {} on", kept.join(", ")));
        }
    }
    Ok(notes)
}

/// Returns the segmentation and receive offloads of a device of the caller's namespace that are on, by the kernel's names.
pub(crate) fn active(device: &str) -> io::Result<Vec<String>> {
    let device = Device::open(device)?;
    let names = device.feature_names()?;
    let features = device.features(names.len())?;
    let places = on(&names, &features).into_iter();
    Ok(places.map(|index| names[index].clone()).collect())
}

/// Returns the places of the offloads that are on.
fn on(names: &[String], features: &[Block]) -> Vec<usize> {
    let is_on = |&index: &usize| {
        let active = features.get(index / 32).map_or(0, |block| block.active);
        active & (1 << (index % 32)) != 0 && is_offload(&names[index])
    };
    (0..names.len()).filter(is_on).collect()
}

/// Says whether a feature makes or takes packets larger than the MTU.
fn is_offload(name: &str) -> bool {
    name.contains("segmentation")
        || name.starts_with("tx-gso")
        || name.starts_with("rx-gro")
        || ["large-receive-offload", "rx-lro", "rx-udp-gro-forwarding"].contains(&name)
}

struct Device {
    socket: OwnedFd,
    name: [libc::c_char; libc::IFNAMSIZ],
}

/// What the kernel says of 32 features.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    available: u32,
    active: u32,
    never_changed: u32,
}

impl Device {
    fn open(device: &str) -> io::Result<Self> {
        let mut name = [0; libc::IFNAMSIZ];
        if device.len() >= name.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in name.iter_mut().zip(device.bytes()) {
            *to = libc::c_char::from_ne_bytes([from]);
        }
        let kind = SockType::Datagram;
        let socket = socket(AddressFamily::Inet, kind, SockFlag::SOCK_CLOEXEC, None)?;
        Ok(Self { socket, name })
    }

    /// Returns the names of the offloads that are still on.
    fn switch_off(&self) -> io::Result<Vec<String>> {
        let names = self.feature_names()?;
        let features = self.features(names.len())?;
        let mut valid = vec![0; features.len()];
        for index in on(&names, &features) {
            let block = &features[index / 32];
            let bit = 1 << (index % 32);
            if block.available & bit != 0 && block.never_changed & bit == 0 {
                valid[index / 32] |= bit;
            }
        }
        self.clear_features(&valid)?;
        let left = on(&names, &self.features(names.len())?);
        Ok(left.into_iter().map(|index| names[index].clone()).collect())
    }

    fn feature_names(&self) -> io::Result<Vec<String>> {
        // struct ethtool_sset_info: cmd, reserved, sset_mask (64 bits), one length.
        let mut info = [ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0, 0];
        self.call(&mut info)?;
        let count = usize::try_from(info[4]).unwrap_or(usize::MAX);
        if count > MAX_FEATURES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // struct ethtool_gstrings: cmd, string_set, len, names of 32 bytes each.
        let mut strings = vec![0_u32; 3 + count * NAME_LENGTH / 4];
        strings[0] = ETHTOOL_GSTRINGS;
        strings[1] = ETH_SS_FEATURES;
        strings[2] = info[4];
        self.call(&mut strings)?;
        let bytes: Vec<u8> = strings[3..]
            .iter()
            .flat_map(|word| word.to_ne_bytes())
            .collect();
        let name = |raw: &[u8]| {
            let end = raw.iter().position(|&byte| byte == 0).unwrap_or(raw.len());
            String::from_utf8_lossy(&raw[..end]).into_owned()
        };
        Ok(bytes.chunks(NAME_LENGTH).map(name).collect())
    }

    fn features(&self, count: usize) -> io::Result<Vec<Block>> {
        let blocks = count.div_ceil(32);
        // struct ethtool_gfeatures: cmd, size, blocks of four words.
        let mut words = vec![0_u32; 2 + blocks * 4];
        words[0] = ETHTOOL_GFEATURES;
        words[1] = u32::try_from(blocks).unwrap_or(0);
        self.call(&mut words)?;
        let block = |words: &[u32]| Block {
            available: words[0],
            active: words[2],
            never_changed: words[3],
        };
        Ok(words[2..].chunks_exact(4).map(block).collect())
    }

    fn clear_features(&self, valid: &[u32]) -> io::Result<()> {
        // struct ethtool_sfeatures: cmd, size, blocks of {valid, requested}.
        let mut words = vec![ETHTOOL_SFEATURES, u32::try_from(valid.len()).unwrap_or(0)];
        words.extend(valid.iter().flat_map(|&mask| [mask, 0]));
        self.call(&mut words)
    }

    #[expect(
        unsafe_code,
        reason = "ethtool's call takes a pointer within a structure"
    )]
    fn call(&self, words: &mut [u32]) -> io::Result<()> {
        let mut request = libc::ifreq {
            ifr_name: self.name,
            ifr_ifru: libc::__c_anonymous_ifr_ifru {
                ifru_data: words.as_mut_ptr().cast(),
            },
        };
        // SAFETY: `words` starts with the command and holds as many words as the command's own length field
        // makes the kernel write; it lives until the call returns.
        let result =
            unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offloads_are_known_by_name() {
        for name in [
            "tx-tcp-segmentation",
            "tx-generic-segmentation",
            "rx-gro",
            "tx-gso-list",
        ] {
            assert!(is_offload(name), "{name}");
        }
        for name in [
            "tx-checksum-ip-generic",
            "rx-vlan-filter",
            "tx-scatter-gather",
        ] {
            assert!(!is_offload(name), "{name}");
        }
    }
}
