//! Whom a responder with a key answers: addresses that have passed the handshake of [`crate::session`], for the
//! length of a job.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::{Clock as _, Moment, Monotonic};
use crate::error::ProbeError;
use crate::session::{Key, Message, SESSION_LEN, Step};
use tollgate_results::door::Secret;

/// An address is let in for this long, in nanoseconds: the longest job that an agent takes, its warm-up and some.
/// Each job passes the handshake anew.
const STAY_NS: u64 = 700_000_000_000;

/// Most addresses at a time; a session has one client.
const MOST_GUESTS: usize = 64;

/// Datagrams from the last guest between two looks at the clock.
const TRUST: u32 = 4_096;

/// The guests of a responder.
#[derive(Debug)]
pub(super) struct Admission {
    key: Key,
    /// Makes cookies; drawn at the start.
    cookies: Key,
    guests: Mutex<Vec<Guest>>,
}

#[derive(Debug, Clone, Copy)]
struct Guest {
    address: IpAddr,
    until: Moment,
}

/// The guest that was looked up last, so that its next datagrams need no lock.
#[derive(Debug, Default)]
pub(super) struct Last {
    address: Option<IpAddr>,
    left: u32,
}

impl Admission {
    /// Starts without guests.
    ///
    /// # Errors
    ///
    /// When the system has no randomness.
    pub(super) fn new(secret: &Secret) -> Result<Self, ProbeError> {
        let mut own = [0; 32];
        getrandom::fill(&mut own).map_err(|error| {
            let mend = "start the responder once the system has randomness";
            ProbeError::refused("draw a secret", error.into(), mend)
        })?;
        Ok(Self {
            key: Key::new(secret),
            cookies: Key::new(&Secret::new(own)),
            guests: Mutex::default(),
        })
    }

    /// Takes a datagram of a handshake; returns the answer, if it deserves one.
    pub(super) fn take(&self, datagram: &[u8], from: SocketAddr) -> Option<[u8; SESSION_LEN]> {
        let message = Message::decode(datagram, &self.key)?;
        let from = canonical(from);
        let cookie = self
            .cookies
            .mac(from.to_string().as_bytes(), &message.number);
        let step = match message.step {
            Step::Hello => Step::Challenge,
            Step::Proof if message.cookie == cookie => {
                self.admit(from.ip(), Monotonic.now());
                Step::Welcome
            }
            // Two responders can't be set on each other.
            Step::Proof | Step::Challenge | Step::Welcome => return None,
        };
        let answer = Message {
            step,
            cookie,
            ..message
        };
        Some(answer.encode(&self.key))
    }

    /// Returns whether an address is a guest's.
    pub(super) fn knows(&self, address: IpAddr) -> bool {
        self.is_guest(address.to_canonical(), Monotonic.now())
    }

    /// Does the same for datagrams, most of which come from the same guest as the one before.
    #[inline]
    pub(super) fn knows_again(&self, address: IpAddr, last: &mut Last) -> bool {
        let address = address.to_canonical();
        if last.left > 0 && last.address == Some(address) {
            last.left -= 1;
            return true;
        }
        let known = self.is_guest(address, Monotonic.now());
        if known {
            (last.address, last.left) = (Some(address), TRUST);
        }
        known
    }

    fn is_guest(&self, address: IpAddr, now: Moment) -> bool {
        let guests = self.lock();
        guests
            .iter()
            .any(|guest| guest.address == address && now < guest.until)
    }

    fn admit(&self, address: IpAddr, now: Moment) {
        let mut guests = self.lock();
        guests.retain(|guest| guest.address != address && now < guest.until);
        if guests.len() >= MOST_GUESTS {
            guests.remove(0);
        }
        let until = now.plus(STAY_NS);
        guests.push(Guest { address, until });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Guest>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An IPv4 peer of an IPv6 socket is the IPv4 peer.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u8; 32] = [1; 32];

    fn admission() -> Admission {
        Admission::new(&Secret::new(SECRET)).unwrap()
    }

    fn message(step: Step, cookie: [u8; 16]) -> Message {
        Message {
            step,
            number: [5; 16],
            cookie,
        }
    }

    /// Hands a message in; returns what is answered.
    fn answer(admission: &Admission, message: Message, from: &str) -> Option<Message> {
        let key = Key::new(&Secret::new(SECRET));
        let bytes = admission.take(&message.encode(&key), from.parse().unwrap())?;
        Message::decode(&bytes, &key)
    }

    #[test]
    fn who_receives_the_challenge_is_let_in() {
        let (admission, from) = (admission(), "192.0.2.1:1000");
        let ip = "192.0.2.1".parse().unwrap();
        let challenge = answer(&admission, message(Step::Hello, [0; 16]), from).unwrap();
        assert_eq!(challenge.step, Step::Challenge);
        assert!(!admission.knows(ip), "a hello alone proves nothing");
        let proof = message(Step::Proof, challenge.cookie);
        assert_eq!(
            answer(&admission, proof, "192.0.2.2:1000"),
            None,
            "another's cookie"
        );
        assert_eq!(
            answer(&admission, proof, "192.0.2.1:1001"),
            None,
            "another port's cookie"
        );
        assert_eq!(
            answer(&admission, message(Step::Proof, [0; 16]), from),
            None
        );
        assert_eq!(answer(&admission, proof, from).unwrap().step, Step::Welcome);
        assert!(admission.knows(ip) && admission.knows("::ffff:192.0.2.1".parse().unwrap()));
        assert!(!admission.knows("192.0.2.2".parse().unwrap()));
        let other = self::admission();
        assert_eq!(
            answer(&other, proof, from),
            None,
            "another responder's cookie"
        );
    }

    #[test]
    fn what_a_responder_sends_is_never_answered() {
        for step in [Step::Challenge, Step::Welcome] {
            let asked = message(step, [0; 16]);
            assert_eq!(answer(&admission(), asked, "192.0.2.1:1000"), None);
        }
    }

    #[test]
    fn a_guest_stays_for_a_while_and_there_are_so_many() {
        let admission = admission();
        let now = Monotonic.now();
        let address = |n: u8| IpAddr::from([192, 0, 2, n]);
        admission.admit(address(1), now);
        assert!(admission.is_guest(address(1), now.plus(STAY_NS - 1)));
        assert!(!admission.is_guest(address(1), now.plus(STAY_NS)));
        for n in 2..=u8::try_from(MOST_GUESTS).unwrap() + 1 {
            admission.admit(address(n), now);
        }
        assert_eq!(admission.lock().len(), MOST_GUESTS);
        assert!(
            !admission.is_guest(address(1), now),
            "the longest-known one made room"
        );
        admission.admit(address(9), now);
        assert_eq!(
            admission.lock().len(),
            MOST_GUESTS,
            "a guest that comes again takes no second place"
        );
    }

    #[test]
    fn the_last_guest_is_known_without_a_look_for_so_many_datagrams() {
        let (admission, mut last) = (admission(), Last::default());
        let address = "192.0.2.1".parse().unwrap();
        assert!(!admission.knows_again(address, &mut last));
        admission.admit(address, Monotonic.now());
        assert!(admission.knows_again(address, &mut last));
        admission.lock().clear();
        for _ in 0..TRUST {
            assert!(admission.knows_again(address, &mut last));
        }
        assert!(!admission.knows_again(address, &mut last));
    }
}
