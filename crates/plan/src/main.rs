//! `plan`: turns a pipeline file into cells and Make rules, or shows what the cells will cost.

mod given_here;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use contract::PipelineFile;
use contract::log::say;
use given_here::Given;
use plan::estimate::{self, Speed, SpeedSource, Table, cut_shares};

const EXAMPLES: &str = "\
Examples:
  # Write the run folder data/runs/demo, with the rules that make runs
  plan --config pipelines/demo.toml
  # What every cell will cost with twice the epochs; nothing is written
  plan --config pipelines/demo.toml --estimate --set tuning.epochs=6";

/// Turns a pipeline file into cells, each with the configuration of its stages, and into Make rules between their files
#[derive(Parser)]
#[command(name = "plan", version, after_help = EXAMPLES)]
struct Arguments {
    /// Pipeline file (TOML)
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,

    /// Folder of the run [default: data/runs/<name of the pipeline file>]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,

    /// Print the cells with estimates of tokens, time, memory and disk, and write nothing
    #[arg(long, visible_alias = "show")]
    estimate: bool,

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
    let arguments = Arguments::parse();
    contract::arguments::start_program();
    contract::error::exit_code(run(arguments))
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut overrides = arguments.given.overrides()?;
    overrides.extend(arguments.overrides);
    overrides.extend(arguments.seed.map(|seed| format!("seeds=[{seed}]")));
    let pipeline = PipelineFile::load(&arguments.config, &overrides)?;
    let folder = arguments.out.unwrap_or_else(|| {
        PathBuf::from("data/runs").join(
            arguments
                .config
                .file_stem()
                .unwrap_or_else(|| pipeline.name.as_ref()),
        )
    });
    if arguments.estimate {
        let plan = plan::Plan::of(&pipeline)?;
        let mut speed = match arguments.gflops {
            Some(gflops) => SpeedSource::Given(Speed::of_training(gflops)),
            None => SpeedSource::program(&arguments.measure, arguments.threads),
        };
        let estimates = estimate::estimates(&plan, &folder, &mut speed)?;
        print!("{}", Table(&estimates));
        println!("Estimates, {speed} (--gflops); dupgen and report not counted.");
        for cut in cut_shares(&plan, &folder)? {
            println!("{cut}");
        }
        return Ok(());
    }
    let plan = plan::plan(&pipeline, &folder)?;
    for cut in cut_shares(&plan, &folder)? {
        say(cut);
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

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".to_owned()),
    }
}
