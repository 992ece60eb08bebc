//! `report.json`: the table of estimates, the verdicts and the checks, for programs. Its schema is `report.schema.json` beside it.

use contract::records::SummaryRow;
use serde::Serialize;

use crate::estimate::{Estimates, Key};
use crate::findings::answer;

/// Version of the schema: a reader that knows it can read the file.
pub const SCHEMA_VERSION: u32 = 1;

/// The schema, as it is written beside `report.json`.
pub const SCHEMA: &str = include_str!("report.schema.json");

/// The whole file.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    schema_version: u32,
    program: &'static str,
    program_version: &'static str,
    name: &'a str,
    verdicts: Vec<ReportVerdict<'a>>,
    claims: Vec<ReportClaim<'a>>,
    checks: Vec<ReportCheck<'a>>,
    estimates: &'a [SummaryRow],
}

/// The verdict on a model; `rows` are the numbers of the estimates that it is based on.
#[derive(Debug, Serialize)]
struct ReportVerdict<'a> {
    model: &'a str,
    corpus: Option<&'a str>,
    layout: &'a str,
    method: &'a str,
    checkpoint: Option<String>,
    copies: Option<i32>,
    verdict: &'static str,
    runs: usize,
    of_runs: usize,
    paragraph: String,
    rows: Vec<usize>,
}

/// A claim of the paper.
#[derive(Debug, Serialize)]
struct ReportClaim<'a> {
    name: &'a str,
    says: &'a str,
    outcome: &'static str,
    rows: Vec<usize>,
}

/// A check of plausibility of one cell.
#[derive(Debug, Serialize)]
struct ReportCheck<'a> {
    cell: &'a str,
    checkpoint: Option<String>,
    check: &'static str,
    status: &'static str,
    message: &'a str,
}

/// The file's text.
///
/// # Errors
/// Where serde has no form for it, which no value of these types has.
pub fn write(name: &str, estimates: &Estimates<'_>, rows: &[SummaryRow]) -> serde_json::Result<String> {
    let number = |key: &Key| estimates.table.get(key).map(|shown| shown.number);
    let mut verdicts = Vec::new();
    for experiment in &estimates.experiments {
        for model in answer(estimates, experiment).models {
            let (Some(verdict), group) = (
                estimates.verdicts.get(&model.group),
                &estimates.groups[model.group],
            ) else {
                continue;
            };
            let keys = [&verdict.key, &verdict.own].into_iter().chain(&verdict.leaking);
            let keys = keys
                .chain(&verdict.membership)
                .chain(&verdict.canaries)
                .chain(&verdict.secrets);
            verdicts.push(ReportVerdict {
                model: &group.model,
                corpus: group.corpus.as_deref(),
                layout: &group.layout,
                method: &group.method_label,
                checkpoint: group.checkpoint.map(|checkpoint| checkpoint.to_string()),
                copies: verdict.own.copies,
                verdict: verdict.verdict.word(),
                runs: verdict.runs,
                of_runs: verdict.of_runs,
                paragraph: model.to_string(),
                rows: keys.filter_map(number).collect(),
            });
        }
    }
    let claims = estimates.paper.iter().map(|claim| ReportClaim {
        name: claim.name,
        says: claim.says,
        outcome: claim.outcome.words(),
        rows: claim.figures.iter().filter_map(|(_, key)| number(key)).collect(),
    });
    let checks = estimates.cells.iter().flat_map(|cell| {
        cell.checks.iter().map(|result| ReportCheck {
            cell: &cell.data.cell.name,
            checkpoint: cell.data.checkpoint.map(|checkpoint| checkpoint.to_string()),
            check: result.check.name,
            status: result.finding.status.word(),
            message: &result.finding.message,
        })
    });
    serde_json::to_string(&Report {
        schema_version: SCHEMA_VERSION,
        program: "tuneleak report",
        program_version: env!("CARGO_PKG_VERSION"),
        name,
        verdicts,
        claims: claims.collect(),
        checks: checks.collect(),
        estimates: rows,
    })
}
