//! The HTML page: self-contained, well-formed, legible, and small enough to send.

use std::collections::{BTreeMap, BTreeSet};

use tollgate_reports::model::Analysis;
use tollgate_reports::render::Html;
use tollgate_reports::synthetic::Synthetic;
use tollgate_reports::{analyse, describe};

use crate::render::{analyses, text};

/// Elements without an end tag.
const VOID: [&str; 3] = ["meta", "link", "br"];

/// One tag of a page.
struct Tag<'a> {
    name: &'a str,
    attributes: BTreeMap<&'a str, &'a str>,
    closes: bool,
    /// Written `<name .../>`.
    empty: bool,
}

/// Splits a page into its tags; panics where a tag isn't one.
fn tags(page: &str) -> Vec<Tag<'_>> {
    let mut tags = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        assert!(
            !rest[..start].contains('>') || tags.is_empty(),
            "stray > before {:.60}",
            &rest[start..]
        );
        let end = start + rest[start..].find('>').expect("a tag ends");
        let inner = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if inner.starts_with('!') {
            continue;
        }
        let empty = inner.ends_with('/');
        let inner = inner.trim_end_matches('/');
        let closes = inner.starts_with('/');
        let inner = inner.trim_start_matches('/');
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        tags.push(Tag {
            name,
            attributes: parsed(attributes),
            closes,
            empty,
        });
        if name == "style" && !closes {
            rest = &rest[rest.find("</style>").expect("the style sheet ends")..];
        }
    }
    tags
}

fn parsed(mut text: &str) -> BTreeMap<&str, &str> {
    let mut attributes = BTreeMap::new();
    loop {
        text = text.trim();
        if text.is_empty() {
            return attributes;
        }
        let (name, value) = text
            .split_once("=\"")
            .expect("attributes have quoted values");
        let end = value.find('"').expect("a quoted value ends");
        assert!(
            attributes.insert(name, &value[..end]).is_none(),
            "{name} twice"
        );
        text = &value[end + 1..];
    }
}

#[test]
fn every_element_is_closed_where_it_was_opened() {
    for (campaign, analysis) in analyses() {
        let page = text(&Html, &analysis);
        let mut open = Vec::new();
        for tag in tags(&page) {
            if tag.closes {
                assert_eq!(open.pop(), Some(tag.name), "{campaign}");
            } else if !tag.empty && !VOID.contains(&tag.name) {
                open.push(tag.name);
            }
        }
        assert!(open.is_empty(), "{campaign}: {open:?}");
    }
}

#[test]
fn the_page_asks_the_network_for_nothing() {
    for (campaign, analysis) in analyses() {
        let page = text(&Html, &analysis);
        for tag in tags(&page) {
            assert!(
                !["script", "img", "iframe", "object", "embed"].contains(&tag.name),
                "{campaign}: {}",
                tag.name
            );
            for (name, value) in &tag.attributes {
                assert!(
                    *name != "src" && !name.starts_with("on"),
                    "{campaign}: {name}"
                );
                assert!(!value.contains("://"), "{campaign}: {name}={value}");
                if *name == "href" {
                    assert!(
                        value.starts_with('#') || *value == "data:,",
                        "{campaign}: {value}"
                    );
                }
            }
        }
        let style = style(&page);
        for bad in ["url(", "@import", "://", "@font-face"] {
            assert!(!style.contains(bad), "{bad}");
        }
    }
}

#[test]
fn links_lead_somewhere_and_names_are_unique() {
    for (campaign, analysis) in analyses() {
        let page = text(&Html, &analysis);
        let tags = tags(&page);
        let mut ids = BTreeSet::new();
        for tag in &tags {
            if let Some(id) = tag.attributes.get("id") {
                assert!(ids.insert(*id), "{campaign}: {id} twice");
            }
        }
        for tag in &tags {
            let link = tag
                .attributes
                .get("href")
                .and_then(|href| href.strip_prefix('#'));
            for id in link.iter().chain(tag.attributes.get("aria-labelledby")) {
                assert!(ids.contains(*id), "{campaign}: nothing is called {id}");
            }
        }
    }
}

#[test]
fn headings_step_down_one_at_a_time() {
    for (campaign, analysis) in analyses() {
        let page = text(&Html, &analysis);
        let mut last = 0;
        let mut tops = 0;
        for tag in tags(&page).iter().filter(|tag| !tag.closes) {
            let Some(level) = tag
                .name
                .strip_prefix('h')
                .and_then(|level| level.parse::<u32>().ok())
            else {
                continue;
            };
            assert!(level <= last + 1, "{campaign}: h{level} after h{last}");
            tops += u32::from(level == 1);
            last = level;
        }
        assert_eq!(tops, 1, "{campaign}");
    }
}

