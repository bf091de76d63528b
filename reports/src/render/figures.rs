//! The figures of the HTML report. Each says in its caption what it shows: metric, unit, arms, n, interval,
//! method.

mod forest;
mod history;
mod programming;
mod rounds;
mod scaling;
mod spectrum;
mod timeline;

use maud::{Markup, PreEscaped};
use tollgate_results::arm::Name;

pub(super) use forest::forest;
pub(super) use history::{MOST_DRAWN, history, legend_words};
pub(super) use programming::programming;
pub(super) use rounds::rounds;
pub(super) use scaling::panels;
pub(super) use spectrum::spectra;
pub(super) use timeline::{softirq, steal};

/// Nominal width of every figure in pixels: a phone shows it nearly at full size.
const WIDTH: u32 = 380;

/// A drawing with its caption.
pub(super) struct Figure {
    pub svg: PreEscaped<String>,
    pub caption: Markup,
}

/// Shortens a name in its middle: what tells names apart often stands at their end.
fn shortened(name: &Name, most: usize) -> String {
    let name = name.as_str();
    if name.len() <= most {
        return name.to_owned();
    }
    // Names are ASCII, so every index is a boundary.
    let tail = most / 2;
    let head = most - tail - 1;
    format!("{}…{}", &name[..head], &name[name.len() - tail..])
}

/// Says how many rounds a figure rests on.
fn rounds_words(rounds: u32) -> String {
    match rounds {
        1 => "n = 1 round".to_owned(),
        rounds => format!("n = {rounds} rounds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_name_keeps_its_end() {
        let name: Name = "iptables-legacy@10000".parse().unwrap();
        assert_eq!(shortened(&name, 17), "iptables…cy@10000");
        assert_eq!(shortened(&name, 30), "iptables-legacy@10000");
    }
}
