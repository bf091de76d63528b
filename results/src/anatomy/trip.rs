//! What the packet clock saw of single packets, as its programs write it.

use serde::{Deserialize, Serialize};

use super::{Point, Way};

/// Length of a record's head, in bytes: the way and the number of events, 32 bits each.
const HEAD: usize = 8;
/// Length of an event, in bytes: a stamp of 64 bits, the device and the point in 32, the namespace in 32.
const EVENT: usize = 16;
/// Most events of a trip, as in `anatomy.c`.
const MOST_EVENTS: usize = 64;
/// Bits of the device's index; the point lies above.
const DEVICE_BITS: u32 = 24;

/// One packet at one point of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// When, by `CLOCK_MONOTONIC`, in nanoseconds.
    pub at_ns: u64,
    /// Where in the kernel.
    pub point: Point,
    /// Index of the device, unique in its namespace; 0 at a socket.
    pub device: u32,
    /// Inode number of the network namespace.
    pub namespace: u32,
}

/// One packet from the first device that it was handed to, to the receiver's socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trip {
    /// Which packet of the exchange.
    pub way: Way,
    /// In order; at least one.
    pub events: Vec<Event>,
}

/// One of an arm's namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// Inode number of the network namespace.
    pub namespace: u32,
    /// What people call it: `client pod`, `node A`.
    pub place: String,
    /// Whether it belongs to a node, which forwards, and not to a pod.
    pub is_node: bool,
    /// Its devices.
    pub devices: Vec<SiteDevice>,
}

/// One device of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteDevice {
    /// Its index.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What the kernel says it is (`veth`, `bridge`, `vxlan`).
    pub kind: String,
    /// eBPF programs at it, in the order in which they run.
    #[serde(default)]
    pub programs: Vec<SiteProgram>,
}

/// An eBPF program at a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteProgram {
    /// Its function's name.
    pub name: String,
    /// Whether it sees what the device sends; else what it takes in.
    pub sends: bool,
    /// Whether it sends what it is for on by itself, past the stack of its namespace.
    pub redirects: bool,
}

/// Records of the clock that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read the packet clock's record at byte {at}: {why}")]
pub struct TripError {
    at: usize,
    why: &'static str,
}

/// Reads the clock's records, which lie back to back.
///
/// # Errors
///
/// When they break off, or hold what no clock writes.
pub fn decode(bytes: &[u8]) -> Result<Vec<Trip>, TripError> {
    let mut trips = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let fault = |why| TripError { at, why };
        let head = bytes.get(at..at + HEAD);
        let head = head.ok_or_else(|| fault("it breaks off in a head"))?;
        let way = match word(head, 0) {
            0 => Way::Request,
            1 => Way::Reply,
            _ => return Err(fault("there is no such way")),
        };
        let count = usize::try_from(word(head, 4)).unwrap_or(usize::MAX);
        if !(1..=MOST_EVENTS).contains(&count) {
            return Err(fault("a trip has 1 to 64 events"));
        }
        let end = at + HEAD + count * EVENT;
        let events = bytes.get(at + HEAD..end);
        let events = events.ok_or_else(|| fault("it breaks off in a trip"))?;
        let events: Option<Vec<Event>> = events.chunks_exact(EVENT).map(event).collect();
        let events = events.ok_or_else(|| fault("there is no such point"))?;
        if !events.is_sorted_by_key(|event| event.at_ns) {
            return Err(fault("its events are not in order"));
        }
        trips.push(Trip { way, events });
        at = end;
    }
    Ok(trips)
}

fn event(bytes: &[u8]) -> Option<Event> {
    let place = word(bytes, 8);
    Some(Event {
        at_ns: u64::from(word(bytes, 0)) | u64::from(word(bytes, 4)) << 32,
        point: Point::numbered(u8::try_from(place >> DEVICE_BITS).ok()?)?,
        device: place & ((1 << DEVICE_BITS) - 1),
        namespace: word(bytes, 12),
    })
}

/// Reads 32 bits in the order of a little-endian machine: only those are built for.
fn word(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..at + 4).and_then(|four| four.first_chunk());
    four.map_or(0, |four| u32::from_le_bytes(*four))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encode(trip: &Trip, codes: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u32::from(trip.way == Way::Reply).to_le_bytes());
        bytes.extend(u32::try_from(trip.events.len()).unwrap().to_le_bytes());
        for (event, code) in trip.events.iter().zip(codes) {
            bytes.extend(event.at_ns.to_le_bytes());
            bytes.extend((event.device | u32::from(*code) << 24).to_le_bytes());
            bytes.extend(event.namespace.to_le_bytes());
        }
        bytes
    }

    fn trip() -> Trip {
        let event = |at_ns, point, device| Event {
            at_ns,
            point,
            device,
            namespace: 4_026_532_000,
        };
        Trip {
            way: Way::Reply,
            events: vec![
                event(u64::from(u32::MAX) + 7, Point::Queue, 42),
                event(u64::from(u32::MAX) + 9, Point::DataReady, 0),
            ],
        }
    }

    #[test]
    fn trips_are_read_as_they_were_written() {
        let one = encode(&trip(), &[1, 5]);
        let two = [one.clone(), one.clone()].concat();
        assert_eq!(decode(&two), Ok(vec![trip(), trip()]));
        assert_eq!(decode(&[]), Ok(Vec::new()));
    }

    #[test]
    fn damage_is_told() {
        let good = encode(&trip(), &[1, 5]);
        for (bytes, why) in [
            (good[..5].to_vec(), "in a head"),
            (good[..good.len() - 1].to_vec(), "in a trip"),
            (encode(&trip(), &[1, 99]), "no such point"),
            ([vec![2], good[1..].to_vec()].concat(), "no such way"),
            ([good[..4].to_vec(), vec![0; 4]].concat(), "1 to 64 events"),
        ] {
            let said = decode(&bytes).unwrap_err().to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(trips) = decode(&bytes) {
                prop_assert!(trips.iter().all(|trip| !trip.events.is_empty()));
            }
        }
    }
}
