//! How far a run is, as a person reads it: sums, a row for each training set, cell and result, and below them what runs and what failed.

use std::fmt::{self, Display, Formatter};

use super::{Row, Stage, State, Status};
use crate::estimate::{count, duration};

/// Columns of a line that holds a message.
const LINE: usize = 100;

/// How many files that are not there are named.
const NAMED: usize = 3;

/// The sums and what failed, without a row for each cell.
#[derive(Debug)]
pub struct Brief<'a>(pub &'a Status);

impl State {
    const fn sign(self) -> &'static str {
        match self {
            Self::Done => "✓",
            Self::Running => "▸",
            Self::Failed => "✗",
            Self::Old => "~",
            Self::ToDo => "·",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Old => "old",
            Self::ToDo => "to do",
        }
    }
}

impl Display for Brief<'_> {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        let Self(status) = self;
        write_sums(formatter, status)?;
        write_failed(formatter, status)?;
        write_report(formatter, status)
    }
}

impl Display for Status {
    fn fmt(&self, formatter: &mut Formatter) -> fmt::Result {
        write_sums(formatter, self)?;
        let tables = [
            ("training set", &self.training_sets),
            ("cell", &self.cells),
            ("result", &self.results),
        ];
        let names = self.rows().map(|row| row.name.chars().count());
        let width = names.chain([tables[0].0.len()]).max().unwrap_or(0);
        for (title, rows) in tables {
            write_table(formatter, title, rows, width)?;
        }
        write_running(formatter, self)?;
        write_failed(formatter, self)?;
        write_report(formatter, self)?;
        write_notes(formatter, self)
    }
}

/// `data/runs/demo: 4 cells: ✓ 2 done, ✗ 1 failed, · 1 to do. 3 min of work, 12 MB on disk`
fn write_sums(formatter: &mut Formatter, status: &Status) -> fmt::Result {
    let counts = status.counts();
    let counts: Vec<String> = State::ALL
        .iter()
        .filter_map(|state| counts.get(state).map(|count| (state, count)))
        .map(|(state, count)| format!("{} {count} {}", state.sign(), state.name()))
        .collect();
    let cells = match status.cells.len() {
        0 => "no cells".to_owned(),
        1 => format!("1 cell: {}", counts.join(", ")),
        number => format!("{number} cells: {}", counts.join(", ")),
    };
    writeln!(
        formatter,
        "{}: {cells}. {} of work, {}B on disk",
        status.run.display(),
        duration(status.seconds()),
        count(status.disk_bytes as f64)
    )
}

fn write_table(formatter: &mut Formatter, title: &str, rows: &[Row], width: usize) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut columns: Vec<&str> = Vec::new();
    for stage in rows.iter().flat_map(|row| &row.stages) {
        if !columns.contains(&stage.name.as_str()) {
            columns.push(&stage.name);
        }
    }
    // A control has no tuner, and may come first.
    columns.sort_by_key(|&name| ORDER.iter().position(|&known| known == name));
    write!(formatter, "\n{title:width$}")?;
    for column in &columns {
        write!(formatter, "  {column:10}")?;
    }
    writeln!(formatter, "  {:>8}", "disk")?;
    for row in rows {
        write!(formatter, "{:width$}", row.name)?;
        for column in &columns {
            let stage = row.stages.iter().find(|stage| stage.name == *column);
            write!(formatter, "  {:10}", stage.map(short).unwrap_or_default())?;
        }
        let disk = format!("{}B", count(row.disk_bytes as f64));
        writeln!(formatter, "  {disk:>8}")?;
    }
    Ok(())
}

/// The columns from left to right.
const ORDER: [&str; 7] = [
    "dupgen",
    "tuner",
    "extractor",
    "plagiarism",
    "best",
    "report",
    "check",
];

