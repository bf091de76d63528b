//! Which size is tried next, and what follows from the answers.

use std::net::IpAddr;

use tollgate_results::path_mtu::MtuLimit;

/// Between which sizes to search, in bytes: both can be sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub(super) smallest: u32,
    /// What the sending device takes.
    pub(super) largest: u32,
}

/// What became of packets of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// One got through.
    Through,
    /// It is too big for a hop, by which it was said, and for which this is the largest.
    TooBig { by: Option<IpAddr>, mtu: u32 },
    /// Nothing came back.
    Silence,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Findings {
    pub(super) mtu: Option<u32>,
    pub(super) limit: MtuLimit,
}

/// Searches for the largest size that gets through.
pub(super) fn search(sizes: Sizes, mut attempt: impl FnMut(u32) -> Fate) -> Findings {
    let Sizes { smallest, largest } = sizes;
    if attempt(smallest) != Fate::Through {
        return Findings {
            mtu: None,
            limit: MtuLimit::NoReply,
        };
    }
    // What got through, and what didn't, or can't even leave.
    let (mut through, mut beyond) = (smallest, largest.saturating_add(1));
    let mut limit = MtuLimit::Device;
    let mut next = largest;
    while beyond - through > 1 {
        // A hop that says something impossible is not followed out of the range.
        let size = next.clamp(through + 1, beyond - 1);
        match attempt(size) {
            Fate::Through => {
                through = size;
                // What a hop said is tested from above, too; otherwise it is not yet known where it ends.
                let told = matches!(limit, MtuLimit::Told { mtu, .. } if mtu == size);
                next = if told {
                    size + 1
                } else {
                    middle(through, beyond)
                };
            }
            Fate::TooBig { by, mtu } => {
                beyond = size;
                limit = MtuLimit::Told { by, mtu };
                let usable = mtu > through && mtu < beyond;
                next = if usable { mtu } else { middle(through, beyond) };
            }
            Fate::Silence => {
                beyond = size;
                limit = MtuLimit::BlackHole { from: size };
                next = middle(through, beyond);
            }
        }
    }
    Findings {
        mtu: Some(through),
        limit,
    }
}

const fn middle(through: u32, beyond: u32) -> u32 {
    through + (beyond - through) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIZES: Sizes = Sizes {
        smallest: 128,
        largest: 1_500,
    };

    /// Searches a path whose hops take `mtu`, and which answers beyond it.
    fn found(mtu: u32, answer: impl Fn(u32) -> Fate) -> (Findings, u32) {
        let mut attempts = 0;
        let findings = search(SIZES, |size| {
            attempts += 1;
            assert!((128..=1_500).contains(&size), "{size}");
            if size <= mtu {
                Fate::Through
            } else {
                answer(size)
            }
        });
        (findings, attempts)
    }

    const fn too_big(mtu: u32) -> Fate {
        Fate::TooBig { by: None, mtu }
    }

    #[test]
    fn a_path_as_wide_as_the_device_takes_two_probes() {
        let (findings, attempts) = found(1_500, |_| Fate::Silence);
        assert_eq!(findings.mtu, Some(1_500));
        assert_eq!((findings.limit, attempts), (MtuLimit::Device, 2));
    }

    #[test]
    fn what_a_hop_says_is_followed_and_tested() {
        let (findings, attempts) = found(1_450, |_| too_big(1_450));
        assert_eq!(findings.mtu, Some(1_450));
        let told = MtuLimit::Told {
            by: None,
            mtu: 1_450,
        };
        assert_eq!((findings.limit, attempts), (told, 4));
    }

    #[test]
    fn a_black_hole_is_told_from_a_hop_that_speaks() {
        let (findings, attempts) = found(1_450, |_| Fate::Silence);
        assert_eq!(findings.mtu, Some(1_450));
        assert_eq!(findings.limit, MtuLimit::BlackHole { from: 1_451 });
        assert!(attempts <= 13, "{attempts}");
    }

    #[test]
    fn nothing_is_known_of_a_path_without_reply() {
        let (findings, attempts) = found(0, |_| Fate::Silence);
        assert_eq!(findings.mtu, None);
        assert_eq!((findings.limit, attempts), (MtuLimit::NoReply, 1));
    }

    proptest! {
        #[test]
        fn it_ends_with_the_truth_whatever_hops_say(mtu in 128_u32..2_000, said: Vec<Option<u32>>) {
            let mut said = said.into_iter().cycle();
            let answers = std::cell::RefCell::new(move || said.next().flatten());
            let (findings, attempts) = found(mtu, |_| {
                answers.borrow_mut()().map_or(Fate::Silence, too_big)
            });
            prop_assert_eq!(findings.mtu, Some(mtu.min(1_500)));
            prop_assert!(attempts <= 40, "{}", attempts);
        }
    }
}
