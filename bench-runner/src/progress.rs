//! What is shown while a campaign runs: a line on a terminal, nothing in a pipe, or JSON where a program asks for it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use tollgate_results::arm::Name;
use tollgate_results::slice::SliceKey;

/// Receives what happens, in order.
pub trait Progress {
    /// An arm is about to be deployed.
    fn deploying(&mut self, arm: &Name, number: usize, all: usize);

    /// So many arms stand, as long after the first was begun.
    fn deployed(&mut self, _arms: usize, _took: Duration) {}

    /// A slice is about to be measured; `left` is the time that the campaign still needs.
    fn measuring(&mut self, slice: &SliceKey, done: usize, all: usize, left: Duration);

    /// A pair of a mesh is about to be measured.
    fn meeting(&mut self, _pair: &str, _done: usize, _all: usize, _left: Duration) {}

    /// Something the user should know now.
    fn note(&mut self, text: &str);

    /// The arms are gone, as long after the last slice.
    fn removed(&mut self, _took: Duration) {}

    /// Nothing more happens.
    fn finish(&mut self) {}
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Style {
    /// A line on a terminal, redrawn; nothing but notes in a pipe.
    #[default]
    Auto,
    /// One JSON object a line on standard error, for programs.
    Json,
}

/// Returns progress in a style.
#[must_use]
pub fn of(style: Style) -> Box<dyn Progress> {
    match style {
        Style::Auto => Box::new(TerminalProgress::start()),
        Style::Json => Box::new(JsonProgress),
    }
}

/// One JSON object for each event.
#[derive(Debug)]
pub struct JsonProgress;

/// An event as programs read it.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Deploying {
        arm: &'a Name,
        number: usize,
        all: usize,
    },
    /// Comes once for all arms of an install.
    Deployed {
        arms: usize,
        took_ms: u64,
    },
    /// Comes before the slice's warm-up.
    Measuring {
        round: u32,
        workload: &'a Name,
        arm: &'a Name,
        done: usize,
        all: usize,
        left_seconds: u64,
    },
    Meeting {
        pair: &'a str,
        done: usize,
        all: usize,
        left_seconds: u64,
    },
    Note {
        text: &'a str,
    },
    Removed {
        took_ms: u64,
    },
    Finished,
}

impl JsonProgress {
    fn tell(event: &Event<'_>) {
        if let Ok(line) = serde_json::to_string(event) {
            crate::output::note(&line);
        }
    }
}

impl Progress for JsonProgress {
    fn deploying(&mut self, arm: &Name, number: usize, all: usize) {
        Self::tell(&Event::Deploying { arm, number, all });
    }

    fn deployed(&mut self, arms: usize, took: Duration) {
        let took_ms = milliseconds(took);
        Self::tell(&Event::Deployed { arms, took_ms });
    }

    fn measuring(&mut self, slice: &SliceKey, done: usize, all: usize, left: Duration) {
        Self::tell(&Event::Measuring {
            round: slice.round,
            workload: &slice.workload,
            arm: &slice.arm,
            done,
            all,
            left_seconds: left.as_secs(),
        });
    }

    fn meeting(&mut self, pair: &str, done: usize, all: usize, left: Duration) {
        Self::tell(&Event::Meeting {
            pair,
            done,
            all,
            left_seconds: left.as_secs(),
        });
    }

    fn note(&mut self, text: &str) {
        Self::tell(&Event::Note { text });
    }

    fn removed(&mut self, took: Duration) {
        let took_ms = milliseconds(took);
        Self::tell(&Event::Removed { took_ms });
    }

    fn finish(&mut self) {
        Self::tell(&Event::Finished);
    }
}

/// One line on a terminal, redrawn; only notes elsewhere.
#[derive(Debug)]
pub struct TerminalProgress {
    bar: ProgressBar,
}

impl TerminalProgress {
    /// Starts; draws nothing where standard error is no terminal.
    ///
    /// # Panics
    ///
    /// Never: the template is a valid constant.
    #[must_use]
    pub fn start() -> Self {
        let target = if crate::output::shows_progress() {
            ProgressDrawTarget::stderr_with_hz(4)
        } else {
            ProgressDrawTarget::hidden()
        };
        let style =
            ProgressStyle::with_template("{bar:16} {wide_msg}").expect("the template is valid");
        Self {
            bar: ProgressBar::with_draw_target(Some(1), target).with_style(style),
        }
    }
}

impl Progress for TerminalProgress {
    fn deploying(&mut self, arm: &Name, number: usize, all: usize) {
        self.bar.set_length(all as u64);
        self.bar.set_position(number as u64);
        self.bar
            .set_message(format!("deploying {arm} ({} of {all})", number + 1));
    }

    fn deployed(&mut self, arms: usize, took: Duration) {
        self.note(&format!("{arms} arms deployed in {}", tenths(took)));
    }

    fn measuring(&mut self, slice: &SliceKey, done: usize, all: usize, left: Duration) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        let round = if slice.round == 0 {
            "round 0 (discarded)".to_owned()
        } else {
            format!("round {}", slice.round)
        };
        self.bar.set_message(format!(
            "{round} · {} on {} · {} left",
            slice.workload,
            slice.arm,
            minutes(left)
        ));
    }

    fn meeting(&mut self, pair: &str, done: usize, all: usize, left: Duration) {
        self.bar.set_length(all as u64);
        self.bar.set_position(done as u64);
        let number = (done + 1).min(all);
        self.bar.set_message(format!(
            "{number} of {all} · {pair} · {} left",
            minutes(left)
        ));
    }

    fn note(&mut self, text: &str) {
        self.bar.suspend(|| crate::output::note(text));
    }

    fn removed(&mut self, took: Duration) {
        self.note(&format!("taken down in {}", tenths(took)));
    }

    fn finish(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Writes a short length of time for people: `1.3 s`.
#[must_use]
pub fn tenths(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Writes a length of time for people: `45 s`, `3 min 10 s`, `2 h 5 min`.
#[must_use]
pub fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 if seconds.is_multiple_of(60) => format!("{} min", seconds / 60),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_well() {
        let text = |seconds| minutes(Duration::from_secs(seconds));
        assert_eq!(
            (text(45), text(180), text(190)),
            ("45 s".into(), "3 min".into(), "3 min 10 s".into())
        );
        assert_eq!(text(7500), "2 h 5 min");
    }
}
