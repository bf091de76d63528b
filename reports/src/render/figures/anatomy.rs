//! Waterfalls: where a packet's time goes, hop by hop, and what makes two arms differ.

use maud::html;

use super::super::anatomy as text;
use super::super::palette::Mark;
use super::super::svg::{self, Anchor, Axis, Canvas, Ink, Margins, Plot};
use super::super::words;
use super::{Figure, WIDTH};
use crate::anatomy::{Anatomy, ArmAnatomy, Difference, HopAnatomy, WayAnatomy, WayDifference};

/// Height of a row: a line of text above a bar.
const ROW: u32 = 32;

/// Height of a bar.
const BAR: f64 = 9.0;

const MARGINS: Margins = Margins {
    left: 8.0,
    right: 12.0,
    top: 8.0,
    bottom: 40.0,
};

/// Draws one way of an arm: each hop starts where the one before ends. `longest_ns` is the end of the axis.
pub(in crate::render) fn waterfall(arm: &ArmAnatomy, way: &WayAnatomy, longest_ns: f64) -> Figure {
    let label = format!("{} of {}, {}", text::way(way.way), arm.arm, arm.followed);
    let axis = Axis::from_zero(
        "µs since the send call, the clock's cost taken off",
        &[longest_ns / 1e3],
    );
    let svg = rows(&way.hops, &label, axis, |canvas, plot, lane, index| {
        let hop = &way.hops[index];
        let before: f64 = way.hops[..index].iter().map(|hop| hop.ns).sum();
        let (from, to) = (before / 1e3, (before + hop.ns) / 1e3);
        let ink = Ink::Arm(place_colour(&way.hops, hop));
        let (left, right) = plot.sides();
        canvas.text(
            (left, lane),
            &line(&hop.key.place, &hop.words),
            Anchor::Left,
            Ink::Text,
        );
        canvas.text(
            (right, lane),
            &text::micros(hop.ns),
            Anchor::Right,
            Ink::Text,
        );
        let top = lane + 8.0;
        let (from, to) = (plot.at(from, 0.0).0, plot.at(to, 0.0).0);
        canvas.fill((from, top), (to.max(from + 1.0), top + BAR), ink);
    });
    let caption = html! {
        b { (arm.arm) ", " (arm.followed) ", " (text::way(way.way)) }
        ": " (text::of_whole(way)) ". Each bar is a hop, in µs: the median of all packets on the most frequent path, less "
        "the clock's stated cost. It starts where the hop above it ends; a colour is a place."
    };
    Figure {
        name: format!("anatomy-{}-{}-{}", arm.arm, arm.followed, way.way.as_str()),
        svg,
        caption,
        key: Vec::new(),
    }
}

/// Draws what makes two arms differ on one way.
pub(in crate::render) fn hop_differences(difference: &Difference, way: &WayDifference) -> Figure {
    let reach = way.hops.iter().flat_map(|hop| {
        let interval = hop.interval95.iter();
        interval
            .flat_map(|interval| [interval.low, interval.high])
            .chain([hop.ns])
    });
    let mut reach: Vec<f64> = reach
        .filter(|ns| ns.is_finite())
        .map(|ns| ns / 1e3)
        .collect();
    reach.push(0.0);
    let axis = Axis::linear("µs more (right) or less (left) than the reference", &reach);
    let label = format!(
        "{} against {}, {}, by hop",
        difference.arm,
        difference.reference,
        text::way(way.way)
    );
    let svg = rows(&way.hops, &label, axis, |canvas, plot, lane, index| {
        let hop = &way.hops[index];
        let (left, right) = plot.sides();
        canvas.text(
            (left, lane),
            &line(&hop.key.place, &hop.words),
            Anchor::Left,
            Ink::Text,
        );
        canvas.text(
            (right, lane),
            &text::signed(hop.ns),
            Anchor::Right,
            Ink::Text,
        );
        let top = lane + 8.0;
        let (zero, end) = (plot.at(0.0, 0.0).0, plot.at(hop.ns / 1e3, 0.0).0);
        let (from, to) = (zero.min(end), zero.max(end).max(zero.min(end) + 1.0));
        let colour = if hop.ns > 0.0 { 1 } else { 2 };
        canvas.fill((from, top), (to, top + BAR), Ink::Arm(colour));
        if let Some(interval) = &hop.interval95 {
            let at = |ns: f64| plot.at(ns / 1e3, 0.0).0;
            let middle = top + BAR / 2.0;
            let (low, high) = (at(interval.low), at(interval.high));
            canvas.line(&[(low, middle), (high, middle)], Ink::Text, 1.4);
            for end in [low, high] {
                canvas.line(&[(end, middle - 3.0), (end, middle + 3.0)], Ink::Text, 1.4);
            }
        }
    });
    let caption = html! {
        b { (difference.arm) " against " (difference.reference) ", " (difference.followed) ", " (text::way(way.way)) }
        ": " (text::signed(way.ns)) " µs " (text::interval(way.interval95.as_ref())) " in all, by hop. The difference of the "
        "rounds' medians, Hodges-Lehmann, n = " (difference.rounds) " rounds, with its exact 95 % interval. A hop that one "
        "arm lacks counts as 0 there."
    };
    Figure {
        name: format!(
            "difference-{}-{}-{}-{}",
            difference.arm,
            difference.reference,
            difference.followed,
            way.way.as_str()
        ),
        svg,
        caption,
        key: Vec::new(),
    }
}

/// The end of the axis that all waterfalls of one traffic share, in nanoseconds.
pub(in crate::render) fn longest_way(anatomy: &Anatomy, arm: &ArmAnatomy) -> f64 {
    let alike = anatomy
        .arms
        .iter()
        .filter(|other| other.followed == arm.followed);
    alike
        .flat_map(|other| &other.ways)
        .map(|way| way.hops.iter().map(|hop| hop.ns).sum::<f64>())
        .fold(1.0, f64::max)
}

/// Draws an axis with one row for each item.
fn rows<T>(
    items: &[T],
    label: &str,
    axis: Axis,
    paint: impl Fn(&Canvas<'_>, &Plot<'_, '_>, f64, usize),
) -> svg::Drawing {
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX).min(1000);
    let height = count * ROW + 48;
    let y = Axis {
        low: 0.0,
        high: 1.0,
        logarithmic: false,
        ticks: Vec::new(),
        title: String::new(),
    };
    svg::draw(WIDTH, height, label, |canvas| {
        let plot = Plot::new(canvas, (WIDTH, height), MARGINS, axis, y);
        for index in 0..items.len().min(1000) {
            let row = words::to_f64(index as u64);
            let lane = MARGINS.top + row * f64::from(ROW) + 8.0;
            paint(canvas, &plot, lane, index);
        }
    })
}

/// What a row says: short enough to leave room for its figure.
fn line(place: &str, words: &str) -> String {
    const MOST: usize = 46;
    let text = format!("{place}: {words}");
    if text.chars().count() <= MOST {
        return text;
    }
    let head: String = text.chars().take(MOST - 1).collect();
    format!("{head}…")
}

/// The colour of a hop's place: places have theirs in the order in which the packet comes to them.
fn place_colour(hops: &[HopAnatomy], hop: &HopAnatomy) -> usize {
    let mut places: Vec<&str> = Vec::new();
    for hop in hops {
        if !places.contains(&hop.key.place.as_str()) {
            places.push(&hop.key.place);
        }
    }
    let place = places.iter().position(|place| *place == hop.key.place);
    Mark::nth(place.unwrap_or(0)).colour
}
