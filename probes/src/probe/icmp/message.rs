//! Echo requests and replies.

use pnet_packet::icmp::echo_reply::EchoReplyPacket;
use pnet_packet::icmp::echo_request::MutableEchoRequestPacket;
use pnet_packet::icmp::{IcmpCode, IcmpType, IcmpTypes};
use pnet_packet::icmpv6::Icmpv6Types;
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::util::checksum;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tollgate_results::outcome::Failure;

use super::Form;
use crate::probe::open::talk::{Heard, Talk};

/// Length of an ICMP header with identifier and sequence number, in bytes.
pub(crate) const HEADER_LEN: usize = 8;

/// Length of the probe's own mark after it: token and number, in bytes.
pub(crate) const MARK_LEN: usize = 16;

/// Where what is the same in all messages of a job begins.
const SAME_FROM: usize = HEADER_LEN + MARK_LEN;

/// Word of the ICMP header that is the checksum, which its own sum leaves out.
const CHECKSUM_WORD: usize = 1;

/// Echo requests of one size, and their replies.
#[derive(Debug)]
pub(crate) struct Echoes {
    form: Form,
    frame: Vec<u8>,
    /// The sum of what is the same in all messages, where the probe makes the checksum.
    same_sum: u32,
}

impl Echoes {
    /// Prepares requests of `payload` bytes after the ICMP header, at least [`MARK_LEN`], their content and the
    /// job's token drawn from `seed`.
    ///
    /// # Panics
    ///
    /// When the payload is shorter.
    pub(crate) fn new(form: Form, payload: usize, seed: u64) -> Self {
        assert!(payload >= MARK_LEN, "`check` asks for room for the mark");
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut frame = vec![0; HEADER_LEN + payload];
        random.fill_bytes(&mut frame[HEADER_LEN..]);
        let mut packet = MutableEchoRequestPacket::new(&mut frame).expect("it has room");
        // Both families have the same layout; only the type's number differs.
        packet.set_icmp_type(request_type(form.is_ipv6));
        packet.set_icmp_code(IcmpCode(0));
        // The socket's identifier is put in as it is sent.
        packet.set_identifier(0);
        let same_sum = sum(&frame[SAME_FROM..]);
        Self {
            form,
            frame,
            same_sum,
        }
    }

    /// Returns the checksum of an IPv4 message that ends as this job's do.
    fn checksum_of(&self, message: &[u8]) -> u16 {
        let head = !checksum(&message[..SAME_FROM], CHECKSUM_WORD);
        let all = u32::from(head) + self.same_sum;
        // Two sums of 16 bits carry at most once more.
        let [_, carry, high, low] = all.to_be_bytes();
        let folded = u32::from(u16::from_be_bytes([high, low])) + u32::from(carry);
        let [.., high, low] = folded.to_be_bytes();
        !u16::from_be_bytes([high, low])
    }

    /// Returns whether the probe makes and checks the checksum; otherwise the kernel did.
    const fn sums(&self) -> bool {
        self.form.is_raw && !self.form.is_ipv6
    }

    /// Returns the ICMP message in what was received.
    fn unwrap<'a>(&self, received: &'a [u8]) -> Option<&'a [u8]> {
        if !self.sums() {
            return Some(received);
        }
        let packet = Ipv4Packet::new(received)?;
        let header = usize::from(packet.get_header_length()) * 4;
        let is_icmp = packet.get_next_level_protocol() == IpNextHeaderProtocols::Icmp;
        received
            .get(header..)
            .filter(|_| is_icmp && header >= Ipv4Packet::minimum_packet_size())
    }

    /// Returns the number of the request that a message answers, if it answers one of this job's.
    fn read(&self, received: &[u8]) -> Option<u64> {
        let message = self.unwrap(received)?;
        let reply = EchoReplyPacket::new(message)?;
        let own = message.len() == self.frame.len()
            && reply.get_icmp_type() == reply_type(self.form.is_ipv6)
            && reply.get_icmp_code() == IcmpCode(0);
        if !own || message[SAME_FROM..] != self.frame[SAME_FROM..] {
            return None;
        }
        let (token, number) = message[HEADER_LEN..SAME_FROM].split_first_chunk::<8>()?;
        if token != &self.frame[HEADER_LEN..][..8] {
            return None;
        }
        if self.sums() && reply.get_checksum() != self.checksum_of(message) {
            return None;
        }
        let number = u64::from_be_bytes(*number.first_chunk()?);
        (reply.get_sequence_number() == low_word(number)).then_some(number)
    }
}

