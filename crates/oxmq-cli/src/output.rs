//! What is said: answers on stdout, notes about them on stderr, tables for people and JSON for programs.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::exit;

/// Says a line of the answer: `say!(out, "{} jobs", n)?`.
macro_rules! say {
    ($out:expr, $($text:tt)*) => { $out.line(format_args!($($text)*)) };
}

/// Says something beside the answer, on stderr: `note!(out, "..")`. Nothing comes of it if that fails.
macro_rules! note {
    ($out:expr, $($text:tt)*) => { $out.aside(format_args!($($text)*)) };
}

pub(crate) use {note, say};

/// Below this width, in columns, tables are not fitted to the terminal.
const TABLE_WIDTH_MIN: u16 = 80;

/// Where answers go, and in what form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// JSON, rather than text for people.
    pub(crate) json: bool,
    /// No notes.
    pub(crate) quiet: bool,
}

impl Output {
    /// A line of the answer.
    #[allow(clippy::unused_self, reason = "whoever may speak has one of these")]
    pub(crate) fn line(self, text: impl Display) -> Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        // At once, so that whoever reads a pipe sees an event when it happens.
        stdout.flush()?;
        Ok(())
    }

    /// The answer as one line of JSON.
    pub(crate) fn object(self, answer: &impl Serialize) -> Result<()> {
        self.line(serde_json::to_string(answer)?)
    }

    /// The answer in the form that was asked for.
    pub(crate) fn answer(self, json: &impl Serialize, text: impl Display) -> Result<()> {
        if self.json { self.object(json) } else { self.line(text) }
    }

    /// A note on stderr.
    pub(crate) fn aside(self, text: impl Display) {
        if !self.quiet {
            // There is nobody to tell that stderr is gone.
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// An error on stderr, and the exit code that goes with it.
    pub(crate) fn error(self, error: &anyhow::Error) -> ExitCode {
        let text = if self.json {
            let kind = exit::kind_of(error).map_or("failed", oxmq::ErrorKind::as_str);
            serde_json::json!({ "error": { "kind": kind, "message": format!("{error:#}") } }).to_string()
        } else {
            format!("error: {error:#}")
        };
        let _ = writeln!(io::stderr().lock(), "{text}");
        exit::code(error)
    }

    /// A table for people.
    pub(crate) fn table(self, header: &[&str], rows: Vec<Vec<String>>) -> Result<()> {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY);
        // On a narrow terminal a long line is easier to read than a column of single letters.
        if table.width().is_some_and(|width| width >= TABLE_WIDTH_MIN) {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        table.set_header(header.to_vec());
        table.add_rows(rows);
        self.line(table)
    }

    /// A bar for long work, on a terminal only. Without a length it counts.
    pub(crate) fn progress(self, length: Option<u64>, what: &'static str) -> ProgressBar {
        if self.quiet || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let (bar, template) = match length {
            Some(length) => (ProgressBar::new(length), "{msg} {wide_bar} {human_pos}/{human_len} {per_sec}"),
            None => (ProgressBar::new_spinner(), "{spinner} {msg} {human_pos} {per_sec}"),
        };
        let style = ProgressStyle::with_template(template);
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())).with_message(what)
    }
}
