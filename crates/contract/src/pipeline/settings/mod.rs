//! The tables of a pipeline file, every key with its meaning, unit and default.

mod check;
mod cluster;
mod compute_path;
mod corpus;
mod detection;
mod duplication;
mod extraction;
mod model;
mod report;
mod tuning;

use serde::{Deserialize, Serialize};

use crate::pipeline::OneOrMany;

pub use check::Check;
pub use cluster::{Cluster, StageResources};
pub use compute_path::ComputePath;
pub use corpus::{BadDocuments, Corpus, CorpusFormat, MAX_DOCUMENT_MB, RowShape, Shortage, TextUnit};
pub use detection::{Candidates, Confirmation, Detection, DetectorPreset, SimilaritySearch};
pub use duplication::{Budget, Canaries, CanaryWords, Duplication, Layout};
pub use extraction::{Begin, Extraction, MembershipPass, PromptSource, Strategy};
pub use model::{Architecture, Checkpoint, Mode, ModeKind, Model, Privacy, Targets};
pub use report::Reporting;
pub use tuning::{LossOn, Precision, Rows, Schedule, Tuning};

/// A whole pipeline file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pipeline {
    /// Name of the pipeline; results go to `data/runs/<name>` unless told otherwise.
    pub name: String,
    /// One line on what is asked, shown at the top of the report.
    #[serde(default)]
    pub description: String,
    /// Seeds; every cell runs once with each.
    #[serde(default = "default_seeds")]
    pub seeds: Vec<u64>,
    /// The private text: `[corpus]`, or several as `[[corpus]]`, each with a name and training sets
    /// of its own. The files that `plan` writes for the stages after `dupgen` leave it out.
    #[serde(default, rename = "corpus")]
    pub corpora: OneOrMany<Corpus>,
    /// How often documents occur in the training set.
    #[serde(default)]
    pub duplication: Duplication,
    /// Random strings planted to measure exposure.
    #[serde(default)]
    pub canaries: Canaries,
    /// Models to tune.
    #[serde(default)]
    pub model: Vec<Model>,
    /// Models that somebody else tuned, to be audited as they are.
    #[serde(default)]
    pub checkpoint: Vec<Checkpoint>,
    /// Ways of tuning, with their learning rates.
    #[serde(default)]
    pub mode: Vec<Mode>,
    /// How training runs.
    #[serde(default)]
    pub tuning: Tuning,
    /// How generations are drawn and continuations scored.
    #[serde(default)]
    pub extraction: Extraction,
    /// How generations are compared with the corpus.
    #[serde(default)]
    pub detection: Detection,
    /// What the report shows.
    #[serde(default)]
    pub report: Reporting,
    /// A look at the corpus before tuning, in place of tuning and of a report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// What jobs on a cluster ask for.
    #[serde(default)]
    pub cluster: Cluster,
}

fn default_seeds() -> Vec<u64> {
    vec![0]
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
