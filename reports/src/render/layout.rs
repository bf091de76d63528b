//! Text for a terminal of fixed width: wrapping and columns.

use super::words;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Width of a terminal that every report fits, in columns.
pub(super) const WIDTH: usize = 80;

/// Returns the text without what could move a terminal's cursor or change its colours.
pub(super) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Breaks text into lines of at most `width` columns, at spaces, but not within intervals or before units; what
/// is longer than a line is cut.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let text = words::unbroken(&harmless(text));
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let gap = usize::from(!line.is_empty());
        if line.width() + gap + word.width() <= width {
            line.push_str(&" "[..gap]);
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for c in word.chars() {
            if !line.is_empty() && line.width() + c.width().unwrap_or(0) > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
        .into_iter()
        .map(|line| line.replace('\u{a0}', " ").trim().to_owned())
        .collect()
}

/// Wraps text with a first line that starts with `first` and further ones that start below its end.
pub(super) fn hanging(first: &str, text: &str) -> Vec<String> {
    let indent = first.width();
    let lines = wrap(text, WIDTH - indent).into_iter().enumerate();
    lines
        .map(|(index, line)| match index {
            0 => format!("{first}{line}"),
            _ => format!("{}{line}", " ".repeat(indent)),
        })
        .collect()
}

/// Puts an ANSI style around text, where colours are wanted.
pub(super) fn paint(colour: bool, text: &str, style: &str) -> String {
    if colour && !style.is_empty() {
        format!("\u{1b}[{style}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// On which side a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// One column of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Column {
    pub width: usize,
    pub side: Side,
}

/// Lays one row out in columns, two spaces apart; cells that are too long take more lines. `paint`
/// may put colour around a cell's text and must not change its width.
pub(super) fn row(
    columns: &[Column],
    cells: &[String],
    paint: impl Fn(usize, &str) -> String,
) -> Vec<String> {
    let wrapped: Vec<Vec<String>> = columns
        .iter()
        .zip(cells)
        .map(|(column, cell)| wrap(cell, column.width))
        .collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(0);
    let line = |index: usize| {
        let cells = columns
            .iter()
            .zip(&wrapped)
            .enumerate()
            .map(|(place, (column, lines))| {
                let text = lines.get(index).map_or("", String::as_str);
                let padding = " ".repeat(column.width.saturating_sub(text.width()));
                let text = if text.is_empty() {
                    String::new()
                } else {
                    paint(place, text)
                };
                match column.side {
                    Side::Left => format!("{text}{padding}"),
                    Side::Right => format!("{padding}{text}"),
                }
            });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    (0..height).map(line).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_break_at_spaces() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("", 8), [""]);
        assert_eq!(
            wrap("by +24.8 % [1.0, 2.0]", 12),
            ["by +24.8 %", "[1.0, 2.0]"]
        );
        assert_eq!(
            wrap("iptables-legacy@10000", 10),
            ["iptables-l", "egacy@1000", "0"]
        );
    }

    #[test]
    fn a_terminal_is_not_steered_by_what_people_wrote() {
        assert!(!harmless("\u{1b}[31mred\u{7}\r\n").contains(char::is_control));
    }

    proptest! {
        #[test]
        fn nothing_is_wider_than_asked_and_nothing_is_lost(text in "\\PC{0,120}", width in 4_usize..80) {
            let lines = wrap(&text, width);
            for line in &lines {
                prop_assert!(line.width() <= width, "{line:?}");
            }
            let letters = |text: &str| text.split_whitespace().collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&harmless(&text)));
        }
    }
}
