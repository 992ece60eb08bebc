//! `plan`: turns a pipeline file into cells and Make rules, or shows what the cells will cost.

mod given_here;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use contract::PipelineFile;
use given_here::Given;
use plan::estimate::{self, CutShare, DEFAULT_GFLOPS, Table, cut_shares};

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

    /// Arithmetic rate for the estimated time, in 10^9 operations a second
    #[arg(long, value_name = "N", default_value_t = DEFAULT_GFLOPS)]
    gflops: f64,

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
        print!(
            "{}",
            Table(&estimate::estimates(&plan, &folder, arguments.gflops)?)
        );
        println!(
            "Estimates, at {} GFLOP/s (--gflops); dupgen, plagiarism and report not counted.",
            arguments.gflops
        );
        for cut in cut_shares(&plan, &folder)? {
            println!("{}", foretold(&cut));
        }
        return Ok(());
    }
    let plan = plan::plan(&pipeline, &folder)?;
    eprintln!(
        "plan        cells: {}, training sets: {}, rules: {}",
        plan.cells.len(),
        plan.training_sets.len(),
        folder.join("cells.mk").display()
    );
    for cut in cut_shares(&plan, &folder)? {
        eprintln!(
            "            by four bytes a token, {cut}; dupgen counts them with the tokenizers of the models"
        );
    }
    Ok(())
}

/// A share of documents that are cut, with what it rests on.
fn foretold(cut: &CutShare) -> String {
    match cut.share {
        None => cut.to_string(),
        Some(_) => {
            format!("{cut} (by four bytes a token; dupgen counts them with the tokenizers of the models)")
        }
    }
}