#[test]
fn every_figure_says_what_it_shows() {
    for (campaign, analysis) in analyses() {
        let page = text(&Html, &analysis);
        for figure in page.split("<figure>").skip(1) {
            let figure = &figure[..figure.find("</figure>").unwrap()];
            assert!(figure.contains("role=\"img\" aria-label=\""), "{campaign}");
            let caption = &figure[figure.find("<figcaption>").expect("a figure has a caption")..];
            let words = |words: &[&str]| words.iter().any(|word| caption.contains(word));
            assert!(
                words(&["n = ", "slices"]),
                "no sample size in {campaign}: {caption}"
            );
            assert!(
                words(&["µs", "%", "ms", "ratio", "latency", "per second", "time"]),
                "no unit in {campaign}: {caption}"
            );
            assert!(
                words(&["interval"]),
                "nothing about an interval in {campaign}: {caption}"
            );
        }
    }
}

#[test]
fn the_first_screen_holds_the_answer_and_what_it_rests_on() {
    let analysis = analyse(&Synthetic::quickstart().campaign());
    let page = text(&Html, &analysis);
    let at = |text: &str| {
        page.find(text)
            .unwrap_or_else(|| panic!("{text} is missing"))
    };
    let order = [
        at("<h1>"),
        at("The answer"),
        at("id=\"matrix\""),
        at("What was compared"),
        at("What it rests on"),
        at("<nav"),
        at("id=\"verdicts\""),
        at("id=\"method\""),
        at("id=\"glossary\""),
    ];
    assert!(order.is_sorted());
    let spaced = page.replace('\u{a0}', " ");
    for answer in &analysis.answers {
        assert!(spaced.contains(&answer.text), "{}", answer.text);
    }
}

#[test]
fn a_campaign_of_30_rounds_8_arms_12_cells_fits_2_mb() {
    let synthetic = Synthetic {
        workloads: Synthetic::quickstart().workloads,
        ..Synthetic::wide(8, 30)
    };
    let campaign = synthetic.campaign();
    let analysis = Analysis {
        description: Some(describe(&campaign, 7, 100)),
        ..analyse(&campaign)
    };
    assert!(analysis.cells.len() >= 12 * 7, "{}", analysis.cells.len());
    let size = text(&Html, &analysis).len();
    assert!(size <= 2_000_000, "{size} bytes");
}

fn style(page: &str) -> &str {
    let start = page.find("<style>").unwrap();
    &page[start..page.find("</style>").unwrap()]
}

/// The variables that a block of the style sheet sets.
fn variables(block: &str) -> BTreeMap<&str, &str> {
    let block = &block[..block.find('}').unwrap()];
    let settings = block
        .split([';', '{'])
        .filter_map(|setting| setting.split_once(':'));
    settings
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, _)| name.starts_with("--"))
        .collect()
}

/// The variables of light, dark and print.
fn schemes(style: &str) -> [(&'static str, BTreeMap<&str, &str>); 3] {
    let after = |text: &str| &style[style.find(text).unwrap() + text.len()..];
    let root = |text: &'static str| variables(&after(text)[after(text).find(":root").unwrap()..]);
    [
        ("light", root("<style>")),
        ("dark", root("@media (prefers-color-scheme: dark)")),
        ("print", root("@media print")),
    ]
}

/// Contrast of two colours as WCAG 2 defines it.
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |colour: &str| {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&colour[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    };
    let (a, b) = (luminance(one), luminance(other));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn text_and_lines_stand_out_in_light_dark_and_print() {
    let page = text(&Html, &analyse(&Synthetic::overlay().campaign()));
    for (scheme, colours) in schemes(style(&page)) {
        let mut pairs = vec![
            ("--ink", "--surface", 4.5),
            ("--ink", "--page", 4.5),
            ("--muted", "--surface", 4.5),
            ("--muted", "--page", 4.5),
            ("--link", "--surface", 4.5),
            ("--link", "--page", 4.5),
            ("--worse", "--worse-bg", 4.5),
            ("--better", "--better-bg", 4.5),
            ("--equal", "--equal-bg", 4.5),
            ("--open", "--open-bg", 4.5),
            ("--bad", "--bad-bg", 4.5),
            ("--ink", "--band", 4.5),
            ("--muted", "--band", 4.5),
        ];
        for arm in [
            "--a0", "--a1", "--a2", "--a3", "--a4", "--a5", "--a6", "--a7",
        ] {
            pairs.extend([(arm, "--surface", 3.0), (arm, "--band", 3.0)]);
        }
        for (front, back, least) in pairs {
            let found = contrast(colours[front], colours[back]);
            assert!(found >= least, "{scheme}: {front} on {back} is {found:.2}");
        }
    }
}

#[test]
fn every_colour_of_a_figure_is_one_of_the_style_sheet() {
    for (campaign, analysis) in analyses() {
        let page = text(&Html, &analysis);
        let schemes = schemes(style(&page));
        let body = &page[page.find("</style>").unwrap()..];
        assert!(!body.contains("#FE"), "{campaign}: a stand-in was left");
        for rest in body.split("var(").skip(1) {
            let name = &rest[..rest.find(')').unwrap()];
            for (scheme, colours) in &schemes {
                assert!(colours.contains_key(name), "{campaign}: {name} in {scheme}");
            }
        }
    }
}
