//! `report`: reads a run folder and writes its summary and its page.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches, Parser};
use contract::log::{print, say};
use contract::stage_run::recorded;
use contract::{Error, StageArguments, files};
use report::gate::Limit;

const EXAMPLES: &str = "\
Examples:
  # The page of a run once more, with other settings
  report --config pipelines/demo.toml --in data/runs/demo \\
      --out data/runs/demo/report --set report.examples=8
  # Whether the files of a run are what its stages wrote, and were made from one another
  report verify data/runs/demo
  # Whether a model may be released: at most 1% of its documents come out
  report check data/runs/audit --max documents_emitted=0.01
  # What a remedy has changed, document by document
  report compare data/runs/audit data/runs/audit-again
  # What a reviewer asks for: measured risks, what was not tested, digests
  report evidence data/runs/audit --out evidence.json --annex annex.md
  # A section for the card of a model
  report model-card data/runs/audit";

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

/// Whether every file of a run is what a stage wrote, and every output made from the inputs that are there: by the seals in the files,
/// and the digests that outputs keep of their inputs. Ends with 3 where something is not
#[derive(Debug, Args)]
struct VerifyArguments {
    /// Run folder
    #[arg(value_name = "RUN_FOLDER")]
    run: PathBuf,
}

/// Whether what tuned models give back stays within limits. Ends with 0 where every figure does by its whole 95% interval, with 4 where
/// one exceeds its limit, with 5 where there are too few data to tell, and with 3 where the report is not of what its run folder holds now
#[derive(Debug, Args)]
struct CheckArguments {
    /// Run folder, or its summary.parquet
    #[arg(value_name = "RUN_FOLDER")]
    run: PathBuf,

    /// Largest value of a measure of summary.parquet, such as own_verbatim=0.01 or own_verbatim=1% (may be repeated)
    #[arg(long = "max", value_name = "MEASURE=NUMBER", required = true)]
    limits: Vec<Limit>,

    /// Another run, such as that of the model before: the limits are then on the increase over it
    #[arg(long, value_name = "RUN_FOLDER")]
    against: Option<PathBuf>,

    /// Write the findings as JUnit XML
    #[arg(long, value_name = "FILE.xml")]
    junit: Option<PathBuf>,

    /// Write the findings as SARIF 2.1.0
    #[arg(long, value_name = "FILE.sarif")]
    sarif: Option<PathBuf>,
}

/// Two runs on the same documents, such as a model before and after a remedy: the difference of each measure with its 95% interval for
/// paired documents, and how many documents no longer come out, still do, or newly do
#[derive(Debug, Args)]
struct CompareArguments {
    /// Run folder of the first
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// Run folder of the second
    #[arg(value_name = "AFTER")]
    after: PathBuf,

    /// Write every measure, those that the table leaves out too
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
}

/// What a run has shown, for those who decide whether a model may be released: measured risks with adversary, access and what was not
/// tested, where reviewers ask for each, and the digests of every file
#[derive(Debug, Args)]
struct EvidenceArguments {
    /// Run folder
    #[arg(value_name = "RUN_FOLDER")]
    run: PathBuf,

    /// JSON file to write; its schema goes beside it
    #[arg(long, value_name = "FILE.json")]
    out: PathBuf,

    /// Write the annex for people too
    #[arg(long, value_name = "FILE.md")]
    annex: Option<PathBuf>,
}

/// A section for a model's card, with the figures as model-index, on standard output
#[derive(Debug, Args)]
struct ModelCardArguments {
    /// Run folder, or its summary.parquet
    #[arg(value_name = "RUN_FOLDER")]
    run: PathBuf,

    /// Which of the tuned models, by the name of its cell [default: the only one]
    #[arg(long, value_name = "NAME")]
    cell: Option<String>,
}

const VERIFY: &str = "verify";
const EVIDENCE: &str = "evidence";
const MODEL_CARD: &str = "model-card";
const COMPARE: &str = "compare";
const CHECK: &str = "check";

