//! What each strategy asks the model to go on with: of documents, only what training read.

mod chooser;
mod forms;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use contract::pipeline::{Extraction, PromptSource};
use contract::records::{PromptForm, Split};
use contract::{Error, foreign};
use text_tokens::TextTokenizer;
use xxhash_rust::xxh3::xxh3_64;

use crate::documents::{Document, Documents};
use chooser::Chooser;
use forms::Material;

/// Tokens of the word that a prompt may break off in, at most.
const LONGEST_WORD: usize = 8;

/// What a model is asked to go on with.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// The document; none where the prompt is of no document.
    pub doc_id: Option<String>,
    /// Where it stands.
    pub split: Split,
    /// Copies in the training set.
    pub copies: i32,
    /// What it is made of.
    pub form: PromptForm,
    /// Number among the prompts of its form.
    pub number: usize,
    /// Tokens of the prompt.
    pub tokens: Vec<i64>,
    /// What the model itself wrote of them, at their end; none where it was given all.
    pub begun: Option<Begun>,
    /// Tokens that the document goes on with, at most as many as are generated.
    pub reference: Vec<i64>,
}

/// The part of a prompt that the model wrote: it counts as generated.
#[derive(Debug, Clone, PartialEq)]
pub struct Begun {
    /// The log-probability of each of its tokens.
    pub logprobs: Vec<f32>,
    /// Whether the text ended there, its last token being the EOS.
    pub is_ended: bool,
}

/// All prompts, each once, and those of each strategy.
#[derive(Debug, Default)]
pub struct Prompts {
    /// The prompts.
    pub all: Vec<Prompt>,
    /// For each strategy, in the order of the settings, the places of its prompts.
    pub of_strategy: Vec<Vec<usize>>,
    /// Special tokens that are part of the documents' text.
    pub special_tokens: BTreeSet<i64>,
}

impl Prompts {
    /// Lets prompts of documents end between words, for a model whose tokenizer may be another: it would read the beginning of a word
    /// otherwise than the model has read the whole word. What is taken from the end of a prompt comes before what its document goes on
    /// with, of which at most `new_tokens` are kept. A prompt without a blank near its end stays as it is.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer fails.
    pub fn end_between_words(&mut self, tokenizer: &TextTokenizer, new_tokens: usize) -> Result<(), Error> {
        for prompt in self.all.iter_mut().filter(|prompt| prompt.doc_id.is_some()) {
            let goes_on_with = |token: i64| tokenizer.decode_keeping(&[token], &BTreeSet::from([token]));
            let is_between = |prompt: &[i64], reference: &[i64]| {
                let (Some(last), Some(first)) = (prompt.last(), reference.first()) else {
                    return Ok::<_, Error>(true);
                };
                let (last, first) = (goes_on_with(*last)?, goes_on_with(*first)?);
                // A blank at the end of a prompt belongs to the token of the next word.
                Ok(first.starts_with(char::is_whitespace) && !last.ends_with(char::is_whitespace))
            };
            let (mut tokens, mut reference) = (prompt.tokens.clone(), prompt.reference.clone());
            let mut moved = 0;
            while moved < LONGEST_WORD && tokens.len() > 1 && !is_between(&tokens, &reference)? {
                reference.splice(0..0, tokens.pop());
                moved += 1;
            }
            if moved > 0 && is_between(&tokens, &reference)? {
                reference.truncate(new_tokens);
                (prompt.tokens, prompt.reference) = (tokens, reference);
            }
        }
        Ok(())
    }
}

/// Documents that gave no prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Too short for half a prompt and as much behind it as counts as repeated.
    pub too_short: usize,
    /// With a prompt that leaves no room in the model's context.
    pub too_long: usize,
    /// Not skipped: with a prompt shorter than asked for, so that enough of the document is left to go on with.
    pub shortened: usize,
}

/// Takes prompts from documents as the settings say, for a model that reads `context` tokens. `user_prompts` are the lines of the user's own file, and `template_opening` is what
/// the chat template that rendered the corpus writes through the header of an answer.
///
/// # Errors
/// [`Error::Configuration`] where prompt and continuation do not fit into the model's context, where a document is too short
/// and the settings call that an error, or where no document is long enough.
pub fn choose(
    documents: &Documents,
    settings: &Extraction,
    context: usize,
    tokenizer: &TextTokenizer,
    user_prompts: &[String],
    template_opening: Option<&str>,
) -> Result<(Prompts, Skipped), Error> {
    check_room(settings, context)?;
    let mut chooser = Chooser::new(
        Material {
            documents,
            settings,
            tokenizer,
            user_prompts,
            template_opening,
        },
        context,
    );
    let of_strategy = settings
        .strategy
        .iter()
        .map(|strategy| {
            let mut chosen = chooser.of_form(strategy.prompt, strategy.documents.or(settings.documents))?;
            if strategy.prompt == PromptForm::Prefix && settings.prompts.contains(&PromptSource::None) {
                chosen.extend(chooser.of_form(PromptForm::Nothing, None)?);
            }
            if chosen.is_empty() {
                tracing::warn!("strategy \"{}\" has no prompt", strategy.name);
            }
            Ok(chosen)
        })
        .collect::<Result<_, Error>>()?;
    let (all, skipped) = chooser.end();
    let prompts = Prompts {
        all,
        of_strategy,
        special_tokens: documents.special_tokens.clone(),
    };
    Ok((prompts, skipped))
}

fn check_room(settings: &Extraction, context: usize) -> Result<(), Error> {
    // The BOS stands before every text.
    let needed = 1 + settings.prefix_tokens + settings.new_tokens;
    if needed > context {
        return Err(Error::Configuration(format!(
            "extraction: prefix_tokens = {} and new_tokens = {} need {needed} tokens with the BOS, and the \
             model's context is {context}",
            settings.prefix_tokens, settings.new_tokens
        )));
    }
    Ok(())
}

/// The lines of a file of prompts, without empty ones.
///
/// # Errors
/// [`Error::Input`] where it cannot be read, is not UTF-8, or has no prompt.
pub fn read_file(path: &Path) -> Result<Vec<String>, Error> {
    let text = foreign::read_text(path, foreign::MAX_SETTINGS_BYTES)?;
    let lines: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if lines.is_empty() {
        return Err(Error::input(path, "expected a prompt a line, found none"));
    }
    Ok(lines)
}

/// At most `most` documents, by hash, as evenly over the numbers of copies as there are documents.
pub(crate) fn spread<'a>(documents: &[&'a Document], most: usize) -> Vec<&'a Document> {
    let mut levels: BTreeMap<i32, Vec<&Document>> = BTreeMap::new();
    for document in documents {
        levels.entry(document.copies).or_default().push(document);
    }
    let mut queues: Vec<Vec<&Document>> = levels.into_values().collect();
    for queue in &mut queues {
        // Taken from the back.
        queue.sort_by_key(|document| {
            std::cmp::Reverse((xxh3_64(document.doc_id.as_bytes()), &document.doc_id))
        });
    }
    let mut chosen = Vec::new();
    while chosen.len() < most && queues.iter().any(|queue| !queue.is_empty()) {
        for queue in &mut queues {
            if chosen.len() < most {
                chosen.extend(queue.pop());
            }
        }
    }
    chosen.sort_by_key(|document| &document.doc_id);
    chosen
}
