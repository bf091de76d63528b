//! The report of a mesh: sentences, the terminal, the page.

use tollgate_reports::mesh::{MeshReport, analyse};
use tollgate_reports::render::{mesh_page, mesh_text};
use tollgate_reports::synthetic::SyntheticMesh;
use tollgate_results::mesh::SkippedNode;
use unicode_width::UnicodeWidthStr as _;

/// A mesh with something of everything.
fn rich(name: &str) -> MeshReport {
    let mesh = SyntheticMesh {
        zones: 2,
        crossing: 0.4,
        both_ways: true,
        slow: vec![(3, 0.4)],
        slow_senders: vec![(4, 0.3)],
        gone: vec![9],
        cut: vec![(1, 2)],
        ..SyntheticMesh::plain(24, 11)
    };
    let mut record = mesh.record();
    name.clone_into(&mut record.nodes[5].name);
    record.skipped.push(SkippedNode {
        node: "control-plane".to_owned(),
        reason: "it is tainted (node-role.kubernetes.io/control-plane:NoSchedule)".to_owned(),
    });
    analyse(&record, &mesh.meetings())
}

fn page(report: &MeshReport) -> String {
    String::from_utf8(mesh_page(report)).unwrap()
}

#[test]
fn the_terminal_says_what_was_found_in_80_columns() {
    let text = mesh_text(&rich("node-005\u{1b}[31m"));
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        "Mesh of 24 nodes",
        "▲ node-003 is slower than the others of its zone",
        "node-004 is slower as the sender than as the responder",
        "Crossing between zone-0 and zone-1 costs +",
        "node-009: its probe didn't answer in 46 meetings.",
        "node-001 and node-002 didn't reach each other: connection timed out.",
        "control-plane took no part: it is tainted",
        "and 4 more in the report",
        "within zone-0",
    ] {
        assert!(flat.contains(part), "{part} in:\n{text}");
    }
    assert!(text.lines().all(|line| line.width() <= 80), "{text}");
    assert!(!text.contains('\u{1b}'));
    for banned in ["no change", " same", "significant"] {
        assert!(!text.contains(banned), "{banned}: {text}");
    }
}

#[test]
fn the_page_is_whole_escaped_and_made_of_the_style_sheet_s_colours() {
    let report = rich("<script>alert(\"5\")</script>");
    let page = page(&report);
    roxmltree::Document::parse(&xml(&page)).unwrap_or_else(|error| panic!("{error}: {page}"));
    assert!(!page.contains("<script>"));
    for part in [
        "id=\"heat\"",
        "class=\"h3\"",
        "class=\"hx\"",
        "node-003",
        "Crossing between",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("://"), "the page links to nothing");
    assert_eq!(mesh_page(&report), mesh_page(&report));
    let ids: Vec<&str> = page
        .split(" id=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    for link in page.split("href=\"#").skip(1) {
        let target = link.split('"').next().unwrap();
        assert!(ids.contains(&target), "{target} of {ids:?}");
    }
}

#[test]
fn a_mesh_of_300_nodes_has_a_page_that_can_be_sent() {
    let mesh = SyntheticMesh {
        zones: 3,
        slow: vec![(100, 0.5)],
        ..SyntheticMesh::plain(300, 12)
    };
    let report = analyse(&mesh.record(), &mesh.meetings());
    let page = page(&report);
    assert!(page.len() < 600_000, "{} bytes", page.len());
    assert!(page.contains("300 nodes share"));
}

#[test]
fn a_report_is_read_back_as_it_was_written() {
    let report = rich("node-005");
    let json = serde_json::to_string(&report).unwrap();
    let again: MeshReport = serde_json::from_str(&json).unwrap();
    assert_eq!(again, report);
}

/// Closes what HTML leaves open.
fn xml(page: &str) -> String {
    let body = page.replace("<!DOCTYPE html>", "");
    let mut text = String::new();
    for part in body.split_inclusive('>') {
        let open = ["<meta", "<link"].iter().any(|tag| part.contains(tag));
        if open && part.ends_with('>') {
            text.push_str(&part[..part.len() - 1]);
            text.push_str("/>");
        } else {
            text.push_str(part);
        }
    }
    text
}
