//! Ways of decoding: the other half of an attack, beside its [form of prompt](crate::prompt_form). Whatever needs to know asks here, so that a
//! new way is a variant with its facts, and in the extractor a file and a kind of job.

use crate::pipeline::Strategy;
use crate::prompt_form::{Access, FormSource};

/// How a strategy gets text out of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decoding {
    /// The most probable token, one after another: one generation of each prompt.
    Greedy,
    /// Draws from the distribution that the strategy leaves.
    Draws,
    /// The most probable sequences, found by beam search.
    Beams,
    /// A search for the prompt itself; what follows is decoded greedily.
    Search,
}

impl Decoding {
    /// What of a model it takes, beside what the form of prompt takes.
    pub fn access(self) -> Access {
        match self {
            Self::Greedy | Self::Draws => Access::Text,
            Self::Beams => Access::Probabilities,
            Self::Search => Access::Weights,
        }
    }
}

impl Strategy {
    /// How it decodes.
    pub fn decoding(&self) -> Decoding {
        if self.prompt.facts().source == FormSource::Search {
            Decoding::Search
        } else if self.beams > 0 {
            Decoding::Beams
        } else if self.temperature == 0.0 {
            Decoding::Greedy
        } else {
            Decoding::Draws
        }
    }

    /// Generations that it makes of each prompt.
    pub fn generations_of_prompt(&self) -> usize {
        match self.decoding() {
            Decoding::Greedy | Decoding::Search => 1,
            Decoding::Beams => self.samples.min(self.beams),
            Decoding::Draws => self.samples,
        }
    }

    /// Passes of one token through the model for a prompt, where it generates so many tokens; what reading the prompt takes is left out.
    pub fn tokens_of_prompt(&self, new_tokens: usize) -> usize {
        match self.decoding() {
            Decoding::Greedy => new_tokens,
            Decoding::Draws => self.samples * new_tokens,
            Decoding::Beams => self.beams * new_tokens,
            // Each step reads the prompt and what it should bring forth with every exchange that it tries, and once for the gradient.
            Decoding::Search => self.steps * (SEARCH_TRIALS + 1) * (self.prompt_tokens + new_tokens),
        }
    }

    /// What of a model the attack takes.
    pub fn access(&self) -> Access {
        self.decoding().access().max(self.prompt.facts().access)
    }
}

/// Exchanges of one token that each step of the search for a prompt tries.
pub const SEARCH_TRIALS: usize = 64;
