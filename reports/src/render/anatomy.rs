//! An anatomy as text for a terminal of 80 columns.

use super::layout::{self, Column, Side};
use super::{number, words};
use crate::anatomy::{
    Anatomy, ArmAnatomy, CountedPrograms, Difference, HopDifference, Judged, ProgramAnatomy,
    WayAnatomy, WayDifference,
};
use crate::model::{Estimate, Interval};
use tollgate_results::anatomy::Way;

/// Columns of the longest bar.
const BAR: f64 = 12.0;

/// Writes an anatomy as text.
#[must_use]
pub fn anatomy_text(anatomy: &Anatomy) -> String {
    let mut lines = head(anatomy);
    for difference in &anatomy.differences {
        for sentence in &difference.sentences {
            lines.push(String::new());
            lines.extend(layout::wrap(sentence, layout::WIDTH));
        }
    }
    for arm in &anatomy.arms {
        lines.push(String::new());
        lines.extend(of_arm(anatomy, arm));
    }
    for difference in &anatomy.differences {
        lines.push(String::new());
        lines.extend(of_difference(difference));
    }
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn head(anatomy: &Anatomy) -> Vec<String> {
    let subject = &anatomy.subject;
    let mut lines = layout::wrap(
        &format!("Anatomy of {}: {}", subject.scenario, subject.about),
        layout::WIDTH,
    );
    lines.extend(layout::wrap(&conduct(anatomy), layout::WIDTH));
    for skipped in &subject.skipped {
        let first = format!("skipped {}: ", skipped.arm);
        lines.extend(layout::hanging(&first, &skipped.reason));
    }
    lines
}

/// Says how it was measured, and what was taken off.
pub(super) fn conduct(anatomy: &Anatomy) -> String {
    let subject = &anatomy.subject;
    format!(
        "{} rounds of {} slices with the packet clock and without, CPU placement {}; seed {}. {}. Times are medians; \
         the clock's stated cost of {} ns an event and {} ns a packet is taken off the hops.",
        subject.rounds,
        number::duration(words::to_f64(subject.slice_ns)),
        subject.cpu.as_str(),
        subject.seed,
        subject.machine,
        subject.event_cost_ns,
        subject.packet_cost_ns,
    )
}

/// Microseconds in as few letters as tell hops apart: `0.31`, `12.3`, `123`.
pub(super) fn micros(ns: f64) -> String {
    let micros = ns / 1e3;
    match micros.abs() {
        size if size < 9.995 => format!("{micros:.2}"),
        size if size < 99.95 => format!("{micros:.1}"),
        _ => format!("{micros:.0}"),
    }
}

/// A difference, with its sign.
pub(super) fn signed(ns: f64) -> String {
    let text = micros(ns);
    if ns >= 0.0 { format!("+{text}") } else { text }
}

/// An interval in microseconds; nothing where there is none.
pub(super) fn interval(interval: Option<&Interval>) -> String {
    interval.map_or_else(String::new, |interval| {
        format!("[{}, {}]", micros(interval.low), micros(interval.high))
    })
}

/// Says what the clock did to round trips, in percent.
pub(super) fn effect(effect: Option<&Estimate>) -> String {
    effect.map_or_else(String::new, |effect| {
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        format!(
            " ({:+.1} % [{:.1}, {:.1}])",
            percent(effect.value),
            percent(effect.interval95.low),
            percent(effect.interval95.high)
        )
    })
}

/// Says whether the hops of an arm may be believed, and why not.
pub(super) fn judged(arm: &ArmAnatomy) -> String {
    match &arm.judged {
        Judged::Agrees => "agrees".to_owned(),
        Judged::Invalid(reasons) => format!("INVALID: {}", reasons.join("; ")),
    }
}

/// The figures by which the hops of an arm are checked.
pub(super) fn checked(arm: &ArmAnatomy) -> String {
    let known = |ns: Option<f64>| ns.map_or_else(|| number::UNKNOWN.to_owned(), number::micros);
    let off = arm
        .off
        .map_or_else(String::new, |off| format!(", {:+.1} % off", 100.0 * off));
    let less = arm.sum_ns.map(|sum| sum - arm.cost_ns);
    format!(
        "round trip {} without the clock, {} with it{}; sum of all hops {} less {} for the clock: {}{off}",
        known(arm.plain_ns),
        known(arm.clocked_ns),
        effect(arm.effect.as_ref()),
        known(arm.sum_ns),
        number::micros(arm.cost_ns),
        known(less),
    )
}

/// Says how many packets were followed, and what became of the others.
pub(super) fn followed(arm: &ArmAnatomy) -> String {
    let mut text = format!(
        "{} of {} exchanges followed, {} records lost",
        number::count(arm.joined),
        number::count(arm.exchanges),
        number::count(arm.lost)
    );
    if arm.given_up > 0 {
        text.push_str(", ");
        text.push_str(&number::count(arm.given_up));
        text.push_str(" packets given up");
    }
    text
}

/// What a way is called.
pub(super) const fn way(way: Way) -> &'static str {
    match way {
        Way::Request => "request, client to server",
        Way::Reply => "reply, server to client",
    }
}

/// What is said of a whole way.
pub(super) fn of_whole(one: &WayAnatomy) -> String {
    format!(
        "{} µs, {} points, {:.1} % of {} packets alike",
        micros(one.ns),
        one.events,
        100.0 * one.alike,
        number::count(one.trips)
    )
}

