//! The picture of labs: machines side by side, pods inside them, devices as cards, wires between.
//!
//! Wires within a machine run in lanes at its left side; those between machines in lanes of the gap between them, or below
//! all where others stand between. Each has a lane of its own, so none runs over another or over text.

mod lanes;

use std::collections::BTreeMap;

use tollgate_results::lab_state::{ArmState, LabState};

use self::lanes::{Lanes, Way};
use super::super::layout;
use super::super::words::to_f64;
use super::boxes::{self, End, Frame, Joint, Kind, Line};
use super::sheet::{Area, MARGIN, SMALL, Sheet, TEXT, TITLE, wide};
use super::words;

/// Room between text and the border around it.
const PAD: f64 = 10.0;
/// Room between boxes.
const APART: f64 = 8.0;
/// Room between arms.
const ARMS_APART: f64 = 36.0;
/// Distance from one line of text to the next.
const LEADING: f64 = 17.0;
/// Room between a badge's text and its ends.
const BADGE: f64 = 5.0;
/// Width of a lane.
const LANE: f64 = 9.0;
/// Room between machines without any lane.
const GAP: f64 = 24.0;
/// Most letters of a line above or below the machines.
const LETTERS: usize = 100;

/// Draws labs as one SVG, for light and dark.
#[must_use]
pub fn picture(labs: &[LabState]) -> String {
    let mut sheet = Sheet::default();
    let mut top = MARGIN;
    for lab in labs {
        for arm in &lab.arms {
            top = draw_arm(&mut sheet, lab.name.as_str(), arm, top) + ARMS_APART;
        }
        if let Some(netfilter) = words::netfilter(&lab.netfilter) {
            top = paragraph(&mut sheet, top, TEXT, "plain", &netfilter) + APART;
        }
    }
    draw_key(&mut sheet, top);
    let names: Vec<&str> = labs.iter().map(|lab| lab.name.as_str()).collect();
    sheet.finish(&format!("What stands in {}", names.join(", ")))
}

/// Draws an arm and returns where it ends.
fn draw_arm(sheet: &mut Sheet, lab: &str, arm: &ArmState, top: f64) -> f64 {
    let mut y = paragraph(sheet, top, TITLE, "name", &words::title(lab, arm));
    y = paragraph(sheet, y, TEXT, "aside", &words::ends(arm));
    for remark in words::remarks(arm) {
        y = paragraph(sheet, y, TEXT, "fault", &remark);
    }
    let machines = boxes::machines(arm);
    let lanes = Lanes::of(&machines, boxes::wires(arm));
    let mut plan = Plan {
        sheet,
        cards: BTreeMap::new(),
        machines: Vec::new(),
    };
    let top = y + APART;
    let mut left = MARGIN;
    let mut bottom = top;
    for (index, machine) in machines.iter().enumerate() {
        let gutter = PAD + LANE * count(lanes.inside(index));
        let width = content(machine);
        let inner = (left + gutter, width);
        let outer = (left, gutter + width + PAD);
        bottom = bottom.max(plan.draw(machine, "machine", outer, inner, top));
        plan.machines.push((left + outer.1, left + gutter));
        left += outer.1 + GAP + LANE * count(lanes.beside(index));
    }
    let below = bottom + APART;
    for (wire, way) in &lanes.wires {
        plan.wire(&wire.ends, wire.joint, *way, below);
    }
    below + LANE * count(lanes.below())
}

/// Writes a paragraph and returns where it ends.
fn paragraph(sheet: &mut Sheet, top: f64, size: f64, class: &str, text: &str) -> f64 {
    let mut y = top;
    for line in layout::wrap(text, LETTERS) {
        y += size + 5.0;
        sheet.text((MARGIN, y - 4.0), size, class, &line);
    }
    y
}

/// Says what the lines and badges mean.
fn draw_key(sheet: &mut Sheet, top: f64) {
    let y = top + LEADING;
    let mut x = MARGIN;
    for (class, words) in [
        ("pair", "two ends of a pair"),
        ("part", "port of a bridge, or carried by"),
        ("line", "a line with delay, rate and loss"),
    ] {
        sheet.wire(class, &[(x, y - 4.0), (x + 34.0, y - 4.0)]);
        sheet.text((x + 40.0, y), SMALL, "aside", words);
        x += 40.0 + wide(words, SMALL) + 2.0 * PAD;
    }
    for (kind, words) in [(Kind::Program, "eBPF program"), (Kind::Rules, "rules")] {
        let line = Line {
            kind,
            text: words.to_owned(),
        };
        write(sheet, &line, x, y - TEXT);
        x += width(&line) + PAD;
    }
}

/// An arm as it is drawn.
struct Plan<'a> {
    sheet: &'a mut Sheet,
    /// The cards, each with how many wires end at its left and right side so far.
    cards: BTreeMap<End, (Area, [usize; 2])>,
    /// Right border of each machine, and where its contents begin.
    machines: Vec<(f64, f64)>,
}

