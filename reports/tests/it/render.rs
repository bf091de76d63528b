//! Every renderer: what it writes for campaigns that went well and for those that didn't.

use tollgate_reports::model::{Analysis, Metric, Renderer};
use tollgate_reports::render::{CellsCsv, Html, Json, Markdown, RoundsCsv, Terminal, pictures};
use tollgate_reports::synthetic::{self, Synthetic, SyntheticArm};
use tollgate_reports::{analyse, describe};
use tollgate_results::arm::{Service, Wire};
use tollgate_results::plan::Skipped;
use tollgate_results::run::Campaign;
use tollgate_results::slice::SliceResult;
use unicode_width::UnicodeWidthStr as _;

/// What people could write to steer a page, a table or a terminal.
const HOSTILE: &str = "<script>alert(1)</script> | `x` [y](http://z) \u{1b}[31m \"'& 包包包";

/// All renderers by name.
pub(crate) fn renderers() -> [(&'static str, Box<dyn Renderer>); 8] {
    [
        ("html", Box::new(Html)),
        ("markdown", Box::new(Markdown)),
        ("json", Box::new(Json)),
        ("terminal", Box::new(Terminal { colour: false })),
        ("colours", Box::new(Terminal { colour: true })),
        ("cells", Box::new(CellsCsv)),
        ("rounds", Box::new(RoundsCsv)),
        ("pictures", Box::new(Drawings)),
    ]
}

/// All pictures one after the other.
struct Drawings;

impl Renderer for Drawings {
    fn render(&self, analysis: &Analysis) -> Vec<u8> {
        let mut text = String::new();
        for picture in pictures(analysis) {
            text.push_str(&picture.name);
            text.push('\n');
            text.push_str(&picture.svg);
        }
        text.push('\n');
        text.into_bytes()
    }
}

/// Campaigns of every kind by name, analysed.
pub(crate) fn analyses() -> Vec<(&'static str, Analysis)> {
    let mut analyses: Vec<_> = campaigns()
        .into_iter()
        .map(|(name, campaign)| {
            // Fewer resamples than users get: what is drawn is the matter here, not how finely.
            let description = Some(describe(&campaign, 7, 100));
            let analysis = Analysis {
                description,
                ..analyse(&campaign)
            };
            (name, analysis)
        })
        .collect();
    // Whatever else an analysis may hold, a renderer has to get through it.
    let mut empty = analyses[0].1.clone();
    empty.answers.clear();
    empty.arms.clear();
    empty.workloads.clear();
    empty.cells.clear();
    empty.spectra.clear();
    empty.timeline.clear();
    analyses.push(("empty", empty));
    analyses
}

fn campaigns() -> Vec<(&'static str, Campaign)> {
    vec![
        ("quickstart", Synthetic::quickstart().campaign()),
        ("scaling", Synthetic::scaling().campaign()),
        ("wide", Synthetic::wide(8, 12).campaign()),
        ("short", short()),
        ("hostile", hostile()),
        ("broken", broken()),
        ("lossy", lossy()),
        ("claims", crate::claims::campaign()),
    ]
}

/// Too few rounds for any verdict.
fn short() -> Campaign {
    let campaign = Synthetic {
        rounds: 2,
        ..Synthetic::quickstart()
    };
    campaign.campaign()
}

/// Texts that people wrote, at their worst, and names as long as they may be.
fn hostile() -> Campaign {
    let mut synthetic = Synthetic::overlay();
    let long = "x".repeat(63);
    synthetic.arms[1].arm.name = synthetic::name(&long);
    let mut campaign = synthetic.campaign();
    HOSTILE.clone_into(&mut campaign.run.plan.about);
    HOSTILE.clone_into(&mut campaign.run.facts.cpu_model);
    HOSTILE.clone_into(&mut campaign.run.version);
    let mut claim = crate::claims::claim(
        Metric::P50,
        (None, Some(0.0)),
        &long,
        &["native"],
        &["tcp-rr"],
    );
    HOSTILE.clone_into(&mut claim.about);
    campaign.run.plan.claims.push(claim);
    campaign.run.plan.skipped.push(Skipped {
        arm: synthetic::name("skipped"),
        reason: HOSTILE.to_owned(),
    });
    campaign.slices[9].record.result = SliceResult::Failed {
        reason: HOSTILE.to_owned(),
    };
    campaign
}

/// An arm that isn't what it declares.
fn broken() -> Campaign {
    let mut synthetic = Synthetic::overlay();
    synthetic.arms[1].carried = synthetic::datapath(Wire::Native, Service::None, None);
    synthetic.campaign()
}

/// An arm that loses one request in ten: its p99 is infinite.
fn lossy() -> Campaign {
    let synthetic = Synthetic::overlay();
    let SyntheticArm { arm, .. } = &synthetic.arms[1];
    let mut campaign = synthetic.campaign();
    for slice in &mut campaign.slices {
        if slice.record.key.arm == arm.name
            && let Some(measured) = synthetic::measured_mut(slice)
        {
            let lost = measured.outcome.replied / 9;
            measured.outcome.lost = lost;
            measured.outcome.sent += lost;
        }
    }
    campaign
}

/// Renders as text.
pub(crate) fn text(renderer: &dyn Renderer, analysis: &Analysis) -> String {
    String::from_utf8(renderer.render(analysis)).unwrap()
}

#[test]
fn equal_analyses_give_equal_bytes() {
    for (campaign, analysis) in analyses() {
        for (name, renderer) in renderers() {
            let once = renderer.render(&analysis);
            let again = renderer.render(&analysis.clone());
            assert!(once == again, "{name} of {campaign}");
            assert!(
                once.ends_with(b"\n") || name == "html",
                "{name} of {campaign}"
            );
        }
    }
}

#[test]
fn a_report_made_again_from_its_json_is_the_same_to_the_byte() {
    for (campaign, analysis) in analyses() {
        let json = Json.render(&analysis);
        let again: Analysis = serde_json::from_slice(&json).unwrap();
        assert_eq!(text(&Html, &again), text(&Html, &analysis), "{campaign}");
        assert_eq!(Json.render(&again), json, "{campaign}");
    }
}

#[test]
fn a_terminal_of_80_columns_is_enough() {
    for (campaign, analysis) in analyses() {
        for line in text(&Terminal { colour: false }, &analysis).lines() {
            assert!(line.width() <= 80, "{campaign}: {line}");
            assert_eq!(line.trim_end(), line, "{campaign}");
        }
    }
}

#[test]
fn colours_change_nothing_but_colours() {
    for (campaign, analysis) in analyses() {
        let mut plain = text(&Terminal { colour: true }, &analysis);
        while let Some(start) = plain.find("\u{1b}[") {
            let end = plain[start..].find('m').unwrap();
            plain.replace_range(start..=start + end, "");
        }
        assert_eq!(
            plain,
            text(&Terminal { colour: false }, &analysis),
            "{campaign}"
        );
    }
}

#[test]
fn banned_words_never_occur() {
    for (campaign, analysis) in analyses() {
        for (name, renderer) in renderers() {
            let report = text(renderer.as_ref(), &analysis).to_lowercase();
            assert!(!report.contains("no change"), "{name} of {campaign}");
            for word in report.split(|c: char| !c.is_alphanumeric()) {
                assert!(
                    !["same", "significant", "significantly"].contains(&word),
                    "{name} of {campaign}: {word}"
                );
            }
        }
    }
}

#[test]
fn nothing_reads_as_minus_zero_or_not_a_number() {
    for (campaign, analysis) in analyses() {
        for (name, renderer) in renderers().into_iter().filter(|(name, _)| *name != "json") {
            let report = text(renderer.as_ref(), &analysis).replace('\u{a0}', " ");
            for bad in ["-0 ", "-0.0 ", "-0.00 ", "NaN", " inf ", "+-"] {
                assert!(!report.contains(bad), "{name} of {campaign}: {bad}");
            }
        }
    }
}

#[test]
fn what_people_wrote_steers_nothing() {
    let analysis = analyse(&hostile());
    let html = text(&Html, &analysis);
    assert!(!html.contains("<script"));
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    let markdown = text(&Markdown, &analysis);
    assert!(!markdown.contains("<script"));
    assert!(!markdown.contains("[y](http://z)"));
    for line in markdown
        .lines()
        .filter(|line| line.starts_with("| skipped"))
    {
        assert_eq!(line.replace("\\|", "").matches('|').count(), 3, "{line}");
    }
    let terminal = text(&Terminal { colour: false }, &analysis);
    assert!(!terminal.chars().any(|c| c.is_control() && c != '\n'));
    assert!(terminal.contains("<script>alert(1)</script>"));
}

#[test]
fn an_infinite_percentile_is_said_to_be_lost() {
    let analysis = analyse(&lossy());
    assert!(text(&Terminal { colour: false }, &analysis).contains("∞ (lost)"));
    assert!(text(&Html, &analysis).contains("∞ (lost)"));
}

#[test]
fn an_arm_that_is_not_what_it_declares_is_named_everywhere() {
    let analysis = analyse(&broken());
    for (name, renderer) in renderers()
        .into_iter()
        .filter(|(name, _)| *name != "rounds")
    {
        assert!(
            text(renderer.as_ref(), &analysis).contains("invalid"),
            "{name}"
        );
    }
}

#[test]
fn skipped_arms_are_named_with_the_reason() {
    let mut campaign = Synthetic::overlay().campaign();
    campaign.run.plan.skipped.push(Skipped {
        arm: synthetic::name("socket-lb"),
        reason: "needs root; run as root".to_owned(),
    });
    let analysis = analyse(&campaign);
    // Tables and pictures of what was measured can't hold what wasn't.
    let whole = |name: &str| !["cells", "rounds", "pictures"].contains(&name);
    for (name, renderer) in renderers().into_iter().filter(|(name, _)| whole(name)) {
        let report = text(renderer.as_ref(), &analysis);
        assert!(report.contains("socket-lb"), "{name}");
        assert!(report.contains("needs root; run as root"), "{name}");
    }
}

#[test]
fn no_remark_is_said_twice() {
    for (campaign, analysis) in analyses() {
        let report = text(&Markdown, &analysis);
        let mut lines: Vec<&str> = report
            .lines()
            .filter(|line| line.starts_with("- "))
            .collect();
        lines.sort_unstable();
        for pair in lines.windows(2) {
            assert_ne!(pair[0], pair[1], "{campaign}");
        }
        // Arms that a remark is true of stand in one line.
        let remarks = report.split_once("<summary>Notes on the verdicts</summary>");
        let remarks = remarks.map_or("", |(_, rest)| rest.split_once("</details>").unwrap().0);
        let mut said: Vec<(&str, &str)> = Vec::new();
        for line in remarks.lines().filter(|line| line.starts_with("- ")) {
            let (of, text) = line.split_once(": ").unwrap();
            let cell = of.split_once(" of ").unwrap().0;
            assert!(!said.contains(&(cell, text)), "{campaign}: {line}");
            said.push((cell, text));
        }
    }
}

#[test]
fn the_terminal_report_reads_well() {
    let analysis = analyse(&Synthetic::quickstart().campaign());
    insta::assert_snapshot!(text(&Terminal { colour: false }, &analysis));
}

#[test]
fn the_markdown_report_reads_well() {
    let analysis = analyse(&Synthetic::quickstart().campaign());
    insta::assert_snapshot!(text(&Markdown, &analysis));
}

#[test]
fn the_markdown_report_of_a_sweep_reads_well() {
    let analysis = analyse(&Synthetic::scaling().campaign());
    insta::assert_snapshot!(text(&Markdown, &analysis));
}
