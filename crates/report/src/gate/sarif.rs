//! Findings as SARIF 2.1.0, which code hosts show beside a change.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Finding, Findings, Outcome, shown};

/// The schema of the format.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

pub(super) fn write(findings: &Findings) -> String {
    let file = findings.summary.file_name().unwrap_or_default().to_string_lossy();
    let measures: BTreeSet<&str> = findings
        .findings
        .iter()
        .map(|finding| finding.measure.as_str())
        .collect();
    let rules: Vec<Value> = measures
        .into_iter()
        .map(|measure| {
            json!({
                "id": measure,
                "shortDescription": { "text": format!("{measure} stays within its limit") },
            })
        })
        .collect();
    let results: Vec<Value> = findings
        .findings
        .iter()
        .map(|finding| result(finding, &file))
        .collect();
    log(&json!(rules), &json!(results), true)
}

pub(super) fn write_refusal(problem: &str) -> String {
    let rule = "refused";
    let rules = json!([{
        "id": rule,
        "shortDescription": { "text": "figures can be held against limits" },
    }]);
    let results = json!([{
        "ruleId": rule,
        "kind": "fail",
        "level": "error",
        "message": { "text": format!("nothing was held against limits: {problem}") },
        "locations": [location("summary.parquet")],
        "partialFingerprints": { "subject/v1": rule },
    }]);
    log(&rules, &results, false)
}

fn log(rules: &Value, results: &Value, is_successful: bool) -> String {
    let log = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tuneleak report check",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "invocations": [{ "executionSuccessful": is_successful }],
            "results": results,
        }],
    });
    format!("{log:#}\n")
}

/// What is found lies in no source file; viewers ask for a place all the same.
fn location(file: &str) -> Value {
    json!({ "physicalLocation": {
        "artifactLocation": { "uri": file },
        "region": { "startLine": 1 },
    }})
}

fn result(finding: &Finding, file: &str) -> Value {
    let (kind, level) = match finding.outcome {
        Outcome::Pass => ("pass", "none"),
        Outcome::Fail => ("fail", "error"),
        // A kind of "open" would be hidden by most viewers, and what is not known to pass must be seen.
        Outcome::NotEnoughData => ("fail", "warning"),
    };
    let reason = finding
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(" ({reason})"));
    let message = format!(
        "{}: {} of {}, {}: {}{reason}",
        finding.limit,
        shown(finding),
        finding.units,
        finding.subject,
        finding.outcome.word()
    );
    json!({
        "ruleId": finding.measure,
        "kind": kind,
        "level": level,
        "message": { "text": message },
        "locations": [location(file)],
        "partialFingerprints": { "subject/v1": format!("{} {}", finding.measure, finding.subject) },
    })
}
