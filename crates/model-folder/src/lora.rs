//! Low-rank adaptation (Hu et al. 2021): which modules get an update, and how large it is, by the rules of peft 0.21.

use contract::Error;

use crate::module_choice::{ModuleChoice, fitting};

/// Settings of an adapter, under the rules by which peft 0.21 reads its own.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraSettings {
    /// Rank r of the update.
    pub rank: usize,
    /// The update is scaled by alpha / r.
    pub alpha: f64,
    /// Share of the adapter's input dropped in training.
    pub dropout: f64,
    /// Scale by alpha / √r instead (rsLoRA, Kalajdzievski 2023).
    pub rank_stabilized: bool,
    /// Learn the norm of each output's weights apart from their direction (DoRA, Liu et al. 2024).
    pub magnitude: bool,
    /// The layers to adapt.
    pub modules: ModuleChoice,
    /// Ranks of layers whose path ends with one of these regular expressions, the first that fits.
    pub rank_pattern: Vec<(String, usize)>,
    /// The same for alpha.
    pub alpha_pattern: Vec<(String, f64)>,
}

impl LoraSettings {
    /// An adapter of one rank on the family's usual layers.
    pub fn new(rank: usize, alpha: f64) -> Self {
        Self {
            rank,
            alpha,
            dropout: 0.0,
            rank_stabilized: false,
            magnitude: false,
            modules: ModuleChoice::default(),
            rank_pattern: Vec::new(),
            alpha_pattern: Vec::new(),
        }
    }

    /// Rank and factor on B·A of the layer at `path`.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a regular expression that is none.
    pub fn size(&self, path: &str) -> Result<(usize, f64), Error> {
        let rank = fitting(&self.rank_pattern, path)?.unwrap_or(self.rank);
        let alpha = fitting(&self.alpha_pattern, path)?.unwrap_or(self.alpha);
        let divisor = if self.rank_stabilized {
            (rank as f64).sqrt()
        } else {
            rank as f64
        };
        Ok((rank, alpha / divisor))
    }
}