impl Plan<'_> {
    /// Draws a frame with what is in it, and returns where it ends. Left and width of the frame, and of its contents.
    fn draw(
        &mut self,
        frame: &Frame,
        class: &str,
        outer: (f64, f64),
        inner: (f64, f64),
        top: f64,
    ) -> f64 {
        let behind = self.sheet.reserve();
        let mut y = top + PAD + TEXT;
        self.sheet
            .text((inner.0, y - 2.0), TEXT, "name", &frame.place);
        y += APART;
        for pod in &frame.pods {
            let within = (inner.0 + PAD, inner.1 - 2.0 * PAD);
            y = self.draw(pod, "pod", inner, within, y) + APART;
        }
        for card in &frame.cards {
            let area = Area {
                left: inner.0,
                top: y,
                width: inner.1,
                height: LEADING * count(card.lines.len()) + PAD,
            };
            let class = if card.gone { "gone" } else { "card" };
            self.sheet.card(class, area);
            self.lines(&card.lines, inner.0 + PAD, y + PAD / 2.0);
            let key = (frame.place.clone(), card.device.clone());
            self.cards.insert(key, (area, [0, 0]));
            y = area.bottom() + APART;
        }
        self.lines(&frame.lines, inner.0, y);
        y += LEADING * count(frame.lines.len());
        let area = Area {
            left: outer.0,
            top,
            width: outer.1,
            height: y + PAD / 2.0 - top,
        };
        self.sheet.frame(behind, class, area);
        area.bottom()
    }

    fn lines(&mut self, lines: &[Line], left: f64, top: f64) {
        for (index, line) in lines.iter().enumerate() {
            write(self.sheet, line, left, top + LEADING * count(index));
        }
    }

    /// Draws a wire on its way; `below` is where the lanes below all machines begin.
    fn wire(&mut self, ends: &[End; 2], joint: Joint, way: Way, below: f64) {
        let class = match joint {
            Joint::Pair => "pair",
            Joint::Part => "part",
            Joint::Line => "line",
        };
        let (from, to) = match way {
            Way::Inside { .. } => (self.end(&ends[0], 0), self.end(&ends[1], 0)),
            Way::Beside { .. } => (self.end(&ends[0], 1), self.end(&ends[1], 0)),
            Way::Below { .. } => (self.end(&ends[0], 1), self.end(&ends[1], 1)),
        };
        let (Some(from), Some(to)) = (from, to) else {
            return;
        };
        let points = match way {
            Way::Inside { machine, lane } => {
                let edge = self.machines.get(machine).map_or(0.0, |machine| machine.1);
                let x = edge - LANE * (count(lane) + 0.75);
                vec![from, (x, from.1), (x, to.1), to]
            }
            Way::Beside { gap, lane } => {
                let x = self.in_gap(gap, lane);
                vec![from, (x, from.1), (x, to.1), to]
            }
            Way::Below { gaps, lane } => {
                let y = below + LANE * (count(lane) + 0.5);
                let [first, second] = gaps.map(|(gap, lane)| self.in_gap(gap, lane));
                vec![
                    from,
                    (first, from.1),
                    (first, y),
                    (second, y),
                    (second, to.1),
                    to,
                ]
            }
        };
        self.sheet.wire(class, &points);
    }

    /// Returns where a wire meets a card's left side (0) or right side (1), below those that end there already.
    fn end(&mut self, end: &End, side: usize) -> Option<(f64, f64)> {
        let (area, ends) = self.cards.get_mut(end)?;
        let taken = ends.get_mut(side)?;
        let y = (area.top + PAD + 6.0 * count(*taken)).min(area.bottom() - 4.0);
        *taken += 1;
        let x = if side == 0 { area.left } else { area.right() };
        Some((x, y))
    }

    fn in_gap(&self, gap: usize, lane: usize) -> f64 {
        let edge = self.machines.get(gap).map_or(0.0, |machine| machine.0);
        edge + GAP / 2.0 + LANE * count(lane)
    }
}

/// Writes a line of text, as a badge where it is one.
fn write(sheet: &mut Sheet, line: &Line, left: f64, top: f64) {
    let bottom = top + TEXT;
    let (size, class) = look(line.kind);
    let badge = match line.kind {
        Kind::Program => "program",
        Kind::Rules => "rules",
        _ => return sheet.text((left, bottom), size, class, &line.text),
    };
    let area = Area {
        left,
        top: top + 0.5,
        width: width(line),
        height: LEADING - 2.0,
    };
    sheet.badge(badge, area);
    sheet.text((left + BADGE, bottom), size, class, &line.text);
}

/// Size and class of text.
const fn look(kind: Kind) -> (f64, &'static str) {
    match kind {
        Kind::Name => (TEXT, "name"),
        Kind::Plain => (TEXT, "plain"),
        Kind::Aside => (SMALL, "aside"),
        Kind::Program => (SMALL, "on-program"),
        Kind::Rules => (SMALL, "on-rules"),
        Kind::Fault => (TEXT, "fault"),
    }
}

/// Width of a line of text, of its badge where it is one.
fn width(line: &Line) -> f64 {
    let text = wide(&line.text, look(line.kind).0);
    match line.kind {
        Kind::Program | Kind::Rules => text + 2.0 * BADGE,
        _ => text,
    }
}

/// Width of what is in a frame.
fn content(frame: &Frame) -> f64 {
    let cards = frame.cards.iter().flat_map(|card| &card.lines);
    let cards = cards.map(|line| width(line) + 2.0 * PAD);
    let pods = frame.pods.iter().map(|pod| content(pod) + 2.0 * PAD);
    let lines = frame.lines.iter().map(width);
    let all = cards.chain(pods).chain(lines);
    all.fold(wide(&frame.place, TEXT), f64::max)
}

fn count(count: usize) -> f64 {
    to_f64(count as u64)
}
