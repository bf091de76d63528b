//! Whether the line between the nodes carried the packets, and whether a table that is declared full refused any.

use tollgate_results::arm::Datapath;
use tollgate_results::evidence::DatapathCounters;
use tollgate_results::kernel::ConntrackTable;
use tollgate_results::workload::{Connections, Traffic, Workload};

use super::{Finding, LINE, TABLE};
use crate::words;

/// Judges the line: the requests entered it, and it lost none for want of memory.
pub(super) fn line(
    declared: &Datapath,
    counters: &DatapathCounters,
    packets: u64,
) -> Option<Finding> {
    declared.line?;
    let Some(line) = counters.line else {
        return Some(Finding::unknown(
            LINE,
            "the line's packets could not be counted".to_owned(),
        ));
    };
    let unroomed = line.there.unroomed.saturating_add(line.back.unroomed);
    if unroomed > 0 {
        let text = format!(
            "the line had no memory for {} packets, which it lost beside what it is set to lose; set a rate, or a shorter delay",
            words::count(unroomed)
        );
        return Some(Finding::of(LINE, false, text));
    }
    let crossed = line.there.entered;
    let text = if crossed >= packets {
        let (lost, full) = (
            line.there.lost.saturating_add(line.back.lost),
            line.there.overflowed.saturating_add(line.back.overflowed),
        );
        format!(
            "the requests crossed the line; in such a slice it lost {} packets by chance and {} at its queue",
            words::count(lost),
            words::count(full)
        )
    } else {
        format!(
            "only {} packets crossed the line where at least {} must",
            words::count(crossed),
            words::count(packets)
        )
    };
    Some(Finding::of(LINE, crossed >= packets, text))
}

/// Judges a table that is declared full by what it refused. Connections that stand are never refused.
pub(super) fn table(
    declared: &Datapath,
    workload: &Workload,
    counters: &DatapathCounters,
) -> Option<Finding> {
    let connects = match &workload.traffic {
        Traffic::TcpCrr { .. } => true,
        Traffic::Http(http) => http.connections == Connections::New,
        _ => false,
    };
    if declared.kernel.conntrack != ConntrackTable::Full || !connects {
        return None;
    }
    let client = counters
        .conntrack_refusals
        .iter()
        .find(|node| node.node == "a");
    let Some(client) = client else {
        let text = "what the table refused could not be counted".to_owned();
        return Some(Finding::unknown(TABLE, text));
    };
    let text = if client.dropped > 0 {
        format!(
            "in such a slice the full table dropped {} packets of new connections",
            words::count(client.dropped)
        )
    } else {
        "declared full, but it dropped no packet".to_owned()
    };
    Some(Finding::of(TABLE, client.dropped > 0, text))
}

#[cfg(test)]
mod tests {
    use tollgate_results::evidence::ConntrackRefusals;
    use tollgate_results::kernel::Kernel;
    use tollgate_results::line::{Line, LineCounters, LineDirection};
    use tollgate_results::units::Bytes;
    use tollgate_results::workload::{Close, Cpu, Load};

    use super::*;
    use crate::model::Judgement;

    fn judged(finding: Option<Finding>) -> Option<Judgement> {
        finding.map(|finding| finding.judgement)
    }

    #[test]
    fn a_line_that_no_packet_crossed_is_none() {
        let declared = Datapath {
            line: Some(Line::default()),
            ..Datapath::default()
        };
        let seen = |entered, unroomed| DatapathCounters {
            line: Some(LineCounters {
                there: LineDirection {
                    entered,
                    unroomed,
                    ..LineDirection::default()
                },
                ..LineCounters::default()
            }),
            ..DatapathCounters::default()
        };
        assert_eq!(
            judged(line(&declared, &seen(10, 0), 10)),
            Some(Judgement::Ok)
        );
        assert_eq!(
            judged(line(&declared, &seen(9, 0), 10)),
            Some(Judgement::Contradicts)
        );
        assert_eq!(
            judged(line(&declared, &seen(10, 1), 10)),
            Some(Judgement::Contradicts)
        );
        let unread = DatapathCounters::default();
        assert_eq!(
            judged(line(&declared, &unread, 10)),
            Some(Judgement::Unknown)
        );
        assert_eq!(judged(line(&Datapath::default(), &seen(0, 0), 10)), None);
    }

    #[test]
    fn a_full_table_refuses_new_connections() {
        let declared = Datapath {
            kernel: Kernel {
                conntrack: ConntrackTable::Full,
                ..Kernel::default()
            },
            ..Datapath::default()
        };
        let workload = |traffic| Workload {
            name: "w".parse().unwrap(),
            traffic,
            load: Load::Closed,
            timestamps: false,
            ports: None,
            cpu: Cpu::Shared,
            beside: None,
        };
        let payload = Bytes(64);
        let crr = workload(Traffic::TcpCrr {
            payload,
            close: Close::Rst,
        });
        let rr = workload(Traffic::TcpRr { payload });
        let seen = |dropped| DatapathCounters {
            conntrack_refusals: vec![ConntrackRefusals {
                node: "a".to_owned(),
                dropped,
                ..ConntrackRefusals::default()
            }],
            ..DatapathCounters::default()
        };
        assert_eq!(
            judged(table(&declared, &crr, &seen(3))),
            Some(Judgement::Ok)
        );
        assert_eq!(
            judged(table(&declared, &crr, &seen(0))),
            Some(Judgement::Contradicts)
        );
        assert_eq!(judged(table(&declared, &rr, &seen(0))), None);
        assert_eq!(judged(table(&Datapath::default(), &crr, &seen(0))), None);
    }
}
