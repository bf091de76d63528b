//! The figures of the HTML report. Each says in its caption what it shows: metric, unit, arms, n, interval,
//! method.

mod anatomy;
mod claim;
mod curve;
mod forest;
mod grid;
mod heat;
mod history;
mod programming;
mod ratio;
mod rounds;
mod scaling;
mod spectrum;
mod timeline;

use maud::Markup;
use tollgate_results::arm::Name;

use super::legend::Legend;
use super::palette::Mark;
use super::svg::Drawing;

pub(super) use anatomy::{hop_differences, longest_way, waterfall};
pub(super) use claim::claim;
pub(super) use curve::curves;
pub(super) use forest::forest;
pub(super) use grid::grid;
pub(super) use heat::heat;
pub(super) use history::{MOST_DRAWN, history, legend_words};
pub(super) use programming::programming;
pub(super) use rounds::rounds;
pub(super) use scaling::panels;
pub(super) use spectrum::spectra;
pub(super) use timeline::timeline;

/// Nominal width of every figure in pixels: a phone shows it nearly at full size.
const WIDTH: u32 = 380;

/// A drawing with its caption.
pub(super) struct Figure {
    /// What a file of it is called, without the ending.
    pub name: String,
    pub svg: Drawing,
    pub caption: Markup,
    /// Names with their marks, where the drawing itself doesn't name them.
    pub key: Vec<(Name, Mark)>,
}

/// The marks of arms, each once.
fn key<'a>(legend: &Legend, arms: impl IntoIterator<Item = &'a Name>) -> Vec<(Name, Mark)> {
    let mut key: Vec<(Name, Mark)> = Vec::new();
    for arm in arms {
        if !key.iter().any(|(known, _)| known == arm) {
            key.push((arm.clone(), legend.arm(arm)));
        }
    }
    key
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
