//! Parses what the scheduler counts: stall times of the kernel, and times and switches of threads.

use tollgate_results::counters::{Pressure, ThreadCounters};

/// Returns the `total` of the `some` line of a file in `/proc/pressure`, in microseconds.
pub(super) fn some_total(text: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("some "))?
        .split_ascii_whitespace()
        .find_map(|word| word.strip_prefix("total="))?
        .parse()
        .ok()
}

/// Joins the three totals; `None` where the kernel shows none of them.
pub(super) fn pressure(cpu: Option<u64>, memory: Option<u64>, io: Option<u64>) -> Option<Pressure> {
    cpu.or(memory).or(io)?;
    Some(Pressure {
        cpu_some_us: cpu,
        memory_some_us: memory,
        io_some_us: io,
    })
}

/// Parses one thread's `schedstat` (time on a CPU, time waiting for one, both in ns, and times scheduled)
/// and `status` (switches).
///
/// A kernel that keeps no such statistics shows three zeros; a thread that exists has been scheduled, so
/// they are taken for what they are: unknown.
pub(super) fn thread(schedstat: &str, status: Option<&str>) -> Option<ThreadCounters> {
    let mut words = schedstat
        .split_ascii_whitespace()
        .map(|word| word.parse::<u64>().ok());
    let (cpu_ns, run_queue_wait_ns, scheduled) = (words.next()??, words.next()??, words.next()??);
    if cpu_ns == 0 && run_queue_wait_ns == 0 && scheduled == 0 {
        return None;
    }
    let switches = |label: &str| {
        let line = status?.lines().find_map(|line| line.strip_prefix(label))?;
        line.trim().parse().ok()
    };
    Some(ThreadCounters {
        threads: 1,
        cpu_ns,
        run_queue_wait_ns,
        voluntary_switches: switches("voluntary_ctxt_switches:"),
        involuntary_switches: switches("nonvoluntary_ctxt_switches:"),
    })
}

/// Sums threads. `None` without a thread, and if one of them is unknown: a part would pass for the whole.
pub(super) fn sum(
    mut threads: impl Iterator<Item = Option<ThreadCounters>>,
) -> Option<ThreadCounters> {
    let first = threads.next()??;
    threads.try_fold(first, |sum, thread| {
        let thread = thread?;
        let add = |a: Option<u64>, b: Option<u64>| a?.checked_add(b?);
        Some(ThreadCounters {
            threads: sum.threads.checked_add(1)?,
            cpu_ns: sum.cpu_ns.checked_add(thread.cpu_ns)?,
            run_queue_wait_ns: sum
                .run_queue_wait_ns
                .checked_add(thread.run_queue_wait_ns)?,
            voluntary_switches: add(sum.voluntary_switches, thread.voluntary_switches),
            involuntary_switches: add(sum.involuntary_switches, thread.involuntary_switches),
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATUS: &str = "\
Name:\ttollgate-probe
Mems_allowed_list:\t0
voluntary_ctxt_switches:\t12
nonvoluntary_ctxt_switches:\t3
";

    #[test]
    fn the_total_of_some_is_taken_never_an_average() {
        let text = "some avg10=2.41 avg60=1.33 avg300=0.68 total=10537432\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(some_total(text), Some(10_537_432));
        assert_eq!(some_total("full avg10=0.00 total=7\n"), None);
    }

    #[test]
    fn a_kernel_without_pressure_says_nothing() {
        assert_eq!(pressure(None, None, None), None);
        let some = pressure(Some(1), None, None).unwrap();
        assert_eq!(some.cpu_some_us, Some(1));
        assert_eq!(some.io_some_us, None);
    }

    #[test]
    fn threads_are_summed() {
        let one = thread("1000 20 7\n", Some(STATUS));
        let other = thread("500 3 1\n", Some(STATUS));
        let expected = ThreadCounters {
            threads: 2,
            cpu_ns: 1500,
            run_queue_wait_ns: 23,
            voluntary_switches: Some(24),
            involuntary_switches: Some(6),
        };
        assert_eq!(sum([one, other].into_iter()), Some(expected));
        assert_eq!(sum(std::iter::empty()), None);
    }

    #[test]
    fn a_part_never_passes_for_the_whole() {
        let one = || thread("1000 20 7\n", Some(STATUS));
        assert_eq!(sum([one(), None].into_iter()), None);
        assert_eq!(sum([None, one()].into_iter()), None);
        let without_switches = thread("1000 20 7\n", None);
        let both = sum([one(), without_switches].into_iter()).unwrap();
        assert_eq!(both.cpu_ns, 2000);
        assert_eq!(both.voluntary_switches, None);
    }

    #[test]
    fn three_zeros_mean_that_the_kernel_does_not_count() {
        assert_eq!(thread("0 0 0\n", Some(STATUS)), None);
        assert_eq!(thread("", Some(STATUS)), None);
        assert_eq!(thread("1 2\n", Some(STATUS)), None);
        assert_eq!(thread("1 -2 3\n", Some(STATUS)), None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(a: String, b: String) {
            some_total(&a);
            sum([thread(&a, Some(&b)), thread("1 2 3", Some(&a))].into_iter());
        }

        #[test]
        fn sums_never_wrap(a: u64, b: u64) {
            let of = |value: u64| thread(&format!("{value} {value} 1"), None);
            let sum = sum([of(a), of(b)].into_iter());
            prop_assert_eq!(sum.map(|sum| sum.cpu_ns), a.checked_add(b));
        }
    }
}
