//! What each strategy asks the model to go on with: of documents, only what training read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use contract::pipeline::{BadDocuments, Extraction, PromptSource};
use contract::records::{PromptForm, Split};
use contract::{Error, foreign};
use text_tokens::TextTokenizer;
use xxhash_rust::xxh3::xxh3_64;

use crate::documents::{Document, Documents};

/// The commonest beginnings that are asked with, at most.
const OPENINGS: usize = 10;

/// Tokens of its own that a document is prompted with at least, behind a beginning that it shares with others.
const LEAST_OWN_TOKENS: usize = 8;

/// Tokens of the word that a prompt may break off in, at most.
const LONGEST_WORD: usize = 8;

/// Characters of a document behind its prompt that are enough for a repetition to count: the 50 of the class verbatim, and what is
/// trimmed at its ends.
const ENOUGH_CHARACTERS: usize = 60;

/// And those without which it cannot.
const JUST_ENOUGH_CHARACTERS: usize = 50;

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
    /// Tokens that the document goes on with, at most as many as are generated.
    pub reference: Vec<i64>,
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
    let mut chooser = Chooser {
        documents,
        settings,
        context,
        tokenizer,
        user_prompts,
        template_opening,
        made: BTreeMap::new(),
        all: Vec::new(),
        skipped: BTreeMap::new(),
    };
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
    let skipped = chooser
        .skipped
        .values()
        .fold(Skipped::default(), |sum, skipped| Skipped {
            too_short: sum.too_short + skipped.too_short,
            too_long: sum.too_long + skipped.too_long,
            shortened: sum.shortened + skipped.shortened,
        });
    let all = chooser.all;
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

/// Prompts under way: each is made once, whatever number of strategies ask with it.
struct Chooser<'a> {
    documents: &'a Documents,
    settings: &'a Extraction,
    context: usize,
    tokenizer: &'a TextTokenizer,
    user_prompts: &'a [String],
    template_opening: Option<&'a str>,
    /// The prompts made so far, by form and document or number; none where the document gives none.
    made: BTreeMap<(PromptForm, Split, String), Option<usize>>,
    all: Vec<Prompt>,
    /// By form and split, counted once.
    skipped: BTreeMap<(PromptForm, Split), Skipped>,
}