/// A stage in a column: `✓ 12 s`, `✗ exit 3`.
fn short(stage: &Stage) -> String {
    let sign = stage.state.sign();
    match (stage.state, stage.seconds, stage.exit_status) {
        (State::Done | State::Running, Some(seconds), _) => format!("{sign} {}", duration(seconds)),
        (State::Failed, _, Some(status)) => format!("{sign} exit {status}"),
        (State::Failed, _, None) => format!("{sign} killed"),
        (State::Old, _, _) => format!("{sign} old"),
        _ => sign.to_owned(),
    }
}

fn write_running(formatter: &mut Formatter, status: &Status) -> fmt::Result {
    let running: Vec<(&str, &Stage)> = status.stages_in(State::Running).collect();
    if running.is_empty() {
        return Ok(());
    }
    writeln!(formatter, "\nrunning")?;
    let width = width_of(&running);
    for (name, stage) in running {
        write!(formatter, "  {name:width$}  {:17}", named(stage))?;
        if let Some(progress) = &stage.progress {
            write!(formatter, "  {progress}")?;
        }
        if let (Some(pid), Some(host)) = (stage.pid.filter(|&pid| pid > 0), &stage.host) {
            write!(formatter, "  (process {pid} on {host})")?;
        }
        writeln!(formatter)?;
    }
    Ok(())
}

fn write_failed(formatter: &mut Formatter, status: &Status) -> fmt::Result {
    let failed: Vec<(&str, &Stage)> = status.stages_in(State::Failed).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let width = width_of(&failed);
    writeln!(formatter, "\n{:width$}    {:17}  exit status", "failed", "stage")?;
    for (name, stage) in failed {
        let exit = match stage.exit_status {
            Some(status) => status.to_string(),
            None => "none".to_owned(),
        };
        let after = stage
            .seconds
            .map(|seconds| format!(", after {}", duration(seconds)));
        writeln!(
            formatter,
            "  {name:width$}  {:17}  {exit}{}",
            named(stage),
            after.unwrap_or_default()
        )?;
        for line in wrapped(stage.message.as_deref().unwrap_or_default()) {
            writeln!(formatter, "    {line}")?;
        }
    }
    Ok(())
}

/// A stage in a list: `plagiarism (best)` where it has a column by another name.
fn named(stage: &Stage) -> String {
    let Stage { name, stage, .. } = stage;
    if name == stage {
        stage.clone()
    } else {
        format!("{stage} ({name})")
    }
}

fn width_of(stages: &[(&str, &Stage)]) -> usize {
    let names = stages.iter().map(|(name, _)| name.chars().count());
    names.max().unwrap_or(0)
}

/// A text in lines of whole words.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() < LINE => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// A report is of all cells, so that a failed one keeps it from being made.
fn write_report(formatter: &mut Formatter, status: &Status) -> fmt::Result {
    let mut stages = status.results.iter().flat_map(|row| &row.stages);
    let report = stages.find(|stage| stage.name == "report");
    let has_failed = status
        .stages_in(State::Failed)
        .any(|(_, stage)| stage.name != "report");
    match report.map(|report| report.state) {
        Some(State::ToDo) if has_failed => {
            writeln!(
                formatter,
                "\nThere is no report: it is made of all cells, once none has failed."
            )
        }
        Some(State::Old) if has_failed => writeln!(
            formatter,
            "\nThe report in the folder is an older one, and not of this run: it is made anew once no cell has failed."
        ),
        _ => Ok(()),
    }
}

fn write_notes(formatter: &mut Formatter, status: &Status) -> fmt::Result {
    if status.stages_in(State::Old).next().is_some() {
        writeln!(
            formatter,
            "\n~ old: was made, but of files or settings that have changed since, or that are to be made again; make run makes it anew"
        )?;
    }
    let not_found = &status.not_found;
    if !not_found.is_empty() {
        let named: Vec<String> = not_found
            .iter()
            .take(NAMED)
            .map(|path| path.display().to_string())
            .collect();
        let others = match not_found.len() - named.len() {
            0 => String::new(),
            others => format!(" and {others} more"),
        };
        writeln!(
            formatter,
            "\nNot compared with, since not there as seen from here: {}{others}",
            named.join(", ")
        )?;
    }
    Ok(())
}
