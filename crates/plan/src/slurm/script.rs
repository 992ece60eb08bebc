//! The scripts: one for sbatch for each array, and the one that submits them.

use std::fmt::Write;

use contract::pipeline::Cluster;

use super::arrays::{After, Array, Element, ranges};
use super::resources::{Resources, of_stage};
use crate::stage_runs::RUN;

/// What every job does with its element.
pub(super) const ELEMENT: &str = include_str!("element.sh");

/// What submitting takes, before the arrays are listed.
const SUBMIT: &str = include_str!("submit.sh");

/// What all scripts of a run have in common.
pub(super) struct Run<'a> {
    /// The run folder, as seen from where the program runs.
    pub(super) folder: &'a str,
    /// Name of the pipeline.
    pub(super) name: &'a str,
    pub(super) cluster: &'a Cluster,
}

impl Run<'_> {
    /// The script of an array. `program`: the command of its stage, where it is not that of the same name in PATH.
    pub(super) fn of_array(&self, array: &Array, resources: &Resources, program: Option<&str>) -> String {
        let Self { folder, cluster, .. } = self;
        let mut text = format!(
            "#!/bin/bash\n# {}: {} for Slurm. Written by plan; submitted, with what it waits for, by submit.sh beside it.\n",
            array.name,
            counted(array.elements.len(), "element"),
        );
        for option in self.options(array, resources) {
            writeln!(text, "{option}").ok();
        }
        writeln!(text, "\nrun={folder}").ok();
        if let Some(program) = program {
            let variable = array.stage.name().to_uppercase();
            writeln!(text, "export {variable}={}", quoted(program)).ok();
        }
        if !cluster.setup.is_empty() {
            writeln!(text, "\n# cluster.setup\n{}", cluster.setup.join("\n")).ok();
        }
        text.push_str("\n# Each element: [number]=\"files that other jobs make for it | what it makes\" # what it works on\nelements=(\n");
        for (number, element) in &array.elements {
            writeln!(text, "  {}", line(*number, element)).ok();
        }
        text.push_str(")\n\n. \"$run/slurm/element.sh\"\n");
        text
    }

    /// The lines that sbatch reads.
    fn options(&self, array: &Array, resources: &Resources) -> Vec<String> {
        let Self {
            folder,
            name,
            cluster,
        } = self;
        let stage = of_stage(cluster, array.stage);
        let running = match cluster.max_running {
            0 => String::new(),
            most => format!("%{most}"),
        };
        let minutes = resources.minutes;
        let time = format!("{:02}:{:02}:00", minutes / 60, minutes % 60);
        let mut options = vec![
            format!("--job-name={}-{}", job_name(name), array.name),
            format!("--array={}{running}", ranges(array.elements.keys().copied())),
            format!("--output={folder}/slurm/logs/{}.%a.log", array.name),
            "--open-mode=append".to_owned(),
            format!("--cpus-per-task={}", resources.cpus),
        ];
        if resources.gpus > 0 {
            options.push(format!("--gres=gpu:{}", resources.gpus));
        }
        options.extend(resources.partition.map(|name| format!("--partition={name}")));
        if !cluster.account.is_empty() {
            options.push(format!("--account={}", cluster.account));
        }
        options.push(
            if cluster.requeue {
                "--requeue"
            } else {
                "--no-requeue"
            }
            .to_owned(),
        );
        options.extend(cluster.options.iter().chain(&stage.options).cloned());
        let mut lines: Vec<String> = options.iter().map(|option| format!("#SBATCH {option}")).collect();
        lines.extend([
            format!("# {}", resources.time_note),
            format!("#SBATCH --time={time}"),
            format!("# {}", resources.memory_note),
            format!("#SBATCH --mem={}M", resources.mebibytes),
        ]);
        lines
    }

    /// The script that submits all arrays.
    pub(super) fn submit(&self, arrays: &[Array]) -> String {
        let mut text = format!(
            "#!/usr/bin/env bash\n\
             # Submits this run to Slurm, in the folder that plan was run in: bash {}/slurm/submit.sh\n\
             # Written by plan. What is done already is not submitted, so that it can be run again after a failure.\n\
             set -euo pipefail\n\nrun={0}\n{SUBMIT}\n",
            self.folder
        );
        for array in arrays {
            let after = match &array.after {
                After::Nothing => String::new(),
                // Each element waits for that with its own number.
                After::Corresponding(other) => format!(" aftercorr {}", arrays[*other].name),
                After::Elements(places) => places.iter().fold(" afterok".to_owned(), |text, place| {
                    format!("{text} {}:{}", arrays[place.array].name, place.number)
                }),
                After::End(others) => others.iter().fold(" afterany".to_owned(), |text, &other| {
                    format!("{text} {}", arrays[other].name)
                }),
            };
            writeln!(text, "submit {}{after}", array.name).ok();
        }
        text.push_str(
            "\nif [ ${#ids[@]} -eq 0 ]; then\n  echo \"Nothing to be done: $run is up to date\"\nelse\n  \
             echo \"${#ids[@]} arrays submitted; their jobs are in $jobs, their logs in $run/slurm/logs\"\nfi\n",
        );
        text
    }
}

fn line(number: usize, element: &Element) -> String {
    let needs = in_shell(element.needs.iter().copied());
    let makes = in_shell(element.run.outputs().map(String::as_str));
    format!(
        "[{number}]=\"{needs} | {makes}\" # {}",
        element.run.subject.replace('\n', " ")
    )
}

/// Paths as a shell has them between double quotes; they hold no signs of its own.
fn in_shell<'a>(paths: impl Iterator<Item = &'a str>) -> String {
    let paths: Vec<String> = paths.map(|path| path.replace(RUN, "$run")).collect();
    paths.join(" ")
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The name of a pipeline in letters that no shell reads as something else.
fn job_name(name: &str) -> String {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    name.chars()
        .map(|letter| if fits(letter) { letter } else { '-' })
        .collect()
}

/// A word for a shell.
fn quoted(text: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/._-+@,".contains(letter);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_reach_a_shell_whole() {
        for (text, expected) in [
            ("target/debug/tuner", "target/debug/tuner"),
            ("python3 mine.py", "'python3 mine.py'"),
            ("it's", r"'it'\''s'"),
            ("$(rm x)", "'$(rm x)'"),
        ] {
            assert_eq!(quoted(text), expected);
        }
        assert_eq!(job_name("a sweep: 2 / 3"), "a-sweep--2---3");
    }
}
