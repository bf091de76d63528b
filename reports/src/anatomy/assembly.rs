//! One slice: trips joined with the ends in user space, and taken apart into hops.

use std::collections::HashMap;

use tollgate_results::agent::{Exchanges, Turns};
use tollgate_results::anatomy::{
    Clocked, ClockedWay, Event, Followed, Hop, Point, Site, Trip, Way,
};
use tollgate_results::histogram::Histogram;

use super::hops::{Named, Naming, Stop, places};

/// What was seen of a slice.
#[derive(Debug)]
pub struct Seen<'a> {
    /// What was followed.
    pub followed: Followed,
    /// The arm's namespaces.
    pub sites: &'a [Site],
    /// Packets, in the order in which they arrived.
    pub trips: &'a [Trip],
    /// What the client kept.
    pub exchanges: &'a Exchanges,
    /// What the server kept; of [`Followed::TcpConnect`] nothing.
    pub turns: &'a Turns,
    /// Round trips.
    pub latency: Histogram,
    /// Records of the clock that were lost.
    pub lost: u64,
    /// Packets that it gave up.
    pub given_up: u64,
}

/// Where the packets of one way were: equal for packets that took the same path.
type Shape = Vec<(Point, u32, u32)>;

/// A trip with its ends.
struct Joined<'a> {
    start_ns: u64,
    trip: &'a Trip,
    end_ns: u64,
}

/// Joins what was seen by time: all clocks are one. An exchange whose packets are not found, or not in order, counts as
/// not joined.
#[must_use]
pub fn assemble(seen: Seen<'_>) -> Clocked {
    let mut requests = Vec::new();
    let mut replies = Vec::new();
    let of = |way| seen.trips.iter().filter(move |trip| trip.way == way);
    let (mut sent, mut answered) = (Within::of(of(Way::Request)), Within::of(of(Way::Reply)));
    let mut turns = seen.turns.at_ns.iter().copied().peekable();
    let ends = seen
        .exchanges
        .started_ns
        .iter()
        .zip(&seen.exchanges.ended_ns);
    let mut exchanges = 0;
    for (&start_ns, &end_ns) in ends {
        exchanges += 1;
        let (request, reply) = (sent.next(start_ns, end_ns), answered.next(start_ns, end_ns));
        let turn_ns = if seen.followed == Followed::TcpConnect {
            reply.map(first_ns)
        } else {
            while turns.next_if(|turn| *turn < start_ns).is_some() {}
            turns.next_if(|turn| *turn <= end_ns)
        };
        let (Some(request), Some(turn_ns), Some(reply)) = (request, turn_ns, reply) else {
            continue;
        };
        if last_ns(request) <= turn_ns && turn_ns <= first_ns(reply) {
            requests.push(Joined {
                start_ns,
                trip: request,
                end_ns: turn_ns,
            });
            replies.push(Joined {
                start_ns: turn_ns,
                trip: reply,
                end_ns,
            });
        }
    }
    let joined = requests.len();
    let way = |way, trips: Vec<Joined<'_>>| {
        let naming = Naming {
            followed: seen.followed,
            way,
        };
        apart(&trips, naming, seen.sites)
    };
    Clocked {
        request: way(Way::Request, requests),
        reply: way(Way::Reply, replies),
        latency: seen.latency,
        exchanges,
        joined: u64::try_from(joined).unwrap_or(u64::MAX),
        lost: seen.lost,
        given_up: seen.given_up,
    }
}

/// Finds the one trip within an exchange. Both come in order of time.
struct Within<'a, I: Iterator<Item = &'a Trip>> {
    trips: std::iter::Peekable<I>,
}

impl<'a, I: Iterator<Item = &'a Trip>> Within<'a, I> {
    fn of(trips: I) -> Self {
        Self {
            trips: trips.peekable(),
        }
    }

    /// Returns the trip between two moments; `None` where there is none, or more than one.
    fn next(&mut self, start_ns: u64, end_ns: u64) -> Option<&'a Trip> {
        while self
            .trips
            .next_if(|trip| first_ns(trip) < start_ns)
            .is_some()
        {}
        let found = self.trips.next_if(|trip| last_ns(trip) <= end_ns)?;
        let mut alone = true;
        while self.trips.next_if(|trip| last_ns(trip) <= end_ns).is_some() {
            alone = false;
        }
        alone.then_some(found)
    }
}

fn first_ns(trip: &Trip) -> u64 {
    trip.events.first().map_or(0, |event| event.at_ns)
}

fn last_ns(trip: &Trip) -> u64 {
    trip.events.last().map_or(0, |event| event.at_ns)
}

fn shape(events: &[Event]) -> Shape {
    let place = |event: &Event| (event.point, event.namespace, event.device);
    events.iter().map(place).collect()
}

/// Takes the trips of the most frequent shape apart.
fn apart(trips: &[Joined<'_>], naming: Naming, sites: &[Site]) -> ClockedWay {
    let mut counts: HashMap<Shape, u64> = HashMap::new();
    for joined in trips {
        *counts.entry(shape(&joined.trip.events)).or_default() += 1;
    }
    // Of equally frequent ones the least, so that the same trips always give the same.
    let most = counts
        .iter()
        .max_by(|a, b| a.1.cmp(b.1).then_with(|| b.0.cmp(a.0)));
    let Some((common, &count)) = most else {
        return ClockedWay::default();
    };
    let alike = || {
        let same = |joined: &&Joined<'_>| shape(&joined.trip.events) == *common;
        trips.iter().filter(same)
    };
    let Some(example) = alike().next() else {
        return ClockedWay::default();
    };
    let stops: Vec<Stop> = example
        .trip
        .events
        .iter()
        .map(|event| Stop::of(event, sites))
        .collect();
    let named = naming.hops(&stops);
    let mut whole = Histogram::new();
    let mut times = vec![Histogram::new(); named.len()];
    for joined in alike() {
        whole.record(joined.end_ns - joined.start_ns);
        for (hop, times) in named.iter().zip(&mut times) {
            times.record(spent_ns(joined, hop));
        }
    }
    let hops = named.into_iter().zip(times).map(|(named, times)| Hop {
        // The clock stamps first: what an event costs falls behind it.
        events: small(
            named
                .intervals
                .iter()
                .filter(|interval| **interval > 0)
                .count(),
        ),
        key: named.key,
        words: named.words,
        times,
    });
    ClockedWay {
        trips: u64::try_from(trips.len()).unwrap_or(u64::MAX),
        common: count,
        shapes: u64::try_from(counts.len()).unwrap_or(u64::MAX),
        events: small(common.len()),
        places: places(&stops),
        whole,
        hops: hops.collect(),
    }
}

/// Returns the time that a trip spent in a hop.
fn spent_ns(joined: &Joined<'_>, hop: &Named) -> u64 {
    let events = &joined.trip.events;
    let at = |stop: Option<usize>| match stop {
        None => joined.start_ns,
        Some(stop) => events.get(stop).map_or(joined.end_ns, |event| event.at_ns),
    };
    let spent = |interval: &usize| at(Some(*interval)).saturating_sub(at(interval.checked_sub(1)));
    hop.intervals.iter().map(spent).sum()
}

fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
