//! `report`: reads a run folder and writes its summary and its page.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use contract::StageArguments;

const EXAMPLES: &str = "\
Examples:
  # The page of a run once more, with other settings
  report --config pipelines/demo.toml --in data/runs/demo \\
      --out data/runs/demo/report --set report.examples=8";

/// Rates with intervals and controls from a run folder: summary.parquet, and report.html, a page that needs nothing else
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    stage: StageArguments,

    /// Run folder, with its cells/ and corpus/
    #[arg(long = "in", value_name = "RUN_FOLDER")]
    input: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    contract::arguments::start_program();
    contract::error::exit_code(run(&arguments))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.stage.threads())
        .build()?;
    let outcome = threads.install(|| report::report(&arguments.stage, &arguments.input))?;
    if outcome.up_to_date {
        eprintln!("report: up to date, {}", outcome.page.display());
        if !outcome.table.is_empty() {
            eprintln!("{}", outcome.table);
        }
    } else {
        eprintln!("{}\n{}", outcome.table, outcome.page.display());
    }
    Ok(())
}