fn of_arm(anatomy: &Anatomy, arm: &ArmAnatomy) -> Vec<String> {
    let title = format!("{}, {} ({}): ", arm.arm, arm.followed, arm.description);
    let mut lines = layout::wrap(&format!("{title}{}", judged(arm)), layout::WIDTH);
    lines.extend(layout::hanging(
        "  ",
        &format!("{}; {}", checked(arm), followed(arm)),
    ));
    let longest = longest(anatomy, arm);
    for one in arm.ways.iter().filter(|one| !one.hops.is_empty()) {
        lines.push(String::new());
        lines.push(format!("  {}: {}", way(one.way), of_whole(one)));
        if !one.places.is_empty() {
            lines.extend(layout::hanging("  through ", &one.places.join(" → ")));
        }
        for hop in &one.hops {
            lines.push(hop_line(&hop.key.place, &hop.words, hop.ns, longest));
        }
    }
    lines.extend(arm.programs.iter().flat_map(of_programs));
    lines
}

/// What is said above the eBPF programs of an arm.
pub(super) fn counting(counted: &CountedPrograms) -> String {
    let round_trips = effect(counted.effect.as_ref());
    let round_trips = if round_trips.is_empty() {
        round_trips
    } else {
        format!("; what that did to round trips{round_trips}")
    };
    format!("eBPF programs, as the kernel timed their runs in slices of their own{round_trips}")
}

/// Nanoseconds of a program's run, and their interval.
pub(super) fn each(program: &ProgramAnatomy) -> (String, String) {
    let Some(ns) = program.ns else {
        return (number::UNKNOWN.to_owned(), String::new());
    };
    let whole = |ns: f64| format!("{ns:.0}");
    let interval = ns
        .interval
        .map(|interval| format!("[{}, {}]", whole(interval.low), whole(interval.high)));
    (whole(ns.median), interval.unwrap_or_default())
}

fn of_programs(counted: &CountedPrograms) -> Vec<String> {
    let mut lines = vec![String::new()];
    lines.extend(layout::hanging("  ", &counting(counted)));
    let column = |width, side| Column { width, side };
    let columns = [
        column(10, Side::Left),
        column(22, Side::Left),
        column(14, Side::Right),
        column(8, Side::Right),
        column(14, Side::Left),
    ];
    let head = ["place", "program", "runs", "ns a run", "95 %"].map(str::to_owned);
    let rows = counted.programs.iter().map(|program| {
        let (ns, interval) = each(program);
        [
            program.place.clone(),
            program.program.clone(),
            number::count(program.runs),
            ns,
            interval,
        ]
    });
    for cells in std::iter::once(head).chain(rows) {
        let row = layout::row(&columns, &cells, |_, text| text.to_owned());
        lines.extend(row.into_iter().map(|line| format!("  {line}")));
    }
    lines
}

/// The longest hop among all arms with the same traffic, so that their bars compare.
pub(super) fn longest(anatomy: &Anatomy, arm: &ArmAnatomy) -> f64 {
    anatomy
        .arms
        .iter()
        .filter(|other| other.followed == arm.followed)
        .flat_map(|other| &other.ways)
        .flat_map(|way| &way.hops)
        .map(|hop| hop.ns)
        .fold(1.0, f64::max)
}

fn hop_line(place: &str, words: &str, ns: f64, longest: f64) -> String {
    const COLUMNS: [Column; 4] = [
        Column {
            width: 19,
            side: Side::Left,
        },
        Column {
            width: 34,
            side: Side::Left,
        },
        Column {
            width: 5,
            side: Side::Right,
        },
        Column {
            width: 13,
            side: Side::Left,
        },
    ];
    let cells = [
        place.to_owned(),
        words.to_owned(),
        micros(ns),
        bar(ns / longest),
    ];
    let lines = layout::row(&COLUMNS, &cells, |_, text| text.to_owned());
    let lines: Vec<String> = lines.into_iter().map(|line| format!("  {line}")).collect();
    lines.join("\n")
}

/// A bar of eighths of a column.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a bar has at most a hundred eighths"
    )]
    let eighths = (share.clamp(0.0, 1.0) * BAR * 8.0).round() as usize;
    format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8])
}

fn of_difference(difference: &Difference) -> Vec<String> {
    let title = format!(
        "{} against {}, {}: {} µs {} a round trip without the clock, {} rounds",
        difference.arm,
        difference.reference,
        difference.followed,
        signed(difference.plain_ns),
        interval(difference.plain_interval95.as_ref()),
        difference.rounds,
    );
    let mut lines = layout::wrap(&title, layout::WIDTH);
    for one in &difference.ways {
        lines.push(String::new());
        lines.extend(of_way(one));
    }
    lines
}

fn of_way(one: &WayDifference) -> Vec<String> {
    let titles = [way(one.way), "there", "here", "more", "95 %"].map(str::to_owned);
    let mut lines = cells(&titles);
    for hop in &one.hops {
        lines.extend(cells(&difference_cells(hop)));
    }
    let total = [
        "all, µs".to_owned(),
        String::new(),
        String::new(),
        signed(one.ns),
        interval(one.interval95.as_ref()),
    ];
    lines.extend(cells(&total));
    lines
}

fn difference_cells(hop: &HopDifference) -> [String; 5] {
    let known = |ns: Option<f64>| ns.map_or_else(|| number::UNKNOWN.to_owned(), micros);
    [
        format!("{}: {}", hop.key.place, hop.words),
        known(hop.reference_ns),
        known(hop.arm_ns),
        signed(hop.ns),
        interval(hop.interval95.as_ref()),
    ]
}

fn cells(cells: &[String; 5]) -> Vec<String> {
    let left = |width| Column {
        width,
        side: Side::Left,
    };
    let right = |width| Column {
        width,
        side: Side::Right,
    };
    let columns = [left(42), right(5), right(4), right(5), left(14)];
    let lines = layout::row(&columns, cells, |_, text| text.to_owned());
    lines.into_iter().map(|line| format!("  {line}")).collect()
}
