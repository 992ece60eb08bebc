//! How many documents training will cut, said before anything starts.

use std::fmt;
use std::path::Path;

use contract::Error;
use contract::pipeline::{ModeKind, Rows};

use super::extent::Lengths;
use super::{CorpusSize, Extent};
use crate::tokens::{TokenCounter, tokenizer_folder};
use crate::{Plan, PlannedCell};

/// The share of the documents that are longer than training reads.
#[derive(Debug, Clone, PartialEq)]
pub struct CutShare {
    /// The key that says where they are cut.
    pub key: &'static str,
    /// The corpus, where there are several.
    pub corpus: Option<String>,
    /// Its value: tokens, the BOS included.
    pub context: usize,
    /// The model whose tokenizer counts.
    pub model: String,
    /// The share, 0 to 1; none where no document could be looked at.
    pub share: Option<f64>,
}

/// The shares of documents that are cut at `tuning.context`, and where tuning elsewhere cut them for checkpoints that are audited,
/// with the tokenizer of each model: of a training set in the folder `run` where there is one, else of the beginnings of the
/// corpus files. None where rows are packed, since nothing is cut, and for a model that has no tokenizer yet.
///
/// # Errors
/// [`Error::Input`] where a corpus file or a tokenizer cannot be read.
pub fn cut_shares(plan: &Plan, run: &Path) -> Result<Vec<CutShare>, Error> {
    let mut shares: Vec<CutShare> = Vec::new();
    let mut sizes: Vec<Option<CorpusSize>> = plan.corpora.iter().map(|_| None).collect();
    for cell in &plan.cells {
        let (Some((key, context)), Some(folder)) = (cut_of(plan, cell), tokenizer_folder(cell)) else {
            continue;
        };
        let model = &cell.combination.model.name;
        let training_set = &cell.combination.training_set;
        let corpus = &plan.corpora[training_set.corpus];
        let name = corpus.settings.name.as_ref().filter(|_| plan.corpora.len() > 1);
        let is_known = |known: &CutShare| {
            (known.key, known.context) == (key, context)
                && known.model == *model
                && known.corpus.as_ref() == name
        };
        if shares.iter().any(is_known) {
            continue;
        }
        let counter = TokenCounter::load(&folder)?;
        let set = run.join("corpus").join(&training_set.name);
        let lengths: Lengths = match Extent::of_training_set(&set, &counter)? {
            Some(extent) => extent.documents,
            None => {
                let size = &mut sizes[training_set.corpus];
                if size.is_none() {
                    *size = Some(corpus.size(plan.pipeline)?);
                }
                let size = size.as_ref();
                size.map_or(Ok(Lengths::default()), |size| size.lengths(&counter))?
            }
        };
        shares.push(CutShare {
            key,
            corpus: name.cloned(),
            context,
            model: model.clone(),
            // One token of them is the BOS.
            share: lengths.longer(context as f64 - 1.0),
        });
    }
    Ok(shares)
}

/// Where the documents of a cell are cut, and the key that says so.
fn cut_of(plan: &Plan, cell: &PlannedCell) -> Option<(&'static str, usize)> {
    let tuning = &plan.pipeline.tuning;
    match cell.combination.kind() {
        ModeKind::Tuned => {
            let mut checkpoints = plan.pipeline.checkpoint.iter();
            let audited = checkpoints.find(|checkpoint| checkpoint.name == cell.combination.model.name)?;
            Some(("checkpoint.context", audited.context?))
        }
        ModeKind::Base | ModeKind::Pretrain => None,
        _ => (tuning.rows == Rows::Documents).then_some(("tuning.context", tuning.context)),
    }
}

impl fmt::Display for CutShare {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            key,
            corpus,
            context,
            model,
            share,
        } = self;
        let corpus = corpus
            .as_ref()
            .map(|name| format!(" of {name}"))
            .unwrap_or_default();
        let longer = format!("longer than {key} = {context} tokens of {model}");
        match share {
            None => write!(
                formatter,
                "how many documents{corpus} are {longer}, and are cut there, is not known before dupgen has read the corpus"
            ),
            Some(0.0) => write!(formatter, "none of the documents{corpus} looked at is {longer}"),
            Some(share) => {
                let percent = match 100.0 * share {
                    percent if percent < 1.0 => "under 1".to_owned(),
                    percent => format!("about {percent:.0}"),
                };
                write!(
                    formatter,
                    "{percent}% of the documents{corpus} are {longer}, and are cut there"
                )
            }
        }
    }
}
