//! How many tokens are generated: as many as the settings say, or more where these would be too few characters of the corpus' text.

use std::collections::BTreeSet;
use std::path::Path;

use contract::pipeline::Extraction;
use contract::records::{DocumentKind, TrainingInstance};
use contract::{Error, parquet};
use text_tokens::TextTokenizer;

/// Training documents that are looked at, the first of the file.
const MAX_DOCUMENTS: usize = 200;

/// Tokens to generate: `new_tokens`, or as many as hold `new_chars` characters in nine of ten training documents, as far as the model's
/// `context` has room for them.
///
/// # Errors
/// [`Error::Input`] where the training set cannot be used.
pub(crate) fn enough(
    settings: &Extraction,
    train: &Path,
    tokenizer: &TextTokenizer,
    context: usize,
) -> Result<usize, Error> {
    if settings.new_chars == 0 {
        return Ok(settings.new_tokens);
    }
    let Some(chars_per_token) = chars_per_token(train, tokenizer)? else {
        return Ok(settings.new_tokens);
    };
    let needed = (settings.new_chars as f64 / chars_per_token).ceil() as usize;
    let room = context.saturating_sub(1 + settings.prefix_tokens);
    let taken = needed.min(room).max(settings.new_tokens);
    if taken > settings.new_tokens {
        tracing::warn!(
            "extraction.new_tokens = {}: {} tokens are generated, since so many tokens of these texts have about {:.0} characters, and \
             passages of fewer than 50 count as no repetition (extraction.new_chars = {})",
            settings.new_tokens,
            taken,
            chars_per_token * settings.new_tokens as f64,
            settings.new_chars
        );
    }
    Ok(taken)
}

/// What of a text a model is to go on with: the assistant's turns of a conversation, the response to a prompt, or all of it.
fn answer(instance: &TrainingInstance) -> String {
    let characters = instance.text.chars();
    match &instance.assistant_spans {
        Some(spans) => {
            let is_answer = |place: usize| {
                let inside = |ends: &[i32]| ends[0] as usize <= place && place < ends[1] as usize;
                spans.chunks_exact(2).any(inside)
            };
            let answers = characters.enumerate().filter(|(place, _)| is_answer(*place));
            answers.map(|(_, character)| character).collect()
        }
        None => characters
            .skip(usize::try_from(instance.prompt_chars).unwrap_or(0))
            .collect(),
    }
}

/// Characters per token that nine of ten documents have at least; none where there is no text.
fn chars_per_token(train: &Path, tokenizer: &TextTokenizer) -> Result<Option<f64>, Error> {
    let mut seen = BTreeSet::new();
    let mut shares: Vec<f64> = Vec::new();
    'read: for batch in parquet::Reader::<TrainingInstance>::open(train)? {
        for instance in batch? {
            if instance.kind != DocumentKind::Document || !seen.insert(instance.doc_id.clone()) {
                continue;
            }
            let text = answer(&instance);
            let tokens = tokenizer.encode(&text)?.len();
            if tokens > 0 {
                shares.push(text.chars().count() as f64 / tokens as f64);
            }
            if shares.len() == MAX_DOCUMENTS {
                break 'read;
            }
        }
    }
    shares.sort_by(f64::total_cmp);
    Ok(shares.get(shares.len() / 10).copied())
}