impl Talk for Echoes {
    type Ear = ();

    const DATAGRAMS: bool = true;

    fn ear(&self) {}

    #[inline]
    fn ask(&mut self, sequence: u64, _first: bool) -> &[u8] {
        self.frame[HEADER_LEN + 8..SAME_FROM].copy_from_slice(&sequence.to_be_bytes());
        let mut packet = MutableEchoRequestPacket::new(&mut self.frame).expect("it has room");
        packet.set_sequence_number(low_word(sequence));
        if self.sums() {
            let sum = self.checksum_of(&self.frame);
            let mut packet = MutableEchoRequestPacket::new(&mut self.frame).expect("it has room");
            packet.set_checksum(sum);
        }
        &self.frame
    }

    #[inline]
    fn hear(&self, _ear: &mut (), _oldest: u64, bytes: &[u8]) -> Result<(usize, Heard), Failure> {
        let heard = self.read(bytes).map_or(Heard::Stray, Heard::Reply);
        Ok((bytes.len(), heard))
    }

    fn reply(&self) -> u64 {
        (self.frame.len() - HEADER_LEN) as u64
    }
}

/// Returns the type of a request.
pub(super) const fn request_type(is_ipv6: bool) -> IcmpType {
    if is_ipv6 {
        IcmpType(Icmpv6Types::EchoRequest.0)
    } else {
        IcmpTypes::EchoRequest
    }
}

/// Returns the type of a reply.
pub(super) const fn reply_type(is_ipv6: bool) -> IcmpType {
    if is_ipv6 {
        IcmpType(Icmpv6Types::EchoReply.0)
    } else {
        IcmpTypes::EchoReply
    }
}

/// Returns what a sequence number has room for.
const fn low_word(sequence: u64) -> u16 {
    let [.., high, low] = sequence.to_be_bytes();
    u16::from_be_bytes([high, low])
}

/// Puts an identifier into a header that has none, and its share into the checksum (RFC 1624).
pub(super) fn identify(header: &mut [u8; HEADER_LEN], id: u16) {
    let old = u16::from_be_bytes([header[2], header[3]]);
    let (sum, carries) = (!old).overflowing_add(id);
    let new = !(sum + u16::from(carries));
    header[2..4].copy_from_slice(&new.to_be_bytes());
    header[4..6].copy_from_slice(&id.to_be_bytes());
}

/// Sums bytes as an Internet checksum does.
fn sum(bytes: &[u8]) -> u32 {
    // No word is left out: there is none with this number.
    u32::from(!checksum(bytes, usize::MAX))
}

/// Hears bytes as a socket of this form would, and the reply to a request, changed by them bit by bit.
#[cfg(any(test, fuzzing))]
pub(crate) fn hear_anything(form: Form, bytes: &[u8]) {
    let mut echoes = Echoes::new(form, MARK_LEN, 1);
    let mut reply = echoes.ask(1, false).to_vec();
    reply[0] = reply_type(form.is_ipv6).0;
    if echoes.sums() {
        let sum = echoes.checksum_of(&reply);
        reply[2..4].copy_from_slice(&sum.to_be_bytes());
        let start = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1];
        reply = [&start[..], &[0; 10], &reply].concat();
    }
    let heard = |bytes: &[u8]| echoes.hear(&mut (), 1, bytes).map(|(_, heard)| heard);
    assert_eq!(heard(&reply), Ok(Heard::Reply(1)));
    for (byte, change) in reply.iter_mut().zip(bytes) {
        *byte ^= change;
    }
    for bytes in [bytes, &reply] {
        let heard = heard(bytes);
        assert!(matches!(heard, Ok(Heard::Stray | Heard::Reply(_))));
    }
}

#[cfg(test)]
mod tests {
    use pnet_packet::icmp::{IcmpPacket, checksum as icmp_checksum};
    use proptest::prelude::*;

    use super::*;

