//! The cells as Make rules: which file each stage makes from which, so that make does the scheduling.
//!
//! A stage writes several files; make, down to version 3.81, knows no rule for that. So the file that the stage is known by
//! gets the rule, and each further file a rule of its own that runs the stage again only where that file is missing, or
//! older than what it is made from, while the first one is current: after a file was removed, or the stage killed between two.
//!
//! What users give may be replaced by something older. `given.rs` has the rules depend on a list of it for that.
//!
//! `status/rules.rs` reads these rules back.

use std::fmt::Write;

use contract::progress::CELL_VARIABLE;

use crate::stage_runs::{Stage, StageRun, StageRuns};

const HEAD: &str = r#"# Written by plan from the pipeline file: one rule for each file that a stage makes.
#
#   make -f THIS_FILE [-j N] [-n] [-k] [all|dupgen|tune|extract|plagiarism|report|check] [THREADS=N] [EXTRACTOR="…"]
#
# Run it in the folder that plan was run in. Any stage's program can be replaced by its variable. The exit status of a stage that
# fails is left in the file exit_status beside this one, since make's own is 2 whatever happened. plan --status tells how far a run is.

DUPGEN ?= dupgen
TUNER ?= tuner
EXTRACTOR ?= extractor
PLAGIARISM ?= plagiarism
REPORT ?= report
CHECK ?= check

# With -jN each of the stages that run at once has its share of the processors, unless THREADS says otherwise.
jobs = $(lastword $(filter -j%,$(MAKEFLAGS)))
share = all=$$(getconf _NPROCESSORS_ONLN); jobs=$(jobs:-j%=%); jobs=$${jobs:-$$all}; echo $$((jobs < all ? all / jobs : 1))
threads = $(if $(THREADS), --threads $(THREADS),$(if $(jobs), --threads $(shell $(share))))
current = test -e $@ && test -z "$$(find -L $^ -prune -newer $@)"
# $(call failed,STAGE,FOLDER): whatever program the stage is, its exit status is left where it writes, for make status.
, := ,
failed = { status=$$?; echo $$status >$(run)/exit_status; echo $$status >$(2)/.exit-$(1); exit $$status; }

.PHONY: all dupgen tune extract plagiarism report check
"#;

/// The text of `cells.mk`.
pub(crate) fn rules(runs: &StageRuns) -> String {
    let mut text = format!(
        "{HEAD}\nall: dupgen tune extract plagiarism report check\n\nrun := {}\n\n",
        runs.folder
    );
    for stage in Stage::ALL {
        text.push_str(stage.target());
        text.push(':');
        for output in runs.of_stage(stage).flat_map(StageRun::outputs) {
            write!(text, " \\\n  {output}").ok();
        }
        text.push('\n');
    }
    let (parts, whole): (Vec<_>, Vec<_>) = runs.runs.iter().map(StageRun::shared).unzip();
    let parts: Vec<StageRun> = parts.into_iter().flatten().collect();
    if !parts.is_empty() {
        // What is there as a whole needs no parts, and make asks for none: not of a run without parts, nor where somebody removed them.
        let files: Vec<&str> = parts.iter().map(|part| &part.main[..]).collect();
        write!(text, ".SECONDARY: \\\n  {}\n", files.join(" \\\n  ")).ok();
    }
    for run in whole.iter().chain(&parts) {
        write!(text, "{}", Rule(run)).ok();
    }
    text
}

/// A run as rules of make.
struct Rule<'a>(&'a StageRun);

impl std::fmt::Display for Rule<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self(StageRun {
            stage,
            subject,
            cell,
            command,
            prerequisites,
            main,
            further,
            folders,
            parts: _,
            given: _,
            list: _,
        }) = self;
        let stage = stage.name();
        // A comma would divide what make's `call` is given.
        let failed = format!("$(call failed,{stage},{})", self.0.out().replace(',', "$(,)"));
        // The progress that a stage shows begins with the cell.
        let (of_cells, command) = match cell {
            Some(cell) => (
                format!("[{cell}] "),
                format!("{CELL_VARIABLE}='cell {cell}' {command}"),
            ),
            None => (String::new(), command.clone()),
        };
        let files: Vec<&str> = self.0.files().map(String::as_str).collect();
        writeln!(
            formatter,
            "\n{}: \\\n  {}",
            files.join(" "),
            prerequisites.join(" \\\n  ")
        )?;
        writeln!(
            formatter,
            "{main}:\n\t@echo '{of_cells}{subject}: {stage}'\n\t@{command}$(threads) || {failed}"
        )?;
        // One waits for the other: the stage that makes a first missing one makes all of them, and does not run twice at once.
        let mut before = main;
        for file in further {
            writeln!(
                formatter,
                "{file}: | {before}\n\t@$(current) || {{ {command}$(threads) && touch -c $@; }} || {failed}"
            )?;
            before = file;
        }
        for folder in folders {
            writeln!(
                formatter,
                "{folder}: | {before}\n\t@test -e $@ || {command}$(threads) || {failed}"
            )?;
            before = folder;
        }
        Ok(())
    }
}
