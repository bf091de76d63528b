//! What one sending thread counts and times in a window.

mod exchanges;
mod split;

use tollgate_results::agent::Exchanges;
use tollgate_results::histogram::Histogram;
use tollgate_results::outcome::{
    Failure, Flow, Histograms, HttpOutcome, JobReport, OpenOutcome, Outcome, Timed,
};

use self::exchanges::ExchangeLog;
pub(crate) use self::split::KernelStamps;
use self::split::Split;
use tollgate_results::stream::{Datagrams, StreamTotals, TcpSample};
use tollgate_results::sweep::FlowSweep;

use crate::clock::Moment;
use crate::probe::echo::FirstByte;

/// Most latencies of a visit that its median is taken of: those of 80 ms at 20 µs each.
const LONGEST_VISIT: usize = 4_096;

/// Counts and times of one thread and one window. Recording does not allocate.
#[derive(Debug)]
pub struct Recorder {
    /// One for each [`Timed`] that is kept, in its order.
    times: [Option<Histogram>; Timed::ALL.len()],
    replied: u64,
    /// One for each [`Failure`], in its order.
    failures: [u64; Failure::ALL.len()],
    counts: Counts,
    /// Where round trips are split.
    split: Option<Split>,
    /// What streams give besides.
    streamed: Streamed,
    /// Latencies of the visit under way, where several connections are visited; a lost reply's is the largest number.
    visit: Option<Vec<u64>>,
    sweep: Option<FlowSweep>,
    /// What came back over HTTP.
    http: Option<HttpOutcome>,
    /// Where the time of each exchange is kept.
    exchanges: Option<ExchangeLog>,
}

/// What streams give besides counts, when a window is over.
#[derive(Debug, Default)]
pub(crate) struct Streamed {
    pub(crate) datagrams: Option<Datagrams>,
    pub(crate) histograms: Histograms,
    pub(crate) samples: Vec<TcpSample>,
    totals: Option<StreamTotals>,
}

impl Streamed {
    /// Adds payload that arrived, and the CPU time that this end and the far one took.
    pub(crate) fn spend(&mut self, (up, bytes): (bool, u64), (near_ns, far_ns): (u64, u64)) {
        let (bytes_up, bytes_down) = if up { (bytes, 0) } else { (0, bytes) };
        let more = StreamTotals {
            bytes_up,
            bytes_down,
            near_cpu_ns: near_ns,
            far_cpu_ns: far_ns,
        };
        let all = self.totals.get_or_insert_default();
        *all = all.plus(more);
    }
}

/// What probes count beside replies and failures.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// First request of the window.
    pub started: Option<Moment>,
    /// End of the last reply, or of the wait for it.
    pub finished: Option<Moment>,
    /// Replies after their time-out.
    pub late: u64,
    /// Replies that came a second time.
    pub duplicated: u64,
    /// Replies that came after the reply to a later request.
    pub reordered: u64,
    /// Datagrams that are no replies to this job.
    pub stray: u64,
    /// Replies that were a RST.
    pub resets: u64,
    /// Writes of a stream that the far end confirmed.
    pub confirmed: u64,
    /// Writes of a stream that it did not confirm.
    pub unconfirmed: u64,
    /// Payload sent.
    pub bytes_sent: u64,
    /// Payload received, or confirmed.
    pub bytes_received: u64,
    /// The last connection.
    pub flow: Option<Flow>,
    /// What an open loop counts besides.
    pub open: Option<OpenOutcome>,
}

impl Recorder {
    /// Returns an empty recorder that keeps the given times; its memory is in place.
    #[must_use]
    pub fn new(times: &[Timed]) -> Self {
        let histogram = |timed| {
            let mut histogram = times.contains(&timed).then(Histogram::new)?;
            // Writes every page once: no page fault falls into a measured window.
            histogram.clear();
            Some(histogram)
        };
        Self {
            times: Timed::ALL.map(histogram),
            replied: 0,
            failures: [0; Failure::ALL.len()],
            counts: Counts::default(),
            split: None,
            streamed: Streamed::default(),
            visit: None,
            sweep: None,
            http: None,
            exchanges: None,
        }
    }

    /// Records a reply in time, in nanoseconds after its request.
    #[inline]
    pub fn replied(&mut self, latency_ns: u64) {
        self.record(Timed::Latency, latency_ns);
        self.visited(latency_ns);
        self.replied += 1;
    }

    /// Records a reply in time to a request that was planned.
    #[inline]
    pub fn answered(&mut self, planned: Moment, sent: Moment, done: Moment) {
        self.record(Timed::FromPlan, done.since(planned));
        self.record(Timed::FromSend, done.since(sent));
        self.replied += 1;
    }

    /// Records how long after its plan a request was sent, in nanoseconds.
    #[inline]
    pub fn late(&mut self, lateness_ns: u64) {
        self.record(Timed::Lateness, lateness_ns);
    }

