//! Packets under way in one direction, first in, first out, in memory that is taken once.

use std::collections::VecDeque;

/// Shortest packet that room is made for: an ARP message. With shorter ones fewer bytes would be held.
const SHORTEST: usize = 42;

/// A queue of packets with the time at which each leaves.
#[derive(Debug)]
pub(super) struct Held {
    bytes: Box<[u8]>,
    packets: VecDeque<Packet>,
    most: usize,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    due_ns: u64,
    start: usize,
    length: usize,
}

impl Held {
    /// Takes memory for so many bytes of packets.
    pub(super) fn new(bytes: usize) -> Self {
        let most = bytes / SHORTEST + 1;
        Self {
            bytes: vec![0; bytes].into_boxed_slice(),
            packets: VecDeque::with_capacity(most),
            most,
        }
    }

    /// Keeps a packet; says no where there is no room.
    pub(super) fn put(&mut self, due_ns: u64, packet: &[u8]) -> bool {
        let length = packet.len();
        let Some(start) = self.room(length).filter(|_| self.packets.len() < self.most) else {
            return false;
        };
        self.bytes[start..start + length].copy_from_slice(packet);
        self.packets.push_back(Packet {
            due_ns,
            start,
            length,
        });
        true
    }

    /// Finds a place in one piece: packets lie one behind the other and start again at the front.
    fn room(&self, length: usize) -> Option<usize> {
        let (Some(first), Some(last)) = (self.packets.front(), self.packets.back()) else {
            return (length <= self.bytes.len()).then_some(0);
        };
        let (head, tail) = (first.start, last.start + last.length);
        if last.start < head {
            return (head - tail >= length).then_some(tail);
        }
        if self.bytes.len() - tail >= length {
            return Some(tail);
        }
        (head >= length).then_some(0)
    }

    /// Returns when the first packet leaves.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.packets.front().map(|packet| packet.due_ns)
    }

    /// Returns the first packet.
    pub(super) fn first(&self) -> Option<&[u8]> {
        let packet = self.packets.front()?;
        Some(&self.bytes[packet.start..packet.start + packet.length])
    }

    /// Forgets the first packet.
    pub(super) fn drop_first(&mut self) {
        self.packets.pop_front();
    }

    /// Returns how many packets are held.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.packets.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever comes and goes, packets come out whole and in order, and no memory is added.
        #[test]
        fn packets_come_out_as_they_went_in(
            steps in prop::collection::vec((1_usize..300, any::<bool>()), 1..400),
        ) {
            let mut held = Held::new(1_000);
            let capacity = held.packets.capacity();
            let mut model: VecDeque<Vec<u8>> = VecDeque::new();
            for (number, (length, takes)) in steps.into_iter().enumerate() {
                let packet = vec![u8::try_from(number % 251).unwrap(); length];
                if held.put(number as u64, &packet) {
                    model.push_back(packet);
                } else {
                    prop_assert!(!model.is_empty(), "an empty queue has room");
                }
                if takes {
                    let expected = model.pop_front();
                    prop_assert_eq!(held.first(), expected.as_deref());
                    held.drop_first();
                }
                prop_assert!(model.iter().map(Vec::len).sum::<usize>() <= 1_000);
            }
            while let Some(packet) = model.pop_front() {
                prop_assert_eq!(held.first(), Some(packet.as_slice()));
                held.drop_first();
            }
            prop_assert_eq!(held.count(), 0);
            prop_assert_eq!(held.packets.capacity(), capacity);
        }
    }
}
