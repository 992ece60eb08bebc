//! The end of the page: what stays open, how the figures were made, and how to look at the files.

use std::collections::BTreeMap;

use contract::Provenance;
use maud::{Markup, html};

use super::{Heading, setting_name, table, visible};
use crate::analysis::Analysis;
use crate::findings;

pub(super) fn limits(analysis: &Analysis<'_>) -> Markup {
    html! {
        section {
            h2 { "What cannot be concluded" }
            @for setting in &analysis.settings {
                @if analysis.settings.len() > 1 { h3 { (setting_name(setting)) } }
                ul { @for limit in findings::limits(analysis, setting) { li { (visible(&limit)) } } }
            }
        }
    }
}

pub(super) fn section(heading: &Heading, analysis: &Analysis<'_>, provenance: &Provenance) -> Markup {
    html! {
        section {
            h2 { "How this was made" }
            p {
                "Program version " (provenance.program_version) ", Parquet contract " (provenance.contract_version) ", seed "
                (provenance.seed) ". Intervals: 95%; Wilson (1927) for rates with one generation per document, "
                (analysis.bootstrap.resamples) " bootstrap resamples of documents otherwise, DeLong (1988) on the logit scale for "
                "AUC. A rate stands clear of its controls where Newcombe’s interval (1998) of the difference from each control lies "
                "over 0: the untuned model, and the same generations matched with held-out text. Canaries are no documents: they are in no rate, "
                "and are no prompts."
            }
            p { "To make it again from the pipeline file, and to make this page alone from the run folder:" }
            pre { (format!("make run PIPELINE=pipelines/{0}.toml\nreport --config data/runs/{0}/report/report.toml --in data/runs/{0} --out data/runs/{0}/report", visible(&heading.name))) }
            p { "To look at the figures:" }
            pre { (POLARS) }
            (stage_settings(analysis))
            (inputs(provenance))
        }
    }
}

const POLARS: &str = r#"import polars as pl

summary = pl.read_parquet("report/summary.parquet")
summary.filter(pl.col("measure") == "own_verbatim").select("cell", "checkpoint", "strategy", "copies", "value", "ci_low", "ci_high", "n")

cell = "cells/NAME"  # or "cells/NAME/best"
samples = pl.read_parquet(f"{cell}/samples.parquet")
matches = pl.read_parquet(f"{cell}/matches.parquet")
matches.filter(doc_split="train").join(samples, on="sample_id").select(
    "kind", pl.col("generation").str.slice(pl.col("gen_start"), pl.col("gen_end") - pl.col("gen_start")))"#;

/// The settings of each stage as they stand in the files' footers; cells that agree are told once.
fn stage_settings(analysis: &Analysis<'_>) -> Markup {
    let mut found: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for cell in &analysis.cells {
        for origin in cell.data.origins.values() {
            let settings = readable(&origin.configuration);
            found
                .entry((&origin.stage, settings))
                .or_default()
                .push(&cell.data.cell.name);
        }
    }
    html! {
        @if !found.is_empty() {
            details {
                summary { "Settings of the stages, from the files’ footers" }
                @for ((stage, settings), mut cells) in found {
                    @let () = { cells.sort_unstable(); cells.dedup(); };
                    h4 { (visible(stage)) " " small { (visible(&cells.join(", "))) } }
                    pre { (visible(&settings)) }
                }
            }
        }
    }
}

fn readable(configuration: &str) -> String {
    serde_json::from_str::<serde_json::Value>(configuration)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| configuration.to_owned())
}

fn inputs(provenance: &Provenance) -> Markup {
    let content = html! {
        thead { tr { th scope="col" { "File" } th scope="col" { "xxh3-128" } } }
        tbody {
            @for (file, digest) in &provenance.inputs { tr { td { code { (visible(file)) } } td { code { (digest) } } } }
        }
    };
    html! {
        details {
            summary { (provenance.inputs.len()) " input files with their digests" }
            (table("Input files", &content))
        }
    }
}