    /// Records how long a `connect` took, in nanoseconds.
    #[inline]
    pub fn connected(&mut self, connect_ns: u64) {
        self.record(Timed::Connect, connect_ns);
    }

    /// Records how long a TLS handshake took, in nanoseconds.
    #[inline]
    pub(crate) fn secured(&mut self, handshake_ns: u64) {
        self.record(Timed::Tls, handshake_ns);
    }

    /// Records when the first and the last byte of a reply came, where that is timed.
    #[inline]
    pub(crate) fn phases(&mut self, asked: Moment, first: FirstByte, done: Moment) {
        let first = match first {
            FirstByte::Untimed => return,
            FirstByte::WithLast => done,
            FirstByte::At(first) => first,
        };
        self.record(Timed::FirstByte, first.since(asked));
        self.record(Timed::LastByte, done.since(first));
    }

    /// Keeps the time of up to so many exchanges.
    pub(crate) fn keep_exchanges(&mut self, most: u32) {
        self.exchanges = Some(ExchangeLog::new(most));
    }

    /// Returns whether the time of each exchange is kept.
    #[inline]
    pub(crate) const fn keeps_exchanges(&self) -> bool {
        self.exchanges.is_some()
    }

    /// Notes when an exchange started and ended, where that is kept.
    #[inline]
    pub(crate) fn exchanged(&mut self, started: Moment, ended: Moment) {
        if let Some(log) = &mut self.exchanges {
            log.keep(started, ended);
        }
    }

    /// Returns the exchanges that the threads of a job kept, one thread after the other.
    #[must_use]
    pub(crate) fn exchanges(recorders: &[Self]) -> Exchanges {
        let mut all = Exchanges::default();
        for log in recorders.iter().filter_map(|r| r.exchanges.as_ref()) {
            let kept = log.kept();
            all.started_ns.extend(&kept.started_ns);
            all.ended_ns.extend(&kept.ended_ns);
            all.missed += kept.missed;
        }
        all
    }

    /// Keeps what came back over HTTP.
    pub(crate) fn keep_http(&mut self, outcome: HttpOutcome) {
        self.http = Some(outcome);
    }

    #[inline]
    fn record(&mut self, timed: Timed, ns: u64) {
        if let Some(histogram) = &mut self.times[timed as usize] {
            histogram.record(ns);
        }
    }

    /// Records a request without a reply in time.
    #[inline]
    pub fn failed(&mut self, failure: Failure) {
        self.failures[failure as usize] += 1;
        self.visited(u64::MAX);
    }

    #[inline]
    fn visited(&mut self, latency_ns: u64) {
        if let Some(visit) = &mut self.visit
            && visit.len() < LONGEST_VISIT
        {
            visit.push(latency_ns);
        }
    }

    /// Starts to keep the latencies of a visit.
    pub(crate) fn start_visit(&mut self) {
        let visit = self
            .visit
            .get_or_insert_with(|| Vec::with_capacity(LONGEST_VISIT));
        visit.clear();
        // Each visit would add one.
        self.streamed.samples.clear();
    }

    /// Returns the median of the visit in nanoseconds; `None` where it is infinite, or there was no request.
    pub(crate) fn end_visit(&mut self) -> Option<u64> {
        let visit = self.visit.as_mut().filter(|visit| !visit.is_empty())?;
        let middle = (visit.len() - 1) / 2;
        let (_, &mut median, _) = visit.select_nth_unstable(middle);
        (median < u64::MAX).then_some(median)
    }

    /// Keeps what a sweep gave.
    pub(crate) fn swept(&mut self, sweep: FlowSweep) {
        self.sweep = Some(sweep);
    }

    /// Returns the other counts.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Returns the other counts, to add to them.
    #[inline]
    pub const fn counts_mut(&mut self) -> &mut Counts {
        &mut self.counts
    }

    /// Returns what streams give besides, to add to it.
    pub(crate) const fn streamed_mut(&mut self) -> &mut Streamed {
        &mut self.streamed
    }

    /// Returns how many replies came in time.
    #[must_use]
    pub const fn replies(&self) -> u64 {
        self.replied
    }

