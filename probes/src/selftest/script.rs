//! What the responder of the self-test does to each request, and what therefore has to be reported.

/// Requests of one turn of the script; at most one of each fault falls into a turn.
const TURN: u64 = 10;

/// Length of a stall, in nanoseconds.
pub(super) const STALL_NS: u64 = 200_000_000;

/// The faults that the self-test declares.
pub(super) const FAULTS: Script = Script {
    delay_ns: 0,
    lost: 8,
    duplicated: 8,
    reordered: 8,
    stalled: None,
};

/// What a responder does. Requests are counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Script {
    /// Each reply is delayed by this.
    pub(super) delay_ns: u64,
    /// In so many turns one request is not answered.
    pub(super) lost: u64,
    /// In so many turns one request is answered twice.
    pub(super) duplicated: u64,
    /// In so many turns one request is answered after the next one.
    pub(super) reordered: u64,
    /// This request is answered after [`STALL_NS`].
    pub(super) stalled: Option<u64>,
}

/// What is done to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Answered.
    Answered,
    /// Not answered.
    Lost,
    /// Answered twice.
    Twice,
    /// Answered after the next one.
    Overtaken,
    /// Answered after a long time.
    Stalled,
}

impl Script {
    /// Returns a script that only delays.
    pub(super) const fn delaying(delay_ns: u64) -> Self {
        Self {
            delay_ns,
            lost: 0,
            duplicated: 0,
            reordered: 0,
            stalled: None,
        }
    }

    /// Returns a script that answers at once, but for one request.
    pub(super) const fn stalling(request: u64) -> Self {
        Self {
            stalled: Some(request),
            ..Self::delaying(0)
        }
    }

    /// Returns what is done to a request. The places within a turn leave an ordinary reply after each fault:
    /// what a fault leaves behind is read before the next one.
    pub(super) fn fate(&self, request: u64) -> Fate {
        if self.stalled == Some(request) {
            return Fate::Stalled;
        }
        let turn = request / TURN;
        match request % TURN {
            3 if turn < self.lost => Fate::Lost,
            5 if turn < self.duplicated => Fate::Twice,
            7 if turn < self.reordered => Fate::Overtaken,
            _ => Fate::Answered,
        }
    }

    /// Returns how many requests it takes to play all of it.
    pub(super) fn requests(&self) -> u64 {
        self.lost.max(self.duplicated).max(self.reordered) * TURN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_holds_what_it_declares() {
        let script = Script {
            delay_ns: 0,
            lost: 3,
            duplicated: 4,
            reordered: 5,
            stalled: None,
        };
        let count = |fate| {
            let fates = (1..1_000).map(|request| script.fate(request));
            fates.filter(|&other| other == fate).count()
        };
        assert_eq!(count(Fate::Lost), 3);
        assert_eq!(count(Fate::Twice), 4);
        assert_eq!(count(Fate::Overtaken), 5);
        assert_eq!(count(Fate::Stalled), 0);
        let faulty = |request: &u64| script.fate(*request) != Fate::Answered;
        assert!((1..1_000).rfind(faulty) < Some(script.requests()));
        assert_eq!(Script::stalling(7).fate(7), Fate::Stalled);
    }
}
