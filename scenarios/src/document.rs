//! A TOML document with its places. Reading goes on after a fault, so that all are found at once.

use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fault::{Fault, Faults, Place, suggestion};

/// More faults than anybody mends in one go; also bounds the work that a bad file makes.
const MOST_FAULTS: usize = 50;

/// A parsed file and what was found wrong in it so far.
pub(crate) struct Document<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
    faults: Vec<Fault>,
    /// Paths that could not be read: a later check says nothing more about them.
    broken: Vec<Vec<String>>,
}

impl<'a> Document<'a> {
    /// Parses TOML. Where the syntax is broken, all of its faults come back and nothing else is checked.
    pub(crate) fn parse(file: &'a str, text: &'a str) -> Result<Self, Faults> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let faults = errors.iter().take(MOST_FAULTS).map(|error| Fault {
            place: error.span().map(|span| place(text, span.start)),
            ..Fault::new(file, syntax(error, text))
        });
        let faults = faults.collect();
        let document = Self {
            file,
            text,
            root,
            faults: Vec::new(),
            broken: Vec::new(),
        };
        Faults::or(faults, document)
    }

    /// Reads the document as `T`, whose keys must all be optional.
    ///
    /// serde stops at its first error, so the entry at fault is taken out and the rest read again.
    /// `None` where there is too much at fault.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        let mut rest = self.root.clone();
        while self.faults.len() < MOST_FAULTS {
            let error = match T::deserialize(toml::Deserializer::from(rest.clone())) {
                Ok(value) => return Some(value),
                Err(error) => error,
            };
            let path = error.span().and_then(|span| path_at(rest.get_ref(), &span));
            let Some(path) = path else {
                self.faults.push(Fault::new(self.file, error.message()));
                return None;
            };
            self.faults.push(Fault {
                place: error.span().map(|span| place(self.text, span.start)),
                key: key(&path),
                ..Fault::new(self.file, plain(error.message(), &path))
            });
            remove(rest.get_mut(), &path);
            self.broken.push(path);
        }
        let message = "there may be more at fault; mend these first";
        self.faults.push(Fault::new(self.file, message));
        None
    }

    /// Notes a fault at a path, or at its nearest parent that the file has.
    pub(crate) fn fault(&mut self, path: &[&str], message: impl Into<String>) {
        let place = (1..=path.len())
            .rev()
            .find_map(|end| find(self.root.get_ref(), &path[..end]))
            .map(|offset| place(self.text, offset));
        let path: Vec<_> = path.iter().map(ToString::to_string).collect();
        self.faults.push(Fault {
            place,
            key: key(&path),
            ..Fault::new(self.file, message)
        });
    }

    /// Says whether the file has this path, readable or not.
    pub(crate) fn has(&self, path: &[&str]) -> bool {
        find(self.root.get_ref(), path).is_some()
    }

    /// Says whether something at or below this path could not be read.
    pub(crate) fn is_broken(&self, path: &[&str]) -> bool {
        self.broken
            .iter()
            .any(|broken| broken.iter().zip(path).all(|(a, b)| a == b))
    }

    /// Returns where a path stands, to sort by the order of the file.
    pub(crate) fn offset(&self, path: &[&str]) -> Option<usize> {
        find(self.root.get_ref(), path)
    }

    /// Returns `value` where the file has no fault, else all faults.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) => Faults::or(self.faults, value),
            None => Err(Faults::of(self.faults)),
        }
    }
}

/// Returns the path of the entry that an error's span belongs to: the entry whose key or value it is, else
/// the innermost entry around it.
fn path_at(table: &DeTable<'_>, span: &Range<usize>) -> Option<Vec<String>> {
    let mut around = None;
    for (key, value) in table {
        let name = key.get_ref().to_string();
        let inner = match value.get_ref() {
            DeValue::Table(inner) => path_at(inner, span),
            _ => None,
        };
        if key.span() == *span || value.span() == *span {
            return Some(vec![name]);
        }
        if let Some(mut path) = inner {
            path.insert(0, name);
            return Some(path);
        }
        if value.span().start <= span.start && span.end <= value.span().end {
            around = Some(vec![name]);
        }
    }
    around
}