    const RAW: Form = Form {
        is_ipv6: false,
        is_raw: true,
    };
    const FORMS: [Form; 4] = [
        RAW,
        Form {
            is_raw: false,
            ..RAW
        },
        Form {
            is_ipv6: true,
            ..RAW
        },
        Form {
            is_ipv6: true,
            is_raw: false,
        },
    ];

    /// What the kernel hands over as the reply to a request.
    fn reply(form: Form, request: &[u8]) -> Vec<u8> {
        let mut message = request.to_vec();
        message[0] = reply_type(form.is_ipv6).0;
        // The socket's own identifier.
        message[4..6].copy_from_slice(&[1, 2]);
        if form.is_ipv6 || !form.is_raw {
            return message;
        }
        sign(&mut message);
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0];
        packet.extend([127, 0, 0, 1, 127, 0, 0, 1]);
        packet.extend(message);
        packet
    }

    fn sign(message: &mut [u8]) {
        let sum = icmp_checksum(&IcmpPacket::new(message).unwrap());
        message[2..4].copy_from_slice(&sum.to_be_bytes());
    }

    fn heard(echoes: &Echoes, bytes: &[u8]) -> Heard {
        let (taken, heard) = echoes.hear(&mut (), 0, bytes).unwrap();
        assert_eq!(taken, bytes.len());
        heard
    }

    #[test]
    fn replies_are_told_apart() {
        for form in FORMS {
            for size in [16, 17, 56, 57, 1472] {
                let mut echoes = Echoes::new(form, size, 1);
                for number in [1, 0xffff, 0x1_0000, u64::MAX] {
                    let request = echoes.ask(number, false).to_vec();
                    assert_eq!(request.len(), 8 + size);
                    assert_eq!(
                        heard(&echoes, &reply(form, &request)),
                        Heard::Reply(number),
                        "{form:?}, {size}, {number}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_checksum_is_the_one_of_pnet() {
        for size in [16, 17, 56, 1471] {
            for seed in 0..50 {
                let mut echoes = Echoes::new(RAW, size, seed);
                let request = echoes.ask(seed * 7_919, false).to_vec();
                let mut signed = request.clone();
                sign(&mut signed);
                assert_eq!(request, signed, "{size}, {seed}");
            }
        }
    }

    #[test]
    fn an_identifier_is_put_in_afterwards() {
        let mut echoes = Echoes::new(RAW, 56, 1);
        for id in [0, 1, 77, 0x8000, 0xfffe, 0xffff] {
            let mut request = echoes.ask(9, false).to_vec();
            let (header, _) = request.split_first_chunk_mut().unwrap();
            identify(header, id);
            let mut signed = request.clone();
            sign(&mut signed);
            assert_eq!(request, signed, "{id}");
        }
    }

    #[test]
    fn what_is_damaged_or_foreign_is_stray() {
        let mut echoes = Echoes::new(RAW, 56, 1);
        let request = echoes.ask(5, false).to_vec();
        let good = reply(RAW, &request);
        assert_eq!(heard(&echoes, &good), Heard::Reply(5));
        for len in 0..good.len() {
            assert_eq!(heard(&echoes, &good[..len]), Heard::Stray, "{len} bytes");
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(heard(&echoes, &longer), Heard::Stray);
        // Every byte of the message counts: type, code, checksum, identifier (by the checksum), sequence number, token, number, payload.
        for at in 20..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            assert_eq!(heard(&echoes, &bad), Heard::Stray, "byte {at}");
        }
        let own_request = [&good[..20], &request[..]].concat();
        assert_eq!(heard(&echoes, &own_request), Heard::Stray);
        let foreign = Echoes::new(RAW, 56, 2);
        assert_eq!(heard(&foreign, &good), Heard::Stray);
        // A header of 60 bytes in a packet of 84.
        let mut options = good.clone();
        options[0] = 0x4f;
        assert_eq!(heard(&echoes, &options), Heard::Stray);
    }

    proptest! {
        #[test]
        fn nothing_received_makes_it_panic(bytes: Vec<u8>, form in prop::sample::select(FORMS.to_vec())) {
            let echoes = Echoes::new(form, 16, 1);
            prop_assert_eq!(heard(&echoes, &bytes), Heard::Stray);
        }
    }
}
