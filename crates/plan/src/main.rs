//! `plan`: turns a pipeline file into cells and Make rules (and jobs of Slurm), or shows what the cells will cost.

mod given_here;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use contract::PipelineFile;
use contract::log::{print, say};
use given_here::Given;
use plan::estimate::{self, Speed, SpeedSource, Table, cut_shares};
use plan::status::{Brief, Status};
use plan::{AtOnce, Plan};

const EXAMPLES: &str = "\
Examples:
  # Write the run folder data/runs/demo, with the rules that make runs
  plan --config pipelines/demo.toml
  # What every cell will cost with twice the epochs; nothing is written
  plan --config pipelines/demo.toml --estimate --set tuning.epochs=6
  # How far a run is, from its folder alone
  plan --status --out data/runs/demo
  # The same with job scripts for Slurm, in data/runs/sweep/slurm
  plan --config pipelines/sweep.toml --slurm";

/// Turns a pipeline file into cells, each with the configuration of its stages, and into Make rules between their files
#[derive(Parser)]
#[command(name = "plan", version, after_help = EXAMPLES)]
struct Arguments {
    /// Pipeline file (TOML)
    #[arg(long, value_name = "FILE.toml", required_unless_present = "status")]
    config: Option<PathBuf>,

    /// Folder of the run [default: data/runs/<name of the pipeline file>]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Print the cells with estimates of tokens, time, memory and disk, and write nothing
    #[arg(long, visible_alias = "show")]
    estimate: bool,

    /// Say how far the run in the folder is, from the folder alone: what is done, running, failed and to do, with times and disk
    #[arg(long, conflicts_with_all = ["estimate", "at_once", "slurm"])]
    status: bool,

    /// With --status: only sums, and what failed
    #[arg(long, requires = "status")]
    brief: bool,

    /// With --status: as JSON
    #[arg(long, requires = "status", conflicts_with = "brief")]
    json: bool,

    /// Print how many of N jobs can run at once in the memory that is free, by the estimates of what each cell takes
    #[arg(long, value_name = "N", conflicts_with_all = ["estimate", "slurm"], value_parser = jobs)]
    at_once: Option<usize>,

    /// Free memory in bytes, for --at-once [default: what the machine and the process's control group have left]
    #[arg(long, value_name = "BYTES", requires = "at_once", value_parser = positive)]
    memory: Option<f64>,

    /// Write job scripts for Slurm too, in the run folder's folder slurm
    #[arg(long, conflicts_with = "estimate")]
    slurm: bool,

    /// Arithmetic rate of training for the estimated time, in 10^9 operations a second [default: measured, see --measure]
    #[arg(long, value_name = "N", value_parser = positive)]
    gflops: Option<f64>,

    /// Program of stage 2, which measures how fast this machine is, in a second or two for each width of model
    #[arg(long, value_name = "TUNER", default_value = "", hide_default_value = true)]
    measure: String,

    /// Threads that stages will compute with, to measure the speed of [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,

    /// One seed in place of `seeds` in the pipeline file
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    given: Given,

    /// Override one value of the pipeline file, e.g. --set tuning.epochs=3 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

fn main() -> ExitCode {
    let arguments: Arguments = contract::arguments::start();
    contract::error::exit_code(run(arguments))
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    if arguments.status {
        return print_status(&arguments);
    }
    // The command line has seen to it.
    let config = arguments.config.unwrap_or_default();
    let mut overrides = arguments.given.overrides()?;
    overrides.extend(arguments.overrides);
    overrides.extend(arguments.seed.map(|seed| format!("seeds=[{seed}]")));
    let pipeline = PipelineFile::load(&config, &overrides)?;
    let folder = arguments.out.unwrap_or_else(|| run_folder(&config));
    let of_cluster = pipeline.cluster.gflops.filter(|_| arguments.slurm);
    let mut speed = match arguments.gflops.or(of_cluster) {
        Some(gflops) => SpeedSource::Given(Speed::of_training(gflops)),
        None => SpeedSource::program(&arguments.measure, arguments.threads),
    };
    if arguments.estimate {
        let plan = Plan::of(&pipeline)?;
        let estimates = estimate::estimates(&plan, &folder, &mut speed)?;
        print(Table(&estimates))?;
        print(format_args!(
            "Estimates, {speed} (--gflops); dupgen and report not counted.\n"
        ))?;
        for cut in cut_shares(&plan, &folder)? {
            print(format_args!("{cut}\n"))?;
        }
        return Ok(());
    }
    if let Some(jobs) = arguments.at_once {
        let at_once = AtOnce::of(&Plan::of(&pipeline)?, &folder, jobs, arguments.memory)?;
        if at_once.jobs < jobs {
            say(at_once);
        }
        print(format_args!("{}\n", at_once.jobs))?;
        return Ok(());
    }
    let plan = plan::plan(&pipeline, &folder)?;
    for cut in cut_shares(&plan, &folder)? {
        say(cut);
    }
    if arguments.slurm {
        let written = plan::slurm::write(&plan, &folder, &mut speed)?;
        say(format_args!(
            "plan: {} job arrays of {} jobs in all, with times estimated {speed} (cluster.gflops). Submit them: bash {}",
            written.arrays,
            written.elements,
            folder.join("slurm/submit.sh").display()
        ));
    }
    if plan.is_look() {
        say(format_args!(
            "plan: a look at the corpus before tuning, in {}",
            folder.display()
        ));
        return Ok(());
    }
    say(format_args!(
        "plan: {} cells on {} training sets, in {}",
        plan.cells.len(),
        plan.training_sets.len(),
        folder.display()
    ));
    Ok(())
}

/// The run folder of a pipeline file, where none is named.
fn run_folder(config: &Path) -> PathBuf {
    PathBuf::from("data/runs").join(config.file_stem().unwrap_or_default())
}

fn print_status(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = match (&arguments.out, &arguments.config) {
        (Some(folder), _) => folder.clone(),
        (None, Some(config)) => run_folder(config),
        (None, None) => {
            let problem = "--status needs the run folder: --out FOLDER, or --config FILE.toml where the folder has its name";
            return Err(contract::Error::Configuration(problem.to_owned()).into());
        }
    };
    let status = Status::of(&folder)?;
    if arguments.json {
        print(format_args!("{}\n", serde_json::to_string_pretty(&status)?))?;
    } else if arguments.brief {
        print(Brief(&status))?;
    } else {
        print(status)?;
    }
    Ok(())
}

fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("expected a number of jobs above 0".to_owned()),
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}