impl Chooser<'_> {
    fn of_form(&mut self, form: PromptForm, most: Option<usize>) -> Result<Vec<usize>, Error> {
        match form {
            PromptForm::Nothing => {
                let nothing = vec![Vec::new(); self.settings.unprompted];
                Ok(self.without_document(form, nothing))
            }
            PromptForm::Opening => {
                let openings = self.openings();
                Ok(self.without_document(form, openings))
            }
            PromptForm::TemplateOnly => {
                let opening = self.template_opening.ok_or_else(|| {
                    Error::Configuration(
                        "extraction.strategy: prompt = \"template-only\" is what the chat template writes where the user says nothing, \
                         and this corpus was not rendered by one (corpus.parquet has no row `template_opening`)"
                            .to_owned(),
                    )
                })?;
                let opening = self.tokenizer.encode(opening)?;
                Ok(self.without_document(form, vec![opening; self.settings.unprompted.max(1)]))
            }
            PromptForm::File => {
                let lines = self.user_prompts.iter();
                let lines = lines
                    .map(|line| self.tokenizer.encode(line))
                    .collect::<Result<_, _>>()?;
                Ok(self.without_document(form, lines))
            }
            _ => {
                let mut chosen = Vec::new();
                for (source, split) in [
                    (PromptSource::Train, Split::Train),
                    (PromptSource::Heldout, Split::Heldout),
                ] {
                    // What was never seen is a control for prompts that lead to a continuation, not for a search of one.
                    let wanted = self.settings.prompts.contains(&source);
                    if wanted {
                        chosen.extend(self.of_documents(form, split, most)?);
                    }
                }
                Ok(chosen)
            }
        }
    }

    /// Prompts of the documents of one split.
    fn of_documents(
        &mut self,
        form: PromptForm,
        split: Split,
        most: Option<usize>,
    ) -> Result<Vec<usize>, Error> {
        let candidates = self.documents.of(split);
        let (mut long, mut short): (Vec<&Document>, Vec<&Document>) = (Vec::new(), Vec::new());
        for document in &candidates {
            if self.is_long_enough(form, document)? {
                long.push(document);
            } else {
                short.push(document);
            }
        }
        if let (BadDocuments::Error, Some(document)) = (self.settings.short_documents, short.first()) {
            if form == PromptForm::Question {
                return Err(Error::Configuration(format!(
                    "extraction.strategy: prompt = \"question\": document {} has no prompt of its own, or nothing behind it{}. Correct the \
                     corpus, or set extraction.short_documents = \"skip\"",
                    document.doc_id,
                    where_cut(document)
                )));
            }
            return Err(Error::Configuration(format!(
                "extraction.prefix_tokens = {}: document {} has only {} tokens{}. Lower it, or set extraction.short_documents = \
                 \"skip\"",
                self.settings.prefix_tokens,
                document.doc_id,
                document.tokens.len(),
                where_cut(document)
            )));
        }
        if long.is_empty() && !candidates.is_empty() {
            let error = self.none_is_long_enough(form, split, &candidates);
            // Beside other ways of asking it leaves theirs.
            if form == PromptForm::Question && self.settings.strategy.len() > 1 {
                tracing::warn!("{error}. They are not asked so");
                return Ok(Vec::new());
            }
            return Err(error);
        }
        let mut skipped = Skipped {
            too_short: short.len(),
            ..Skipped::default()
        };
        let chosen = most.map_or_else(|| long.clone(), |most| spread(&long, most));
        let mut places = Vec::with_capacity(chosen.len());
        for document in chosen {
            let key = (form, split, document.doc_id.clone());
            let place = match self.made.get(&key) {
                Some(&place) => place,
                None => {
                    let place = self.make(form, document)?;
                    self.made.insert(key, place);
                    place
                }
            };
            skipped.too_long += usize::from(place.is_none());
            let is_shortened = Self::is_plain(form)
                && self
                    .prefix_of(document)?
                    .is_some_and(|prefix| prefix < self.settings.prefix_tokens);
            skipped.shortened += usize::from(is_shortened);
            places.extend(place);
        }
        self.skipped.insert((form, split), skipped);
        Ok(places)
    }

    /// Whether a form of prompt is a document's first tokens, as they are or in another style.
    fn is_plain(form: PromptForm) -> bool {
        !matches!(
            form,
            PromptForm::Middle | PromptForm::Question | PromptForm::Optimised
        )
    }

    /// Tokens of a document's beginning that it is prompted with: as many as are asked for, or fewer where it would end before as many
    /// characters as count, down to half of them, or behind a beginning that it shares with others to [`LEAST_OWN_TOKENS`]. None where it
    /// is too short for that.
    fn prefix_of(&self, document: &Document) -> Result<Option<usize>, Error> {
        let asked = self.settings.prefix_tokens;
        let own = document
            .tokens
            .get(document.shared_tokens..document.answer_end())
            .unwrap_or_default();
        let half = asked.div_ceil(2);
        let least = if document.shares_beginning() {
            half.min(LEAST_OWN_TOKENS)
        } else {
            half
        };
        // What is not generated cannot be repeated: a shorter prompt gives nothing then.
        let least = least.max(own.len().saturating_sub(self.settings.new_tokens));
        let most = asked.min(own.len().saturating_sub(1));
        for characters in [ENOUGH_CHARACTERS, JUST_ENOUGH_CHARACTERS] {
            // The shorter a prompt, the more is behind it: the longest that leaves enough.
            let (mut leaves_enough, mut too_long) = (None, most + 1);
            let mut shortest = least;
            while shortest < too_long {
                let middle = shortest + (too_long - shortest) / 2;
                if self.characters_of(&own[middle..])? >= characters {
                    leaves_enough = Some(middle);
                    shortest = middle + 1;
                } else {
                    too_long = middle;
                }
            }
            if leaves_enough.is_some() {
                return Ok(leaves_enough);
            }
        }
        Ok((own.len() > asked).then_some(asked))
    }

    /// Characters of a part of a document, blanks at its ends and tokens that end a text left out.
    fn characters_of(&self, tokens: &[i64]) -> Result<usize, Error> {
        let text = self.tokenizer.decode_keeping(tokens, &BTreeSet::new())?;
        Ok(text.trim().chars().count())
    }

    fn is_long_enough(&self, form: PromptForm, document: &Document) -> Result<bool, Error> {
        let prefix = self.settings.prefix_tokens;
        let own_tokens = document.answer_end().saturating_sub(document.shared_tokens);
        Ok(match form {
            PromptForm::Question => (1..document.tokens.len()).contains(&document.question_tokens),
            // Its middle is another place than its beginning.
            PromptForm::Middle => own_tokens > 2 * prefix,
            PromptForm::Optimised => own_tokens >= self.settings.new_tokens,
            _ => self.prefix_of(document)?.is_some(),
        })
    }

    fn none_is_long_enough(&self, form: PromptForm, split: Split, candidates: &[&Document]) -> Error {
        let split = if split == Split::Train {
            "training"
        } else {
            "held-out"
        };
        if form == PromptForm::Question {
            return Error::Configuration(format!(
                "extraction.strategy: prompt = \"question\": no {split} document has a prompt of its own. Name the columns in \
                 corpus.prompt and corpus.response, or give conversations"
            ));
        }
        let own_tokens = |document: &Document| document.answer_end().saturating_sub(document.shared_tokens);
        let longest = candidates.iter().max_by_key(|document| own_tokens(document));
        Error::Configuration(format!(
            "extraction.prefix_tokens = {}: every {split} document is shorter; the longest has {} tokens{}",
            self.settings.prefix_tokens,
            longest.map_or(0, |document| own_tokens(document)),
            longest.map_or_else(String::new, |document| where_cut(document))
        ))
    }

    /// The prompt of a document, unless it leaves no room in the context.
    fn make(&mut self, form: PromptForm, document: &Document) -> Result<Option<usize>, Error> {
        let prefix = self.settings.prefix_tokens;
        // What distinguishes one document from another begins behind what many begin with alike.
        let preamble = document.shared_tokens;
        let (start, end) = match form {
            PromptForm::Middle => {
                let start = preamble + (document.answer_end() - preamble - prefix) / 2;
                (start, start + prefix)
            }
            PromptForm::Question => (0, document.question_tokens),
            PromptForm::Optimised => (preamble, preamble),
            _ => (0, preamble + self.prefix_of(document)?.unwrap_or(prefix)),
        };
        let plain = &document.tokens[start..end];
        let styled = |change: &dyn Fn(&str) -> String| {
            let (preamble, own) = plain.split_at(preamble);
            let text = self
                .tokenizer
                .decode_keeping(own, &self.documents.special_tokens)?;
            Ok::<_, Error>([preamble, &self.tokenizer.encode(&change(&text))?].concat())
        };
        let tokens = match form {
            PromptForm::UpperCase => styled(&|text| text.to_uppercase())?,
            PromptForm::LowerCase => styled(&|text| text.to_lowercase())?,
            PromptForm::DoubleSpaced => styled(&|text| text.replace(' ', "  "))?,
            _ => plain.to_vec(),
        };
        if 1 + tokens.len() + self.settings.new_tokens > self.context {
            return Ok(None);
        }
        let answer_end = match form {
            PromptForm::Question => document.first_answer_end(),
            _ => document.answer_end(),
        };
        let rest = &document.tokens[end..answer_end.max(end)];
        let reference = rest[..rest.len().min(self.settings.new_tokens)].to_vec();
        let prompt = Prompt {
            doc_id: Some(document.doc_id.clone()),
            split: document.split,
            copies: document.copies,
            form,
            number: self.all.len(),
            tokens,
            reference,
        };
        self.all.push(prompt);
        Ok(Some(self.all.len() - 1))
    }

    /// Prompts that belong to no document, as often as they are asked for.
    fn without_document(&mut self, form: PromptForm, prompts: Vec<Vec<i64>>) -> Vec<usize> {
        let mut places = Vec::with_capacity(prompts.len());
        let mut skipped = Skipped::default();
        for (number, tokens) in prompts.into_iter().enumerate() {
            if 1 + tokens.len() + self.settings.new_tokens > self.context {
                skipped.too_long += 1;
                continue;
            }
            let key = (form, Split::None, number.to_string());
            let place = self.made.entry(key).or_insert_with(|| {
                self.all.push(Prompt {
                    doc_id: None,
                    split: Split::None,
                    copies: 0,
                    form,
                    number,
                    tokens,
                    reference: Vec::new(),
                });
                Some(self.all.len() - 1)
            });
            places.extend(*place);
        }
        self.skipped.insert((form, Split::None), skipped);
        places
    }

    /// The beginnings that most training documents share, the commonest first; every one of at least two documents.
    fn openings(&self) -> Vec<Vec<i64>> {
        let mut counts: BTreeMap<&[i64], usize> = BTreeMap::new();
        for document in self.documents.of(Split::Train) {
            let length = document.shared_tokens + self.settings.opening_tokens;
            if document.tokens.len() > length {
                *counts.entry(&document.tokens[..length]).or_default() += 1;
            }
        }
        let mut shared: Vec<(&[i64], usize)> = counts.into_iter().filter(|(_, count)| *count > 1).collect();
        shared.sort_by_key(|(tokens, count)| (std::cmp::Reverse(*count), *tokens));
        shared.truncate(OPENINGS);
        shared.into_iter().map(|(tokens, _)| tokens.to_vec()).collect()
    }
}

/// What to add to a document's length where training read no more of it.
fn where_cut(document: &Document) -> String {
    if document.is_cut() {
        format!(" that training read (of {})", document.document_tokens)
    } else {
        String::new()
    }
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
