//! Counts statuses and backends of one sending thread, and keeps what went wrong first.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use tollgate_results::histogram::Histogram;
use tollgate_results::http::Packed;
use tollgate_results::outcome::{Failure, HttpOutcome};

use super::response::Response;

/// Statuses are three digits.
const STATUSES: usize = 1_000;

/// Who answered, by its place in the list of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backend(u8);

/// One name too many.
const OTHER: Backend = Backend(u8::MAX);

/// What responses were counted; shared by whoever reads or dials. Counting allocates nothing but for a name that is
/// new.
#[derive(Debug)]
pub(crate) struct Tally {
    statuses: Box<[Cell<u64>]>,
    backends: RefCell<Vec<(Box<[u8]>, u64)>>,
    others: Cell<u64>,
    fault: RefCell<Option<String>>,
    /// Replies of each kept connection by the place of the name; none where there is only one connection.
    connections: RefCell<Vec<[u64; HttpOutcome::MOST_BACKENDS]>>,
    /// Latencies by the place of the name, where they are asked for.
    latencies: RefCell<Vec<Histogram>>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            statuses: vec![Cell::new(0); STATUSES].into(),
            backends: RefCell::new(Vec::with_capacity(HttpOutcome::MOST_BACKENDS)),
            others: Cell::new(0),
            fault: RefCell::new(None),
            connections: RefCell::default(),
            latencies: RefCell::default(),
        }
    }
}

impl Tally {
    /// Finds the place of a name, or gives it one.
    pub(crate) fn backend(&self, name: &[u8]) -> Backend {
        let name = &name[..name.len().min(HttpOutcome::LONGEST_BACKEND)];
        let mut backends = self.backends.borrow_mut();
        let place = match backends.iter().position(|(known, _)| **known == *name) {
            Some(place) => place,
            None if backends.len() < HttpOutcome::MOST_BACKENDS => {
                backends.push((name.into(), 0));
                backends.len() - 1
            }
            None => return OTHER,
        };
        u8::try_from(place).map_or(OTHER, Backend)
    }

    /// Counts a whole response.
    #[inline]
    pub(crate) fn responded(&self, status: u16) {
        if let Some(count) = self.statuses.get(usize::from(status)) {
            count.set(count.get() + 1);
        }
    }

    /// Counts a reply by who gave it, where it says so.
    #[inline]
    pub(crate) fn replied(&self, response: &Response) {
        match response.backend {
            Some(OTHER) => self.others.set(self.others.get() + 1),
            Some(Backend(place)) => {
                if let Some((_, count)) = self.backends.borrow_mut().get_mut(usize::from(place)) {
                    *count += 1;
                }
            }
            None => {}
        }
    }

    /// Makes room to tell so many connections apart.
    pub(crate) fn tell_apart(&self, connections: usize) {
        let connections = connections.min(HttpOutcome::MOST_CONNECTIONS);
        *self.connections.borrow_mut() = vec![[0; HttpOutcome::MOST_BACKENDS]; connections];
    }

    /// Counts a reply on one of several connections.
    #[inline]
    pub(crate) fn replied_on(&self, connection: usize, response: &Response) {
        self.replied(response);
        if let Some(Backend(place)) = response.backend
            && let Some(counts) = self.connections.borrow_mut().get_mut(connection)
            && let Some(count) = counts.get_mut(usize::from(place))
        {
            *count += 1;
        }
    }

    /// Returns the replies of each connection that had some, and starts anew.
    fn take_connections(&self) -> Vec<BTreeMap<String, u64>> {
        let backends = self.backends.borrow();
        let mut connections = self.connections.borrow_mut();
        let named = connections.iter_mut().map(|counts| {
            let mut of_connection = BTreeMap::new();
            for ((name, _), count) in backends.iter().zip(counts).filter(|(_, count)| **count > 0) {
                *of_connection.entry(text(name)).or_default() += std::mem::take(count);
            }
            of_connection
        });
        let named: Vec<_> = named.filter(|counts| !counts.is_empty()).collect();
        // One connection is no group among others.
        if named.len() > 1 { named } else { Vec::new() }
    }

    /// Keeps how long a reply took, by who gave it. Allocates for a name that is new.
    pub(crate) fn took(&self, Backend(place): Backend, ns: u64) {
        let place = usize::from(place);
        if place >= HttpOutcome::MOST_TIMED {
            return;
        }
        let mut latencies = self.latencies.borrow_mut();
        if latencies.len() <= place {
            latencies.resize_with(place + 1, Histogram::new);
        }
        if let Some(histogram) = latencies.get_mut(place) {
            histogram.record(ns);
        }
    }

    /// Keeps why something failed, unless there is a reason already; gives the failure back.
    pub(crate) fn fail(&self, failure: Failure, why: impl FnOnce() -> String) -> Failure {
        self.fault.borrow_mut().get_or_insert_with(why);
        failure
    }

