//! Many 5-tuples in turn: visited in random order within blocks, so that what drifts in time is no tuple's own.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use tollgate_results::sweep::{FlowSweep, SweptTuple, shuffle};

use super::Probe;
use super::window::Window;
use crate::clock::Clock;
use crate::recorder::Recorder;

/// Longest time that opening the connections takes before traffic; the rest then opens at the first visit.
const OPEN_NS: u64 = 2_000_000_000;

/// Probes with a connection each, one of them sending at a time.
#[derive(Debug)]
pub(crate) struct Sweep<P, C> {
    probes: Vec<P>,
    order: Vec<usize>,
    random: ChaCha8Rng,
    clock: C,
}

impl<P: Probe, C: Clock> Sweep<P, C> {
    pub(crate) fn new(probes: Vec<P>, clock: C, seed: u64) -> Self {
        Self {
            order: (0..probes.len()).collect(),
            probes,
            random: ChaCha8Rng::seed_from_u64(seed),
            clock,
        }
    }

    /// Lets one probe send for a share of what is left of the window; returns the median of its visit.
    fn visit(
        &mut self,
        index: usize,
        (window, left): (&Window<'_>, u64),
        (recorder, tuple): (&mut Recorder, &mut SweptTuple),
    ) {
        let start = self.clock.now();
        let share = window.end.since(start) / left.max(1);
        let visit = Window {
            start,
            end: start.plus(share),
            aborted: window.aborted,
        };
        recorder.start_visit();
        self.probes[index].run(&visit, recorder);
        let local = recorder.counts().flow.map(|flow| flow.local);
        tuple.local = tuple.local.or(local);
        // A connection that was opened again is another tuple.
        let median = recorder.end_visit().filter(|_| tuple.local == local);
        tuple.medians_ns.push(median);
    }
}

impl<P: Probe, C: Clock> Probe for Sweep<P, C> {
    fn open(&mut self, window: &Window<'_>) {
        for probe in &mut self.probes {
            if window.is_aborted() || self.clock.now().since(window.start) > OPEN_NS {
                return;
            }
            probe.open(window);
        }
    }

    fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
        let tuples = self.probes.len();
        let ports = u32::try_from(tuples).unwrap_or(u32::MAX);
        let blocks = FlowSweep::blocks(window.end.since(window.start), ports) as usize;
        let mut sweep: Vec<SweptTuple> = (0..tuples)
            .map(|_| SweptTuple {
                local: None,
                medians_ns: Vec::with_capacity(blocks),
            })
            .collect();
        let mut left = (blocks * tuples) as u64;
        for _ in 0..blocks {
            let mut order = std::mem::take(&mut self.order);
            shuffle(&mut order, &mut self.random);
            for &index in &order {
                if !window.is_aborted() {
                    self.visit(index, (window, left), (recorder, &mut sweep[index]));
                }
                left -= 1;
            }
            self.order = order;
        }
        recorder.swept(FlowSweep { tuples: sweep });
        recorder.counts_mut().started = Some(window.start);
    }
}

#[cfg(test)]
mod tests {
    use tollgate_results::outcome::Failure;

    use super::*;
    use crate::clock::Moment;
    use crate::probe::memory::{Virtual, run};

    const SECOND: u64 = 1_000_000_000;

    /// Takes so long for each request; none is answered where that is nothing.
    struct Known(u64, Virtual);

    impl Probe for Known {
        fn open(&mut self, _window: &Window<'_>) {}

        fn run(&mut self, window: &Window<'_>, recorder: &mut Recorder) {
            let mut now: Moment = window.start;
            while window.is_open(now) {
                self.1.wait_until(now.plus(self.0.max(10_000)));
                if self.0 == 0 {
                    recorder.failed(Failure::TimedOut);
                } else {
                    recorder.replied(self.0);
                }
                now = self.1.now();
            }
            recorder.counts_mut().finished = Some(now);
        }
    }

    #[test]
    fn each_visit_has_the_median_of_its_own_tuple() {
        let clock = Virtual::default();
        let delays = [20_000, 22_000, 0, 20_000];
        let probes = delays.map(|delay| Known(delay, clock.clone())).into();
        let mut sweep = Sweep::new(probes, clock.clone(), 7);
        let report = run(&mut sweep, &clock, SECOND);
        let tuples = report.outcome.sweep.unwrap().tuples;
        for (tuple, delay) in tuples.iter().zip(delays) {
            assert_eq!(tuple.medians_ns.len(), 32);
            let expected = (delay > 0).then_some(delay);
            assert!(tuple.medians_ns.iter().all(|&ns| ns == expected), "{delay}");
        }
        assert!(report.outcome.window_ns >= SECOND);
        assert!(report.outcome.window_ns < SECOND + SECOND / 100);
    }
}