    /// Returns how many requests failed.
    #[must_use]
    pub fn failures(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// Merges what the threads of a job recorded.
    #[must_use]
    pub fn report(recorders: &[Self]) -> JobReport {
        let mut outcome = Outcome::default();
        let mut histograms = Histograms::new();
        for (flow, recorder) in (0..).zip(recorders) {
            recorder.add_to(&mut outcome);
            outcome.sweep = recorder.sweep.clone().or(outcome.sweep);
            recorder.streamed.add_to(flow, &mut outcome);
            for (timed, histogram) in &recorder.streamed.histograms {
                histograms.entry(*timed).or_default().merge(histogram);
            }
            for (timed, histogram) in Timed::ALL.into_iter().zip(&recorder.times) {
                if let Some(histogram) = histogram {
                    histograms.entry(timed).or_default().merge(histogram);
                }
            }
        }
        outcome.sent = outcome.replied + outcome.lost;
        let started = recorders.iter().filter_map(|r| r.counts.started).min();
        let finished = recorders.iter().filter_map(|r| r.counts.finished).max();
        if let (Some(started), Some(finished)) = (started, finished) {
            outcome.window_ns = finished.since(started);
        }
        JobReport {
            outcome,
            histograms,
            started_ns: started.map(Moment::ns),
        }
    }

    /// Adds the counts. Where nothing is timed, writes were counted instead of requests.
    fn add_to(&self, outcome: &mut Outcome) {
        let stream = self.times.iter().all(Option::is_none);
        let Counts {
            started: _,
            finished: _,
            late,
            duplicated,
            reordered,
            stray,
            resets: _, // Where there are such replies.
            confirmed,
            unconfirmed,
            bytes_sent,
            bytes_received,
            flow,
            open,
        } = self.counts;
        outcome.replied += self.replied + confirmed;
        outcome.lost += if stream { unconfirmed } else { self.failures() };
        outcome.late += late;
        outcome.duplicated += duplicated;
        outcome.reordered += reordered;
        outcome.stray += stray;
        outcome.bytes_sent += bytes_sent;
        outcome.bytes_received += bytes_received;
        outcome.flow = flow.or(outcome.flow);
        // What is split has one thread.
        outcome.stamps = self.split.map(|split| split.stamps).or(outcome.stamps);
        if let Some(http) = &self.http {
            outcome.http.get_or_insert_default().merge(http.clone());
        }
        // An open loop has one thread.
        outcome.open = open.or(outcome.open);
        for (failure, &count) in Failure::ALL.iter().zip(&self.failures) {
            if count > 0 {
                *outcome.failures.entry(*failure).or_default() += count;
            }
        }
    }
}

impl Streamed {
    fn add_to(&self, flow: u32, outcome: &mut Outcome) {
        if let Some(own) = &self.datagrams {
            let all = outcome.datagrams.get_or_insert_default();
            all.up = own.up.or(all.up);
            all.down = own.down.or(all.down);
        }
        let samples = self.samples.iter();
        let room = TcpSample::MOST.saturating_sub(outcome.tcp.len());
        // A thread counts its own connections from 0.
        outcome
            .tcp
            .extend(samples.take(room).map(|sample| TcpSample {
                flow: flow.saturating_add(sample.flow),
                ..*sample
            }));
        if let Some(own) = self.totals {
            let all = outcome.stream.get_or_insert_default();
            *all = all.plus(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUESTS: &[Timed] = &[Timed::Latency];

    #[test]
    fn failures_are_counted_under_their_own_cause() {
        for failure in Failure::ALL {
            let mut recorder = Recorder::new(REQUESTS);
            recorder.failed(failure);
            let outcome = Recorder::report(&[recorder]).outcome;
            assert_eq!(outcome.failures.get(&failure), Some(&1));
            assert_eq!((outcome.sent, outcome.replied, outcome.lost), (1, 0, 1));
        }
    }

    #[test]
    fn threads_are_merged_over_the_widest_window() {
        let recorder = |start: u64, end: u64| {
            let mut recorder = Recorder::new(REQUESTS);
            recorder.replied(end - start);
            recorder.counts_mut().started = Some(Moment::from_ns(start));
            recorder.counts_mut().finished = Some(Moment::from_ns(end));
            recorder
        };
        let report = Recorder::report(&[recorder(5, 10), recorder(3, 8)]);
        assert_eq!(report.outcome.window_ns, 7);
        assert_eq!(report.outcome.sent, 2);
        assert_eq!(report.histograms[&Timed::Latency].len(), 2);
        assert!(!report.histograms.contains_key(&Timed::Connect));
    }

    #[test]
    fn nothing_recorded_is_a_report_of_nothing() {
        let report = Recorder::report(&[Recorder::new(REQUESTS)]);
        assert_eq!(report.outcome, Outcome::default());
        assert!(report.histograms[&Timed::Latency].is_empty());
    }

    #[test]
    fn writes_of_a_stream_are_lost_unless_confirmed() {
        let mut recorder = Recorder::new(&[]);
        recorder.counts_mut().confirmed = 5;
        recorder.counts_mut().unconfirmed = 2;
        recorder.failed(Failure::Reset);
        let report = Recorder::report(&[recorder]);
        let Outcome {
            sent,
            replied,
            lost,
            ..
        } = report.outcome;
        assert_eq!((sent, replied, lost), (7, 5, 2));
        assert!(report.histograms.is_empty());
    }
}
