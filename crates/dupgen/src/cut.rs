//! Which documents are longer than a row of training: what lies beyond `tuning.context` is never trained, and so can neither be
//! memorized nor scored.

use std::collections::HashSet;

use contract::Error;
use rayon::prelude::*;

use crate::collection::Collection;
use crate::model_tokenizers::ModelTokenizer;

/// How many documents one tokenizer makes longer than the context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The models with this tokenizer.
    pub models: Vec<String>,
    /// `tuning.context`.
    pub context: usize,
    /// Training documents that are longer, and all of them.
    pub training: (usize, usize),
    /// The same of held-out documents.
    pub held_out: (usize, usize),
}

impl Cut {
    /// Counts the documents of which the BOS and all tokens do not fit into `context`, with each tokenizer.
    ///
    /// # Errors
    /// [`Error::Input`] where a tokenizer cannot encode a text, and those of reading the documents again.
    pub(crate) fn count(
        collection: &mut Collection,
        training: &[usize],
        held_out: &[usize],
        tokenizers: &[ModelTokenizer],
        context: usize,
    ) -> Result<Vec<Self>, Error> {
        let longer_in_training = longer(collection, training, tokenizers, context)?;
        let longer_held_out = longer(collection, held_out, tokenizers, context)?;
        let counts = longer_in_training.into_iter().zip(longer_held_out);
        Ok(tokenizers
            .iter()
            .zip(counts)
            .map(|(tokenizer, (in_training, out))| Self {
                models: tokenizer.models.clone(),
                context,
                training: (in_training, training.len()),
                held_out: (out, held_out.len()),
            })
            .collect())
    }

    /// What it comes to, in sentences: one for each side with such documents, or one that says that there are none.
    pub fn lines(&self) -> Vec<String> {
        let longer = format!(
            "longer than tuning.context = {} with the tokenizer of {}",
            self.context,
            self.models.join(", ")
        );
        let sides = [
            (self.training, "training", "what lies beyond is not trained"),
            (self.held_out, "held-out", "what lies beyond is not scored"),
        ];
        let lines: Vec<String> = sides
            .into_iter()
            .filter(|((cut, _), ..)| *cut > 0)
            .map(|((cut, all), side, beyond)| {
                format!("{cut} of {all} {side} documents are {longer}: {beyond}")
            })
            .collect();
        if lines.is_empty() {
            return vec![format!("no document is {longer}")];
        }
        lines
    }
}

/// The number of `documents` that are too long with each of the tokenizers.
fn longer(
    collection: &mut Collection,
    documents: &[usize],
    tokenizers: &[ModelTokenizer],
    context: usize,
) -> Result<Vec<usize>, Error> {
    let mut longer = vec![0; tokenizers.len()];
    if tokenizers.is_empty() {
        return Ok(longer);
    }
    let rendered: HashSet<usize> = documents
        .iter()
        .copied()
        .filter(|&document| collection.is_rendered(document))
        .collect();
    collection.for_each_batch(documents, "tokenizing", |numbers, texts| {
        for (ModelTokenizer { tokenizer, .. }, longer) in tokenizers.iter().zip(&mut longer) {
            let too_long = |(text, number): (&String, &usize)| -> Result<usize, Error> {
                // One token is the BOS, unless a chat template made the text, which is complete then.
                let bos = usize::from(!rendered.contains(number));
                let max_tokens = context.saturating_sub(bos);
                let is_longer = tokenizer.may_exceed(text.len(), max_tokens)
                    && tokenizer.encode(text)?.len() > max_tokens;
                Ok(usize::from(is_longer))
            };
            *longer += texts
                .par_iter()
                .zip(numbers)
                .map(too_long)
                .sum::<Result<usize, Error>>()?;
        }
        Ok(())
    })?;
    Ok(longer)
}
