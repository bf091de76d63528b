//! What stands beside the page: CSV tables, and pictures as SVG and PNG.

use std::collections::BTreeSet;

use resvg::tiny_skia::Pixmap;
use tollgate_reports::analyse;
use tollgate_reports::model::Direction;
use tollgate_reports::render::{CellsCsv, Html, Picture, RoundsCsv, pictures};
use tollgate_reports::synthetic::Synthetic;

use crate::render::{analyses, text};

/// Splits a line of CSV into its fields.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                fields.last_mut().unwrap().push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            letter => fields.last_mut().unwrap().push(letter),
        }
    }
    assert!(!quoted, "{line}");
    fields
}

#[test]
fn tables_are_tidy() {
    for (campaign, analysis) in analyses() {
        let cells = text(&CellsCsv, &analysis);
        let rounds = text(&RoundsCsv, &analysis);
        assert_eq!(
            cells.lines().count(),
            1 + analysis.cells.len(),
            "{campaign}"
        );
        let pairs: usize = analysis.cells.iter().map(|cell| cell.pairs.len()).sum();
        assert_eq!(rounds.lines().count(), 1 + pairs, "{campaign}");
        for table in [&cells, &rounds] {
            let mut lines = table.lines();
            let head = fields(lines.next().unwrap());
            let unique: BTreeSet<&String> = head.iter().collect();
            assert_eq!(unique.len(), head.len(), "{campaign}");
            for line in lines {
                assert_eq!(fields(line).len(), head.len(), "{campaign}: {line}");
            }
        }
    }
}

#[test]
fn a_table_says_what_the_analysis_says() {
    let analysis = analyse(&Synthetic::overlay().campaign());
    let table = text(&CellsCsv, &analysis);
    let mut lines = table.lines();
    let head = fields(lines.next().unwrap());
    for (line, cell) in lines.zip(&analysis.cells) {
        let row = fields(line);
        let of = |name: &str| &row[head.iter().position(|it| it == name).unwrap()];
        assert_eq!(of("arm"), cell.arm.as_str());
        assert_eq!(of("verdict"), cell.verdict.as_str());
        let change = cell.change.map(|change| change.value.to_string());
        assert_eq!(*of("change"), change.unwrap_or_default());
        let worse = match cell.direction {
            Direction::LargerIsWorse => "larger",
            Direction::SmallerIsWorse => "smaller",
        };
        assert_eq!(of("worse"), worse);
    }
}

#[test]
fn pictures_stand_alone() {
    for (campaign, analysis) in analyses() {
        let mut names = BTreeSet::new();
        for picture in pictures(&analysis) {
            let name = &picture.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-.@".contains(c);
            assert!(name.chars().all(plain), "{campaign}: {name}");
            assert!(names.insert(name.clone()), "{campaign}: {name} twice");
            let svg = &picture.svg;
            assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
            for bad in ["var(", "#FE01", "url(", "href", "<script"] {
                assert!(!svg.contains(bad), "{campaign}, {name}: {bad}");
            }
            let from = &analysis.subject.fingerprint;
            assert!(svg.contains(from), "{campaign}, {name}: no source");
        }
    }
}

#[test]
fn every_picture_of_the_page_is_a_file_too() {
    for (campaign, analysis) in analyses() {
        let page = text(&Html, &analysis);
        let on_page = page.matches("<figure>").count();
        let matrix = usize::from(page.contains("id=\"matrix\""));
        let files = pictures(&analysis).len();
        assert_eq!(files, on_page + matrix, "{campaign}");
    }
}

#[test]
fn a_png_is_drawn_without_the_machines_fonts() {
    let analysis = analyse(&Synthetic::overlay().campaign());
    let all = pictures(&analysis);
    let picture = all.iter().find(|it| it.name == "at-a-glance").unwrap();
    let pixmap = Pixmap::decode_png(&picture.png().unwrap()).unwrap();
    assert!(picture.png().unwrap() == picture.png().unwrap());
    // The title alone stands in the uppermost 36 of the SVG's pixels: without a font nothing would be dark there.
    let (width, top) = (pixmap.width(), 3 * 36);
    let dark = pixmap.pixels()[..(width * top) as usize]
        .iter()
        .filter(|pixel| pixel.red() < 80)
        .count();
    assert!(dark > 500, "{dark} dark pixels where the title stands");
}

#[test]
fn the_fonts_have_every_sign_that_pictures_write() {
    let drawn = |letter: char| {
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"20\" height=\"20\">\
             <text x=\"2\" y=\"15\" font-size=\"12\">{letter}</text></svg>"
        );
        let name = letter.to_string();
        Picture { name, svg }.png().unwrap()
    };
    // What a font lacks is drawn as one and the same empty box.
    let lacking = drawn('一');
    let mut signs = BTreeSet::new();
    // What somebody wrote in Chinese is drawn as boxes; what Tollgate writes never is.
    let own = |(name, _): &(&str, _)| *name != "hostile";
    for (_, analysis) in analyses().into_iter().filter(own) {
        for picture in pictures(&analysis) {
            signs.extend(picture.svg.chars().filter(|sign| !sign.is_ascii()));
        }
    }
    assert!(signs.contains(&'▲'), "{signs:?}");
    signs.extend(['a', 'Z', '9', '%', 'φ', '∞']);
    for sign in signs.into_iter().filter(|sign| !sign.is_whitespace()) {
        assert!(drawn(sign) != lacking, "{sign} has no glyph");
    }
}
