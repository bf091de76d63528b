//! The time of each exchange, where somebody asks for it.

use tollgate_results::agent::Exchanges;

use crate::clock::Moment;

/// Starts and ends of exchanges. Its memory is in place before the window.
#[derive(Debug)]
pub(super) struct ExchangeLog {
    kept: Exchanges,
    most: usize,
}

impl ExchangeLog {
    /// Makes room for so many exchanges.
    pub(super) fn new(most: u32) -> Self {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let room = || {
            // Written once, so that no page fault falls into a measured window.
            let mut room = vec![u64::MAX; most];
            room.clear();
            room
        };
        Self {
            kept: Exchanges {
                started_ns: room(),
                ended_ns: room(),
                missed: 0,
            },
            most,
        }
    }

    /// Keeps an exchange while there is room. Does not allocate.
    #[inline]
    pub(super) fn keep(&mut self, started: Moment, ended: Moment) {
        if self.kept.started_ns.len() < self.most {
            self.kept.started_ns.push(started.ns());
            self.kept.ended_ns.push(ended.ns());
        } else {
            self.kept.missed += 1;
        }
    }

    pub(super) const fn kept(&self) -> &Exchanges {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut log = ExchangeLog::new(2);
        for at in 1..=5 {
            log.keep(Moment::from_ns(at), Moment::from_ns(10 * at));
        }
        let kept = log.kept();
        assert_eq!(kept.started_ns, [1, 2]);
        assert_eq!(kept.ended_ns, [10, 20]);
        assert_eq!(kept.missed, 3);
    }
}
