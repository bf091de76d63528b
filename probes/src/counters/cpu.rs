//! Parses per-CPU counters: times, soft interrupts and the packet backlog.

use std::collections::BTreeMap;

use tollgate_results::counters::CpuCounters;

const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// The CPUs of a reading, filled file by file. `/proc/stat` has just the CPUs that are online.
pub(super) struct Cpus(BTreeMap<u32, CpuCounters>);

impl Cpus {
    /// Takes the CPUs and their times from `/proc/stat`, whose unit is a tick of `USER_HZ`.
    pub(super) fn new(stat: Option<&str>, ticks_per_second: Option<u64>) -> Self {
        let tick_ns = ticks_per_second
            .filter(|&ticks| ticks > 0)
            .map(|ticks| NANOSECONDS_PER_SECOND / ticks);
        let lines = stat.unwrap_or_default().lines();
        Self(
            lines
                .filter_map(|line| times(line, tick_ns))
                .map(|cpu| (cpu.cpu, cpu))
                .collect(),
        )
    }

    /// Adds the backlog's counters from `/proc/net/softnet_stat`, one line per online CPU.
    ///
    /// Kernels since 5.10 name the CPU. Before, the lines are matched in order, if their number is right.
    pub(super) fn with_softnet(mut self, text: Option<&str>) -> Self {
        let rows: Vec<_> = text.unwrap_or_default().lines().map(softnet_row).collect();
        let online: Vec<u32> = self.0.keys().copied().collect();
        let in_order = rows.len() == online.len();
        for (place, row) in rows.iter().enumerate() {
            let unnamed = || online.get(place).copied().filter(|_| in_order);
            let Some(number) = row.cpu.or_else(unnamed) else {
                continue;
            };
            let cpu = self.entry(number);
            cpu.softnet_processed = row.processed;
            cpu.softnet_dropped = row.dropped;
            cpu.softnet_squeezed = row.squeezed;
        }
        self
    }

    /// Adds `NET_RX` and `NET_TX` from `/proc/softirqs`, which has a column for each *possible* CPU: those
    /// that the other files don't have are offline, and left out.
    pub(super) fn with_softirqs(mut self, text: Option<&str>) -> Self {
        let text = text.unwrap_or_default();
        let numbers: Vec<Option<u32>> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_ascii_whitespace()
            .map(|label| label.strip_prefix("CPU")?.parse().ok())
            .collect();
        let all = self.0.is_empty();
        let rx = softirq_row(text, "NET_RX:");
        let tx = softirq_row(text, "NET_TX:");
        for (column, number) in numbers.into_iter().enumerate() {
            let Some(number) = number.filter(|number| all || self.0.contains_key(number)) else {
                continue;
            };
            let cpu = self.entry(number);
            cpu.net_rx = rx.get(column).copied().flatten();
            cpu.net_tx = tx.get(column).copied().flatten();
        }
        self
    }

    /// Returns the CPUs by rising number.
    pub(super) fn into_vec(self) -> Vec<CpuCounters> {
        self.0.into_values().collect()
    }

    fn entry(&mut self, number: u32) -> &mut CpuCounters {
        self.0.entry(number).or_insert_with(|| CpuCounters {
            cpu: number,
            ..CpuCounters::default()
        })
    }
}

/// Returns the context switches of the whole kernel from `/proc/stat`.
pub(super) fn context_switches(stat: &str) -> Option<u64> {
    stat.lines()
        .find_map(|line| line.strip_prefix("ctxt "))?
        .trim()
        .parse()
        .ok()
}

/// Parses `cpuN user nice system idle iowait irq softirq steal guest guest_nice`; guest time is a part of
/// user time. A column that the kernel doesn't have is unknown.
fn times(line: &str, tick_ns: Option<u64>) -> Option<CpuCounters> {
    let mut words = line.split_ascii_whitespace();
    let cpu = words.next()?.strip_prefix("cpu")?.parse().ok()?;
    let columns: Vec<Option<u64>> = words
        .map(|word| word.parse::<u64>().ok()?.checked_mul(tick_ns?))
        .collect();
    let column = |index: usize| columns.get(index).copied().flatten();
    let sum = |a: usize, b: usize| column(a)?.checked_add(column(b)?);
    Some(CpuCounters {
        cpu,
        user_ns: sum(0, 1),
        system_ns: column(2),
        idle_ns: sum(3, 4),
        irq_ns: column(5),
        softirq_ns: column(6),
        steal_ns: column(7),
        ..CpuCounters::default()
    })
}

/// One line of `softnet_stat`: hexadecimal columns, of which the first three have been there always.
struct SoftnetRow {
    cpu: Option<u32>,
    processed: Option<u64>,
    dropped: Option<u64>,
    squeezed: Option<u64>,
}

/// Column of `softnet_stat` that holds the CPU's number, since Linux 5.10.
const SOFTNET_CPU_COLUMN: usize = 12;

fn softnet_row(line: &str) -> SoftnetRow {
    let columns: Vec<Option<u32>> = line
        .split_ascii_whitespace()
        .map(|word| u32::from_str_radix(word, 16).ok())
        .collect();
    let column = |index: usize| columns.get(index).copied().flatten();
    SoftnetRow {
        cpu: column(SOFTNET_CPU_COLUMN),
        processed: column(0).map(u64::from),
        dropped: column(1).map(u64::from),
        squeezed: column(2).map(u64::from),
    }
}

