//! Every renderer of a gate's report: what people, pull requests and CI systems get to see.

use roxmltree::{Document, Node};
use tollgate_reports::analyse;
use tollgate_reports::gate::{
    CellPolicy, EarlierRun, GateReport, OnInconclusive, Policy, Ruling, StoredReference, rule,
};
use tollgate_reports::model::Metric;
use tollgate_reports::render::gate::{
    Annotations, GateRenderer, Json, Junit, Markdown, Terminal, files,
};
use tollgate_reports::synthetic::{Synthetic, datapath};
use tollgate_results::arm::{Service, Wire};
use tollgate_results::units::Share;
use unicode_width::UnicodeWidthStr as _;

use crate::gate::{calibrated, first, gate, second, stage_of};

/// Text that could steer a page, a table, a terminal, XML or a workflow command.
const HOSTILE: &str = "</failure>]]><script>x</script> | `y` [z](http://z) & \"'\r\n::error::50%,a:b \u{1b}[31m\u{ffff}\u{0}";

/// Reports of every kind by name.
fn reports() -> Vec<(&'static str, GateReport)> {
    let strict = Policy {
        on_inconclusive: OnInconclusive::Fail,
        ..Policy::default()
    };
    let mut broken = Synthetic::overlay();
    broken.arms[1].carried = datapath(Wire::Native, Service::None, None);
    let broken = stage_of(&[analyse(&broken.campaign())]);
    let tight = Policy {
        margins: [(Metric::P50, Share(0.01)), (Metric::P90, Share(0.07))].into(),
        cells: vec![CellPolicy::default()],
        ..Policy::default()
    };
    let once = |policy: &Policy| rule(policy, None, &first(1.12), Some(&second(1.049))).unwrap();
    vec![
        ("pass", gate(1.0, None)),
        ("suspect", gate(1.12, None)),
        ("fail", gate(1.12, Some(1.12))),
        ("inconclusive", once(&Policy::default())),
        ("strict", once(&strict)),
        (
            "invalid",
            rule(&Policy::default(), None, &broken, None).unwrap(),
        ),
        (
            "tight",
            rule(&tight, Some(&calibrated()), &first(1.0), None).unwrap(),
        ),
        ("remarked", remarked()),
        ("hostile", hostile()),
        ("large", large()),
        ("empty", empty()),
    ]
}

fn hostile() -> GateReport {
    let mut report = gate(1.12, Some(1.12));
    HOSTILE.clone_into(&mut report.words);
    HOSTILE.clone_into(&mut report.fingerprint);
    report.notes = vec![HOSTILE.to_owned()];
    for cell in &mut report.cells {
        cell.words = format!("{}: {HOSTILE}", cell.ruling);
        cell.first.reason = Some(HOSTILE.to_owned());
    }
    report
}

/// Run again, against a stored reference, with a planted toll.
fn remarked() -> GateReport {
    let mut report = gate(1.12, Some(1.12));
    report.notes = vec!["candidate has a planted toll of 2us before each reply".to_owned()];
    report.against = Some(StoredReference {
        started_unix_ms: 1_773_480_360_000,
        tool_version: "0.1.0".to_owned(),
        words: "what the machine did since then is not told from the change".to_owned(),
    });
    report.earlier = vec![EarlierRun {
        started_unix_ms: 1_773_480_360_000,
        exit: None,
        words: "It was never finished.".to_owned(),
    }];
    report
}

/// Far more cells than anybody reads.
fn large() -> GateReport {
    let mut report = gate(1.12, Some(1.12));
    report.cells = report.cells.into_iter().cycle().take(5_000).collect();
    report
}

fn empty() -> GateReport {
    let mut report = gate(1.0, None);
    report.cells.clear();
    report.stages.clear();
    report
}

/// All renderers, by the name of their file.
fn renderers() -> Vec<(&'static str, Box<dyn GateRenderer>)> {
    let mut all: Vec<_> = files(None).into();
    all.push(("terminal", Box::new(Terminal { colour: false })));
    all.push(("colours", Box::new(Terminal { colour: true })));
    all
}

fn text(renderer: &dyn GateRenderer, report: &GateReport) -> String {
    String::from_utf8(renderer.render(report)).unwrap()
}

fn report(wanted: &str) -> GateReport {
    let mut reports = reports().into_iter();
    reports.find(|(name, _)| *name == wanted).unwrap().1
}

