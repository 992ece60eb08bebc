//! What the page shows.

use serde::{Deserialize, Serialize};

/// `[report]`: what the page shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reporting {
    /// Heading of the page; without it, the pipeline's name.
    pub title: String,
    /// Leaked documents whose texts are unfolded when the page opens; all are listed.
    pub examples: usize,
    /// Most figures that the page repeats from `summary.parquet`; a report with more says where
    /// they are.
    pub figures: usize,
    /// Resamples of the bootstrap.
    pub resamples: usize,
}

impl Default for Reporting {
    fn default() -> Self {
        Self {
            title: String::new(),
            examples: 4,
            figures: 10_000,
            resamples: 1000,
        }
    }
}