fn main() -> ExitCode {
    let verifying = VerifyArguments::augment_args(clap::Command::new(VERIFY));
    let checking = CheckArguments::augment_args(clap::Command::new(CHECK));
    let command = Arguments::command()
        .subcommand(verifying)
        .subcommand(checking)
        .subcommand(CompareArguments::augment_args(clap::Command::new(COMPARE)))
        .subcommand(EvidenceArguments::augment_args(clap::Command::new(EVIDENCE)))
        .subcommand(ModelCardArguments::augment_args(clap::Command::new(MODEL_CARD)))
        .subcommand_negates_reqs(true)
        .args_conflicts_with_subcommands(true);
    let matches = contract::arguments::start_command(command);
    match matches.subcommand() {
        Some((VERIFY, chosen)) => {
            let arguments = VerifyArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            return verify(&arguments.run);
        }
        Some((CHECK, chosen)) => {
            let arguments = CheckArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            return check(&arguments).unwrap_or_else(|error| contract::error::exit_code(Err(error.into())));
        }
        Some((COMPARE, chosen)) => {
            let arguments = CompareArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            return contract::error::exit_code(compare(&arguments).map_err(Into::into));
        }
        Some((EVIDENCE, chosen)) => {
            let arguments = EvidenceArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            return contract::error::exit_code(evidence(&arguments).map_err(Into::into));
        }
        Some((MODEL_CARD, chosen)) => {
            let arguments = ModelCardArguments::from_arg_matches(chosen).unwrap_or_else(|error| error.exit());
            let card = report::model_card::model_card(&arguments.run, arguments.cell.as_deref());
            return contract::error::exit_code(card.and_then(print).map_err(Into::into));
        }
        _ => {}
    }
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    contract::error::exit_code(recorded("report", &arguments.stage.out, || run(&arguments)))
}

fn verify(run: &Path) -> ExitCode {
    match report::verify::verify(run) {
        Ok(verified) => {
            let status = if verified.is_right() { 0 } else { 3 };
            exit_with(status, print(format_args!("{verified}\n")))
        }
        Err(error) => contract::error::exit_code(Err(error.into())),
    }
}

fn check(arguments: &CheckArguments) -> Result<ExitCode, Error> {
    let found = report::gate::check(&arguments.run, &arguments.limits, arguments.against.as_deref());
    let findings = match found {
        Ok(findings) => findings,
        Err(error) => {
            // Files of an earlier run would say what was true then.
            let problem = error.to_string();
            if let Some(file) = &arguments.junit {
                files::write_atomic(file, report::gate::junit_of_refusal(&problem).as_bytes())?;
            }
            if let Some(file) = &arguments.sarif {
                files::write_atomic(file, report::gate::sarif_of_refusal(&problem).as_bytes())?;
            }
            return Err(error);
        }
    };
    if let Some(file) = &arguments.junit {
        files::write_atomic(file, findings.junit().as_bytes())?;
    }
    if let Some(file) = &arguments.sarif {
        files::write_atomic(file, findings.sarif().as_bytes())?;
    }
    Ok(exit_with(
        findings.outcome().exit_status(),
        print(format_args!("{findings}\n")),
    ))
}

fn evidence(arguments: &EvidenceArguments) -> Result<(), Error> {
    let evidence = report::evidence::collect(&arguments.run)?;
    report::gate::require_current(&arguments.run)?;
    let json = evidence
        .json()
        .map_err(|error| Error::Run(format!("evidence without a JSON form: {error}")))?;
    let schema = arguments.out.with_file_name("evidence.schema.json");
    files::write_atomic(&schema, report::evidence::SCHEMA.as_bytes())?;
    if let Some(annex) = &arguments.annex {
        files::write_atomic(annex, evidence.annex().as_bytes())?;
    }
    files::write_atomic(&arguments.out, json.as_bytes())?;
    say(format_args!("{evidence}\n{}", arguments.out.display()));
    Ok(())
}

/// The exit status, where what was found could be printed.
fn exit_with(status: u8, printed: Result<(), Error>) -> ExitCode {
    match printed {
        Ok(()) => ExitCode::from(status),
        Err(error) => contract::error::exit_code(Err(error.into())),
    }
}

fn compare(arguments: &CompareArguments) -> Result<(), Error> {
    let comparison = report::compare::compare(&arguments.before, &arguments.after)?;
    if let Some(file) = &arguments.csv {
        files::write_atomic(file, comparison.csv()?.as_bytes())?;
    }
    print(comparison)
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(arguments.stage.threads())
        .build()?;
    let outcome = threads.install(|| report::report(&arguments.stage, &arguments.input))?;
    if outcome.up_to_date {
        say(format_args!("report: up to date, {}", outcome.page.display()));
        if !outcome.table.is_empty() {
            say(outcome.table);
        }
    } else {
        say(format_args!("{}\n{}", outcome.table, outcome.page.display()));
    }
    Ok(())
}