#[test]
fn banned_words_never_occur_and_the_errors_always_do() {
    for (kind, report) in reports() {
        for (name, renderer) in renderers() {
            let text = text(renderer.as_ref(), &report).to_lowercase();
            assert!(!text.contains("no change"), "{name} of {kind}");
            for word in text.split(|c: char| !c.is_alphanumeric()) {
                let banned = ["same", "significant", "significantly", "nan", "inf"];
                assert!(!banned.contains(&word), "{name} of {kind}: {word}");
            }
            let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
            if name != "gate.json" {
                let alarm = flat.contains("0.0625 %") || flat.contains("0.0625 %25");
                assert!(alarm, "{name} of {kind}: no rate of false alarms\n{text}");
                let miss = flat.contains("passes in at most 5 %");
                assert!(miss, "{name} of {kind}: no rate of misses\n{text}");
            }
        }
    }
}

#[test]
fn the_effect_shown_is_that_of_the_second_stage() {
    let mut report = report("fail");
    let cell = &mut report.cells[0];
    let exaggerated = cell.first.effect.as_mut().unwrap();
    exaggerated.value = 1.7777;
    exaggerated.interval95.low = 1.6666;
    let second = cell.second.as_ref().unwrap().effect.unwrap();
    let shown = format!("{:+.1} %", (second.value - 1.0) * 100.0);
    for (name, renderer) in renderers()
        .into_iter()
        .filter(|(name, _)| *name != "gate.json")
    {
        let text = text(renderer.as_ref(), &report).replace("%25", "%");
        assert!(text.contains(&shown), "{name}: {shown}\n{text}");
        assert!(
            !text.contains("77.8") && !text.contains("66.7"),
            "{name}\n{text}"
        );
    }
}

#[test]
fn what_a_reader_must_know_stands_in_every_form() {
    let report = report("remarked");
    for (name, renderer) in renderers()
        .into_iter()
        .filter(|(name, _)| *name != "gate.json")
    {
        let text = text(renderer.as_ref(), &report);
        let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "planted toll of 2us",
            "stored reference of 2026-03-14",
            "Run 2 of this gate",
        ] {
            assert!(flat.contains(part), "{name}: no word of {part}\n{text}");
        }
    }
}

#[test]
fn the_terminal_stays_within_80_columns_and_is_not_steered() {
    for (kind, report) in reports() {
        let plain = text(&Terminal { colour: false }, &report);
        for line in plain.lines() {
            assert!(line.width() <= 80, "{kind}: {line}");
        }
        assert!(
            !plain.chars().any(|c| c.is_control() && c != '\n'),
            "{kind}"
        );
    }
    let failed = text(&Terminal { colour: false }, &report("fail"));
    assert!(failed.starts_with("The gate FAILs: "), "{failed}");
}

#[test]
fn markdown_is_harmless_and_fits_a_comment() {
    for (kind, report) in reports() {
        let text = text(&Markdown, &report);
        assert!(text.chars().count() < 65_536, "{kind}: {}", text.len());
        assert!(
            !text.contains("<script") && !text.contains("[z](http"),
            "{kind}"
        );
        let count = |part: &str| text.matches(part).count();
        assert_eq!(count("<details>"), count("</details>"), "{kind}");
        let mut columns = 0;
        for line in text.lines() {
            let found = line.replace("\\|", "").matches('|').count();
            if line.starts_with('|') {
                assert!(columns == 0 || found == columns, "{kind}: {line}");
                columns = found;
            } else {
                columns = 0;
            }
        }
    }
    let large = text(&Markdown, &report("large"));
    assert!(large.contains("more: the JSON report has all"), "{large}");
}

/// Counts the elements of a name below a node.
fn count(node: Node<'_, '_>, name: &str) -> usize {
    node.descendants()
        .filter(|node| node.has_tag_name(name))
        .count()
}