fn softirq_row(text: &str, label: &str) -> Vec<Option<u64>> {
    let row = text
        .lines()
        .find_map(|line| line.trim_start().strip_prefix(label));
    row.unwrap_or_default()
        .split_ascii_whitespace()
        .map(|word| word.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAT: &str = "\
cpu  7007 0 3564 197340 437 0 67 9 0 0
cpu0 2847 5 1512 99728 32 1 7 3 0 0
cpu2 4160 0 2051 97612 404 0 60 6 0 0
intr 208754 0 0
ctxt 419808
btime 1795355869
softirq 152978 0 17790 4 8520 59093 0 134 33523 0 33914
";

    const SOFTIRQS: &str = "                    CPU0       CPU1       CPU2
          HI:          0          0          0
      NET_TX:          4          0          9
      NET_RX:       3521          0       4999
";

    // Lines of CPU 0 and CPU 2; CPU 1 is offline.
    const SOFTNET: &str = "\
0000000a 00000001 00000002 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
000019af 00000000 00000003 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000002 00000000 00000000
";

    fn all(stat: &str, softnet: &str, softirqs: &str) -> Vec<CpuCounters> {
        Cpus::new(Some(stat), Some(100))
            .with_softnet(Some(softnet))
            .with_softirqs(Some(softirqs))
            .into_vec()
    }

    #[test]
    fn the_three_files_meet_on_the_number_of_the_cpu() {
        let cpus = all(STAT, SOFTNET, SOFTIRQS);
        let first = CpuCounters {
            cpu: 0,
            user_ns: Some(28_520_000_000),
            system_ns: Some(15_120_000_000),
            irq_ns: Some(10_000_000),
            softirq_ns: Some(70_000_000),
            steal_ns: Some(30_000_000),
            idle_ns: Some(997_600_000_000),
            net_rx: Some(3521),
            net_tx: Some(4),
            softnet_processed: Some(10),
            softnet_dropped: Some(1),
            softnet_squeezed: Some(2),
        };
        assert_eq!(cpus[0], first);
        assert_eq!(cpus.len(), 2, "the offline CPU is left out");
        assert_eq!(cpus[1].cpu, 2);
        assert_eq!(cpus[1].net_rx, Some(4999));
        assert_eq!(cpus[1].softnet_processed, Some(0x19af));
        assert_eq!(context_switches(STAT), Some(419_808));
    }

    #[test]
    fn lines_of_an_older_kernel_are_matched_in_order_if_their_number_is_right() {
        let two = "0000000a 00000001 00000002 0 0 0 0 0 0 0 0\n0000000b 0 0 0 0 0 0 0 0 0 0\n";
        let cpus = all(STAT, two, "");
        assert_eq!(cpus[1].cpu, 2);
        assert_eq!(cpus[1].softnet_processed, Some(11));

        let one = "0000000a 00000001 00000002 0 0 0 0 0 0 0 0\n";
        let cpus = all(STAT, one, "");
        assert!(cpus.iter().all(|cpu| cpu.softnet_processed.is_none()));
    }

    #[test]
    fn a_column_that_the_kernel_lacks_is_unknown() {
        let cpus = all("cpu0 1 2 3 4\n", "", "");
        assert_eq!(cpus[0].user_ns, Some(30_000_000));
        assert_eq!(cpus[0].steal_ns, None);
        assert_eq!(cpus[0].idle_ns, None);
        assert_eq!(cpus[0].net_rx, None);
        assert_eq!(context_switches("cpu0 1 2\n"), None);
    }

    #[test]
    fn times_without_a_known_tick_are_unknown() {
        let cpus = Cpus::new(Some(STAT), None).into_vec();
        assert_eq!(cpus.len(), 2);
        assert!(cpus.iter().all(|cpu| cpu.user_ns.is_none()));
    }

    #[test]
    fn without_proc_stat_the_other_files_still_count() {
        let cpus = Cpus::new(None, Some(100))
            .with_softnet(Some(SOFTNET))
            .with_softirqs(Some(SOFTIRQS))
            .into_vec();
        assert_eq!(cpus.len(), 2);
        assert_eq!(cpus[1].net_tx, Some(9));
        assert_eq!(cpus[1].steal_ns, None);
    }

    proptest! {
        #[test]
        fn garbage_never_panics(stat: String, softnet: String, softirqs: String) {
            all(&stat, &softnet, &softirqs);
            context_switches(&stat);
        }

        #[test]
        fn broken_files_never_panic(
            place in any::<prop::sample::Index>(),
            with in "\\PC{0,4}|[0-9a-fx -]{0,30}",
        ) {
            let broken = |text: &str| {
                let mut text = text.to_owned();
                let place = place.index(text.len());
                text.replace_range(place.., &with);
                text
            };
            all(&broken(STAT), &broken(SOFTNET), &broken(SOFTIRQS));
            context_switches(&broken(STAT));
        }

        #[test]
        fn huge_values_are_unknown_rather_than_wrapped(value in u64::MAX / 10_000_000 + 1..) {
            let cpus = all(&format!("cpu0 {value} {value} {value} 1 2\n"), "", "");
            prop_assert_eq!(cpus[0].user_ns, None);
            prop_assert_eq!(cpus[0].system_ns, None);
        }
    }
}
