//! How much of its fine-tuning text does a language model give back, and how useful is it still?
//!
//! Every figure of a report is computed here, by a pure function: slices in, a number out. No model, no
//! file, no data frame. Each docstring states the formula, the range, the unit and the source, and each
//! function has a test whose expected value was worked out by hand.
//!
//! The modules, in the order in which a report needs them:
//!
//! - [`overlap`]: how alike are two texts? ROUGE-L, BLEU, edit similarity, longest common substring.
//! - [`similarity`]: the relaxed comparison, the largest cosine over pairs of sentence vectors.
//! - [`memorization`]: what teacher forcing shows about exact reproduction.
//! - [`discoverable`]: (n, p)-discoverable extraction, from probabilities alone.
//! - [`exposure`]: by how many bits a planted canary outranks the strings that were never planted.
//! - [`membership`]: does its score show whether a document was trained on?
//! - [`privacy`]: the ε of noise that is added to gradients, and a lower bound on it from canaries.
//! - [`propensity`]: does text come out unforced?
//! - [`spectrum`]: of how many directions is a change of weights made?
//! - [`utility`] and [`final_answer`]: loss, perplexity, bits per byte; the answer that a solution gives.
//! - [`interval`]: how sure a figure is, and how many samples would make it surer.
//! - [`mod@test`]: how improbable a difference is if there is none.
//! - [`risk`]: which documents of a corpus would a model tuned on it give back?
//! - [`control`]: what the same generations share with text that was never trained on.
//! - [`tradeoff`]: memorization at equal utility, along the path of training.
//!
//! Three types recur. An [`Interval`] is what stands beside a figure: the ends of its 95% confidence
//! interval. A [`Tally`] is what one document contributes to a rate: a part and the whole it is part of. A
//! [`MeasureError`] is the answer to a question without one: a NaN going in is an error, not a NaN coming
//! out, and a measure of nothing is an error that says what was missing.
//!
//! ```
//! use measures::interval::{clustered_rate, wilson};
//! use measures::{Tally, overlap};
//!
//! # fn main() -> measures::Result<()> {
//! // One generation against the text that it should not have known:
//! assert_eq!(overlap::rouge_l("A cat sat.", "a cat sat down"), 6.0 / 7.0);
//!
//! // Three of forty prompts, one sample each, gave back their document:
//! let rate = wilson(3, 40)?;
//! assert!(rate.contains(3.0 / 40.0));
//!
//! // Ten samples of a document belong together, so they count for less than ten:
//! let mut documents = vec![Tally::new(0.0, 10.0); 38];
//! documents.extend([Tally::new(10.0, 10.0); 2]);
//! let rate = clustered_rate(&documents)?;
//! assert!(rate.contains(0.05) && rate.width() > 3.0 * wilson(20, 400)?.width());
//! # Ok(())
//! # }
//! ```

pub use error::{MeasureError, Result};
pub use interval::{Interval, Tally};

pub mod control;
pub mod discoverable;
pub mod exposure;
pub mod final_answer;
pub mod interval;
pub mod membership;
pub mod memorization;
pub mod overlap;
pub mod privacy;
pub mod propensity;
pub mod risk;
pub mod similarity;
pub mod spectrum;
pub mod test;
pub mod tradeoff;
pub mod utility;

mod distribution;
mod error;