/// Removes the entry at a path; a kind takes its workload along, which is nothing without it.
fn remove(table: &mut DeTable<'_>, path: &[String]) {
    match path {
        [workload, name, _kind] if workload == "workload" => {
            remove(table, &[workload.clone(), name.clone()]);
        }
        [last] => drop(table.remove(last.as_str())),
        [first, rest @ ..] => {
            let inner = table.get_mut(first.as_str()).map(Spanned::get_mut);
            if let Some(DeValue::Table(inner)) = inner {
                remove(inner, rest);
            }
        }
        [] => {}
    }
}

/// Returns the offset of a path's last key.
fn find(table: &DeTable<'_>, path: &[&str]) -> Option<usize> {
    let [first, rest @ ..] = path else {
        return None;
    };
    let (key, value) = table.get_key_value(*first)?;
    match value.get_ref() {
        _ if rest.is_empty() => Some(key.span().start),
        DeValue::Table(inner) => find(inner, rest),
        _ => None,
    }
}

/// Returns the place of a byte offset.
fn place(text: &str, offset: usize) -> Place {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line_start = before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    Place {
        line: before.split(|byte| *byte == b'\n').count(),
        column: 1 + String::from_utf8_lossy(&before[line_start..])
            .chars()
            .count(),
    }
}

/// Joins a path as TOML writes it.
fn key(path: &[String]) -> String {
    let bare = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
    };
    let parts: Vec<_> = path
        .iter()
        .map(|part| {
            if bare(part) {
                part.clone()
            } else {
                format!("{part:?}")
            }
        })
        .collect();
    parts.join(".")
}

/// Says a fault of syntax, with the key where the parser leaves it out.
fn syntax(error: &toml::de::Error, text: &str) -> String {
    let key = error.span().and_then(|span| text.get(span));
    match key {
        Some(key) if error.message() == "duplicate key" => {
            format!("`{}` stands here a second time; keep one", key.trim())
        }
        _ => error.message().to_owned(),
    }
}

/// Says a serde message in plain words, with a suggestion where serde names what it knows.
fn plain(message: &str, path: &[String]) -> String {
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let mut quoted = message.split('`').skip(1).step_by(2);
        let wrong = quoted.next().unwrap_or_default();
        return format!("`{wrong}` is unknown here{}", suggestion(wrong, quoted));
    }
    if matches!(path, [table, _] if table == "workload") && !message.contains(" is not a name") {
        return "a workload has one kind: write it once as [workload.NAME.KIND], for example \
                [workload.rr.tcp-rr]"
            .to_owned();
    }
    if message == "wanted string or table" {
        return "expected a string in quotes".to_owned();
    }
    let invalid = ["invalid type: ", "invalid value: "]
        .iter()
        .find_map(|prefix| message.strip_prefix(prefix)?.rsplit_once(", expected "));
    match invalid {
        Some((found, expected)) => {
            let expected = match expected {
                "i64" => "a whole number",
                "a map" => "a table",
                "a sequence" => "a list",
                other => other,
            };
            let found = if found == "map" { "table" } else { found };
            format!("expected {expected}, found {found}")
        }
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_lines_from_one() {
        let text = "a = 1\nü = 2\n";
        assert_eq!(place(text, 0), Place { line: 1, column: 1 });
        assert_eq!(place(text, 9), Place { line: 2, column: 3 });
        assert_eq!(place(text, 99), Place { line: 3, column: 1 });
    }

    #[test]
    fn keys_are_written_as_in_toml() {
        let path = ["arm", "a.b", "wire"].map(str::to_owned);
        assert_eq!(key(&path), "arm.\"a.b\".wire");
    }

    #[test]
    fn serde_still_writes_the_messages_that_are_read_here() {
        #[derive(Debug, Default, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Known {
            #[expect(dead_code, reason = "only its name matters")]
            payload: Option<i64>,
        }
        for (text, expected) in [
            (
                "paylod = 1",
                "`paylod` is unknown here; did you mean `payload`?",
            ),
            (
                "payload = \"1\"",
                "expected a whole number, found string \"1\"",
            ),
            ("payload = []", "expected a whole number, found sequence"),
        ] {
            let mut document = Document::parse("x", text).unwrap();
            let _: Option<Known> = document.read();
            assert_eq!(document.faults[0].message, expected);
        }
    }
}
