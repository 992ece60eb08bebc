//! How many documents training will cut, said before anything starts.

use std::fmt;
use std::path::Path;

use contract::Error;
use contract::pipeline::Rows;

use super::Extent;
use super::extent::CorpusSize;
use crate::Plan;

/// The share of the documents that are longer than training reads.
#[derive(Debug, Clone, PartialEq)]
pub struct CutShare {
    /// The key that says where they are cut.
    pub key: &'static str,
    /// Its value: tokens, the BOS included.
    pub context: usize,
    /// The share, 0 to 1; none where no length is known yet.
    pub share: Option<f64>,
}

/// The shares of documents that are cut at `tuning.context`, and where tuning elsewhere cut them for checkpoints that are audited:
/// of a training set in the folder `run` where there is one, else of the beginnings of the corpus files. None where rows are
/// packed, since nothing is cut.
///
/// # Errors
/// [`Error::Input`] where a corpus file cannot be read.
pub fn cut_shares(plan: &Plan, run: &Path) -> Result<Vec<CutShare>, Error> {
    let pipeline = plan.pipeline;
    let cuts_rows = !pipeline.model.is_empty() && pipeline.tuning.rows == Rows::Documents;
    let of_tuning = cuts_rows.then_some(("tuning.context", pipeline.tuning.context));
    let of_audits = pipeline
        .checkpoint
        .iter()
        .filter_map(|checkpoint| Some(("checkpoint.context", checkpoint.context?)));
    let mut places: Vec<(&str, usize)> = of_tuning.into_iter().chain(of_audits).collect();
    places.dedup();
    let share = |context: usize| {
        // One token of them is the BOS.
        let most = context as f64 - 1.0;
        let sets = plan.training_sets.iter();
        let made = sets.map(|set| Extent::longer_in_training_set(&run.join("corpus").join(&set.name), most));
        match made.flatten().next() {
            Some(share) => Ok(Some(share)),
            None => Ok(CorpusSize::of_files(pipeline, &plan.corpus, most)?.longer),
        }
    };
    places
        .into_iter()
        .map(|(key, context)| {
            Ok(CutShare {
                key,
                context,
                share: share(context)?,
            })
        })
        .collect()
}

impl fmt::Display for CutShare {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self { key, context, share } = self;
        match share {
            None => write!(
                formatter,
                "how many documents are longer than {key} = {context} tokens, and are cut there, is not known before dupgen has \
                 read the corpus"
            ),
            Some(0.0) => write!(
                formatter,
                "none of the documents looked at is longer than {key} = {context} tokens"
            ),
            Some(share) => {
                let percent = match 100.0 * share {
                    percent if percent < 1.0 => "under 1".to_owned(),
                    percent => format!("about {percent:.0}"),
                };
                write!(
                    formatter,
                    "{percent}% of the documents are longer than {key} = {context} tokens, and are cut there"
                )
            }
        }
    }
}