    /// Returns what was counted, and starts anew.
    pub(crate) fn take(&self) -> HttpOutcome {
        let statuses = self.statuses.iter().map(Cell::take).zip(0..);
        let by_connection = self.take_connections();
        let mut latencies = BTreeMap::new();
        let mut timed = self.latencies.borrow_mut();
        for ((name, _), histogram) in self.backends.borrow().iter().zip(timed.iter_mut()) {
            if !histogram.is_empty() {
                latencies.insert(text(name), Packed::of(histogram));
                histogram.clear();
            }
        }
        let mut backends = BTreeMap::new();
        for (name, count) in self
            .backends
            .borrow_mut()
            .iter_mut()
            .filter(|(_, count)| *count > 0)
        {
            *backends.entry(text(name)).or_default() += std::mem::take(count);
        }
        HttpOutcome {
            statuses: statuses
                .filter(|(count, _)| *count > 0)
                .map(|(count, status)| (status, count))
                .collect(),
            backends,
            other_backends: self.others.take(),
            by_connection,
            latencies,
            fault: self.fault.take(),
        }
    }
}

/// Makes a name plain text.
fn text(name: &[u8]) -> String {
    let visible = |&byte: &u8| if byte.is_ascii_graphic() { byte } else { b'?' };
    name.iter().map(visible).map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(backend: Backend) -> Response {
        Response {
            status: 200,
            body: 0,
            stays: true,
            backend: Some(backend),
        }
    }

    #[test]
    fn names_are_bounded_in_number_and_length() {
        let tally = Tally::default();
        for number in 0..100 {
            let name = format!("{number}-{}", "x".repeat(200));
            let backend = tally.backend(name.as_bytes());
            assert_eq!(tally.backend(name.as_bytes()), backend);
            tally.replied(&reply(backend));
        }
        let outcome = tally.take();
        assert_eq!(outcome.backends.len(), HttpOutcome::MOST_BACKENDS);
        assert_eq!(outcome.other_backends, 36);
        assert!(outcome.backends.keys().all(|name| name.len() == 64));
        assert_eq!(tally.take(), HttpOutcome::default());
    }

    #[test]
    fn a_name_stays_plain_text() {
        let tally = Tally::default();
        tally.replied(&reply(tally.backend(b"a\x1b\xffb")));
        assert_eq!(tally.take().backends, [("a??b".to_owned(), 1)].into());
    }

    #[test]
    fn connections_are_told_apart_where_there_are_several() {
        let tally = Tally::default();
        tally.tell_apart(2);
        let one = reply(tally.backend(b"stable"));
        tally.replied_on(0, &one);
        assert!(tally.take().by_connection.is_empty());
        tally.replied_on(0, &one);
        tally.replied_on(1, &one);
        let alike = tally.take().by_connection;
        assert_eq!(alike, vec![[("stable".to_owned(), 1)].into(); 2]);
        let other = reply(tally.backend(b"canary"));
        for (connection, response) in [(0, &one), (0, &one), (1, &other), (2, &one)] {
            tally.replied_on(connection, response);
        }
        let taken = tally.take();
        let of = |name: &str, count| [(name.to_owned(), count)].into();
        assert_eq!(taken.by_connection, [of("stable", 2), of("canary", 1)]);
        assert_eq!(taken.backends["stable"], 3);
        assert!(tally.take().by_connection.is_empty());
    }

    #[test]
    fn latencies_are_kept_by_name_until_they_are_taken() {
        let tally = Tally::default();
        let (one, other) = (tally.backend(b"stable"), tally.backend(b"canary"));
        for (backend, ns) in [(one, 1_000), (one, 3_000), (other, 9_000)] {
            tally.took(backend, ns);
        }
        let taken = tally.take().latencies;
        let of = |name: &str| taken[name].unpacked().unwrap();
        assert_eq!((of("stable").len(), of("canary").len()), (2, 1));
        assert!(of("canary").min_ns() > of("stable").max_ns());
        assert!(tally.take().latencies.is_empty());
        for number in 0..100 {
            let name = format!("pod-{number}");
            tally.took(tally.backend(name.as_bytes()), 1);
        }
        assert!(tally.take().latencies.len() <= HttpOutcome::MOST_TIMED);
    }

    #[test]
    fn statuses_are_counted_and_the_first_fault_kept() {
        let tally = Tally::default();
        for status in [200, 200, 503, 999, 65_535] {
            tally.responded(status);
        }
        for why in ["first", "second"] {
            assert_eq!(tally.fail(Failure::Tls, || why.to_owned()), Failure::Tls);
        }
        let outcome = tally.take();
        assert_eq!(outcome.statuses, [(200, 2), (503, 1), (999, 1)].into());
        assert_eq!(outcome.fault.as_deref(), Some("first"));
    }
}