#[test]
fn junit_is_what_jenkins_and_gitlab_read() {
    for (kind, report) in reports() {
        let text = text(&Junit, &report);
        let document =
            Document::parse(&text).unwrap_or_else(|error| panic!("{kind}: {error}\n{text}"));
        let root = document.root_element();
        assert!(root.has_tag_name("testsuites"), "{kind}");
        let suite = root.first_element_child().unwrap();
        let children: Vec<_> = suite
            .children()
            .filter(Node::is_element)
            .map(|child| child.tag_name().name())
            .collect();
        assert_eq!(children.first(), Some(&"properties"), "{kind}");
        assert_eq!(children.last(), Some(&"system-out"), "{kind}");
        for (attribute, element) in [
            ("tests", "testcase"),
            ("failures", "failure"),
            ("errors", "error"),
            ("skipped", "skipped"),
        ] {
            let found = count(suite, element).to_string();
            assert_eq!(
                suite.attribute(attribute),
                Some(found.as_str()),
                "{kind}: {attribute}"
            );
        }
        for case in suite
            .children()
            .filter(|child| child.has_tag_name("testcase"))
        {
            assert!(case.attribute("name").is_some() && case.attribute("classname").is_some());
            let inside: Vec<_> = case.children().filter(Node::is_element).collect();
            assert_eq!(inside.len(), 1, "{kind}");
            for outcome in inside
                .iter()
                .filter(|node| !node.has_tag_name("system-out"))
            {
                assert!(outcome.attribute("message").is_some(), "{kind}");
                assert!(outcome.attribute("type").is_some(), "{kind}");
                assert!(
                    outcome.text().is_some_and(|text| text.contains("against")),
                    "{kind}"
                );
            }
        }
        assert_eq!(count(suite, "testcase"), report.cells.len());
    }
}

#[test]
fn a_ruling_becomes_the_outcome_that_it_counts_for() {
    for (kind, counts) in [
        ("pass", [0, 0, 0]),
        ("fail", [3, 0, 0]),
        ("inconclusive", [0, 0, 1]),
        ("strict", [1, 0, 0]),
        ("invalid", [0, 4, 0]),
        // p90 passes; p50, which the policy names, can't be gated here.
        ("tight", [0, 1, 0]),
    ] {
        let report = report(kind);
        let text = text(&Junit, &report);
        let document = Document::parse(&text).unwrap();
        let found = ["failure", "error", "skipped"].map(|name| count(document.root(), name));
        let least = report
            .cells
            .iter()
            .filter(|cell| cell.ruling != Ruling::Pass);
        assert_eq!(found.iter().sum::<usize>(), least.count(), "{kind}");
        for (found, least) in found.iter().zip(counts) {
            assert!(*found >= least, "{kind}: {found:?}\n{text}");
        }
    }
}

#[test]
fn annotations_are_lines_that_the_runner_understands() {
    for (kind, report) in reports() {
        let renderer = Annotations {
            file: Some("ci/gate, strict.toml".to_owned()),
        };
        let text = text(&renderer, &report);
        let mut kinds = [0, 0, 0];
        for line in text.lines() {
            let (command, message) = line.strip_prefix("::").unwrap().split_once("::").unwrap();
            let (name, properties) = command.split_once(' ').unwrap();
            let place = ["error", "warning", "notice"]
                .iter()
                .position(|known| *known == name);
            kinds[place.unwrap()] += 1;
            let (file, title) = properties.split_once(',').unwrap();
            assert_eq!(file, "file=ci/gate%2C strict.toml", "{kind}");
            let title = title.strip_prefix("title=").unwrap();
            assert!(
                !title.contains([',', ':']) && !title.is_empty(),
                "{kind}: {line}"
            );
            assert!(
                !message.is_empty() && !message.contains('\r'),
                "{kind}: {line}"
            );
        }
        assert!(kinds.iter().all(|count| *count <= 10), "{kind}: {kinds:?}");
    }
    let failed = text(&Annotations::default(), &report("fail"));
    assert!(
        failed.starts_with("::error title=Tollgate FAIL%3A tcp-rr p50 candidate::"),
        "{failed}"
    );
    let open = text(&Annotations::default(), &report("inconclusive"));
    assert!(
        open.starts_with("::warning title=Tollgate INCONCLUSIVE%3A "),
        "{open}"
    );
    let passed = text(&Annotations::default(), &report("pass"));
    assert!(
        passed.starts_with("::notice title=Tollgate gate overlay%3A no FAIL::"),
        "{passed}"
    );
    assert_eq!(passed.lines().count(), 1, "{passed}");
}

#[test]
fn json_is_read_back() {
    for (kind, report) in reports() {
        let read: GateReport = serde_json::from_slice(&Json.render(&report)).unwrap();
        assert_eq!(read, report, "{kind}");
    }
}

#[test]
fn a_failing_gate_reads_well() {
    let report = report("fail");
    insta::assert_snapshot!("gate_terminal", text(&Terminal { colour: false }, &report));
    insta::assert_snapshot!("gate_markdown", text(&Markdown, &report));
    insta::assert_snapshot!("gate_junit", text(&Junit, &report));
    insta::assert_snapshot!("gate_annotations", text(&Annotations::default(), &report));
}
