//! Canaries: random strings planted a known number of times, to measure what a model learns from the training set alone
//! (Carlini et al. 2019, "The Secret Sharer").
//!
//! Each canary is a secret, random digits or words, in a format: a template whose `{context}` is filled with a few words of the canary's
//! own. Beside the planted ones, references of each format are drawn that the model never sees; a planted canary's exposure is its
//! rank among those of its own format. A canary that training could not teach would be taken for one that was not memorized, so it
//! is refused before anything is trained.

use std::collections::{BTreeSet, HashMap, HashSet};

use chat_template::{ChatTemplate, Message, NotRendered};
use contract::pipeline::{CANARY_DIGITS, Canaries as Settings, Rows};
use contract::records::{DocumentKind, HeldOutDocument, TrainingInstance};
use contract::{Error, PipelineFile};
use corpus_files::join;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::contexts;
use crate::model_tokenizers::ModelTokenizer;
use crate::secrets::Secrets;

/// The stream of a seed that tosses coins; others shuffle the instances, draw digits and contexts.
const COIN_STREAM: u64 = 3;

/// Placeholder of the canary's own words.
const CONTEXT: &str = "{context}";

/// One canary, or one reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// `canary-<copies>-<n>`, `canary-reference-<format>-<n>` or `canary-coin-<n>`.
    pub id: String,
    /// The whole text, prompt first where there is one.
    pub text: String,
    /// Length in characters of prompt and separator.
    pub prompt_chars: i32,
    /// Number of its format.
    pub format: i32,
    /// How often it is planted; 0 for references.
    pub copies: u32,
    /// Whether a coin decided if it is planted.
    pub by_coin: bool,
    /// As in the records.
    assistant_spans: Option<Vec<i32>>,
    /// Characters of the text that its secret takes: of a drawn one, where it occurs first. None where a chat template put it where it
    /// cannot be followed.
    secret_span: Option<[i32; 2]>,
    /// Bytes of the text up to the end of the last place of its secret.
    secret_end: usize,
}

/// The canaries of one training set and their references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Canaries {
    planted: Vec<Canary>,
    references: Vec<Canary>,
    formats: usize,
    /// Whether somebody planted them before tuning, so that they may be among the corpus.
    planted_elsewhere: bool,
}

/// All of a canary but its secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Format {
    prompt: String,
    separator: String,
    template: String,
    /// What stands for the secret.
    placeholder: &'static str,
}

impl Format {
    /// The prompt and the template whose turn it is, filled with a context.
    fn fill(settings: &Settings, separator: &str, turn: usize, context: &str) -> Self {
        let (prompt, template) = texts(settings, turn);
        Self {
            prompt: prompt.replace(CONTEXT, context),
            separator: separator.to_owned(),
            template: template.replace(CONTEXT, context),
            placeholder: settings.secret(),
        }
    }

    fn canary(&self, format: usize, id: String, secret: &str, copies: u32) -> Canary {
        let prompt = self.prompt.replace(self.placeholder, secret);
        let response = self.template.replace(self.placeholder, secret);
        let (text, prompt_chars) = join(&prompt, &self.separator, &response);
        let after_secret = match (
            self.template.rsplit_once(self.placeholder),
            self.prompt.rsplit_once(self.placeholder),
        ) {
            (Some((_, after)), _) => after.len(),
            (None, Some((_, after))) => after.len() + self.separator.len() + response.len(),
            (None, None) => text.len(),
        };
        let secret_end = text.len() - after_secret;
        let behind = |template: &str| {
            template
                .split_once(self.placeholder)
                .map(|(_, after)| after.replace(self.placeholder, secret).len())
        };
        let after_first = behind(&self.prompt)
            .map(|after| after + self.separator.len() + response.len())
            .or_else(|| behind(&self.template));
        let characters = |bytes: usize| text[..bytes].chars().count() as i32;
        let secret_span = after_first.map(|after| {
            let end = text.len() - after;
            [characters(end - secret.len()), characters(end)]
        });
        Canary {
            id,
            secret_span,
            text,
            prompt_chars: prompt_chars as i32,
            format: format as i32,
            copies,
            by_coin: false,
            assistant_spans: None,
            secret_end,
        }
    }
}

/// A text's first characters, and the rest.
fn split_at(text: &str, characters: usize) -> (&str, &str) {
    let end = text
        .char_indices()
        .nth(characters)
        .map_or(text.len(), |(at, _)| at);
    text.split_at(end)
}

impl Canary {
    /// The same as a conversation that a chat template rendered: its prompt is what the user says, and the rest what the assistant does.
    fn rendered(self, pipeline: &PipelineFile, template: &ChatTemplate) -> Result<Self, Error> {
        let separator = pipeline.single_corpus()?.separator.chars().count();
        let (before, response) = split_at(&self.text, self.prompt_chars as usize);
        let prompt = if before.is_empty() {
            ""
        } else {
            split_at(before, before.chars().count().saturating_sub(separator)).0
        };
        let in_response = self.secret_end.checked_sub(before.len());
        let messages = [Message::new("user", prompt), Message::new("assistant", response)];
        let rendered = template.render(&messages).map_err(|problem| match problem {
            NotRendered::Refused(problem) => {
                Error::Configuration(format!("{}: canaries: {problem}", pipeline.path.display()))
            }
            NotRendered::Unusable(error) => error,
        })?;
        let Some(turn) = rendered.assistant.first().cloned() else {
            let problem = format!(
                "canaries: {} writes nothing of the assistant's turn",
                template.origin()
            );
            return Err(Error::Configuration(format!(
                "{}: {problem}",
                pipeline.path.display()
            )));
        };
        let text = rendered.text;
        let characters = |bytes: usize| text[..bytes].chars().count() as i32;
        // Templates may trim what is said, but not its secret.
        let up_to_secret = match in_response {
            Some(end) => response[..end].trim_start(),
            None => self.text[..self.secret_end].trim_start(),
        };
        let found = text.rfind(up_to_secret).map(|start| start + up_to_secret.len());
        let secret_end = found.unwrap_or(text.len());
        // What is said is in the rendered text as it was, so that the secret is as far before its last place as it was.
        let last_secret = self.text[..self.secret_end].chars().count() as i32;
        let secret_span = self
            .secret_span
            .filter(|[start, _]| found.is_some() && (in_response.is_none() || *start >= self.prompt_chars));
        let moved = characters(secret_end) - last_secret;
        let secret_span = secret_span.map(|span| span.map(|place| place + moved));
        Ok(Self {
            secret_span,
            prompt_chars: characters(turn.start),
            assistant_spans: Some(vec![characters(turn.start), characters(turn.end)]),
            secret_end,
            text,
            ..self
        })
    }

    /// One that a manifest names; it is a reference where it has no copies.
    pub(crate) fn planted_elsewhere(
        id: String,
        text: String,
        prompt_chars: i32,
        format: i32,
        copies: u32,
        assistant_spans: Option<Vec<i32>>,
        secret_span: [i32; 2],
    ) -> Self {
        Self {
            secret_end: text.len(),
            id,
            text,
            prompt_chars,
            format,
            copies,
            by_coin: false,
            assistant_spans,
            secret_span: Some(secret_span),
        }
    }

    fn secret_span(&self) -> Option<Vec<i32>> {
        self.secret_span.map(|span| span.to_vec())
    }

    /// Its first instance in the training set.
    pub(crate) fn instance(&self) -> TrainingInstance {
        TrainingInstance {
            doc_id: self.id.clone(),
            text: self.text.clone(),
            prompt_chars: self.prompt_chars,
            kind: if self.by_coin {
                DocumentKind::CoinCanary
            } else {
                DocumentKind::Canary
            },
            copies: self.copies as i32,
            copy: 0,
            canary_format: Some(self.format),
            assistant_spans: self.assistant_spans.clone(),
            secret_span: self.secret_span(),
        }
    }

    /// A reference as it is held out.
    pub(crate) fn held_out(&self) -> HeldOutDocument {
        HeldOutDocument {
            doc_id: self.id.clone(),
            text: self.text.clone(),
            prompt_chars: self.prompt_chars,
            kind: if self.by_coin {
                DocumentKind::CoinCanary
            } else {
                DocumentKind::CanaryReference
            },
            role: None,
            near_duplicate_of: None,
            shared_8grams: None,
            canary_format: Some(self.format),
            assistant_spans: self.assistant_spans.clone(),
            secret_span: self.secret_span(),
        }
    }
}

impl Canaries {
    /// Those that a manifest names.
    pub(crate) fn planted_elsewhere(canaries: Vec<Canary>) -> Self {
        let formats: BTreeSet<i32> = canaries.iter().map(|canary| canary.format).collect();
        let (planted, references) = canaries.into_iter().partition(|canary| canary.copies > 0);
        Self {
            planted,
            references,
            formats: formats.len(),
            planted_elsewhere: true,
        }
    }

    /// Whether somebody planted them before tuning.
    pub fn are_planted_elsewhere(&self) -> bool {
        self.planted_elsewhere
    }

    /// The same as conversations, where the corpus is made of such.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the template does not take them.
    pub fn rendered(self, pipeline: &PipelineFile, template: Option<&ChatTemplate>) -> Result<Self, Error> {
        let Some(template) = template else { return Ok(self) };
        let all = |canaries: Vec<Canary>| -> Result<Vec<Canary>, Error> {
            let canaries = canaries.into_iter();
            canaries
                .map(|canary| canary.rendered(pipeline, template))
                .collect()
        };
        Ok(Self {
            planted: all(self.planted)?,
            references: all(self.references)?,
            ..self
        })
    }

    /// Draws canaries for each of the numbers of `copies`, and the references of each format, all with different secrets. They
    /// depend on `seed`, the settings and the secrets alone.
    ///
    /// # Errors
    /// [`Error::Configuration`] for too few digits, words or contexts for so many different strings.
    pub(crate) fn draw(
        pipeline: &PipelineFile,
        copies: &[u32],
        mut secrets: Secrets,
        seed: u64,
    ) -> Result<Self, Error> {
        let settings = &pipeline.canaries;
        if !settings.are_planted() {
            return Ok(Self::default());
        }
        let copies: BTreeSet<u32> = copies.iter().copied().collect();
        let planted = settings.per_copies.saturating_mul(copies.len());
        let all = planted.saturating_add(settings.coin_flips);
        // There is one format at least where there are references, and more are known only once they are made.
        check_digits(pipeline, all, planted.min(1))?;
        let mut formats_of_planted = formats(pipeline, all, seed)?;
        let formats_of_coins = formats_of_planted.split_off(planted);
        let formats = distinct(&formats_of_planted);
        check_digits(pipeline, all, formats.len())?;
        let numbers: HashMap<&Format, usize> = formats
            .iter()
            .enumerate()
            .map(|(number, &format)| (format, number))
            .collect();

        let turns = copies
            .into_iter()
            .flat_map(|copies| (0..settings.per_copies).map(move |number| (copies, number)));
        let mut planted = Vec::new();
        for ((copies, number), format) in turns.zip(&formats_of_planted) {
            let id = format!("canary-{copies}-{number}");
            planted.push(format.canary(numbers[format], id, &secrets.draw(pipeline)?, copies));
        }
        let mut references = Vec::new();
        for (number, format) in formats.iter().enumerate() {
            for n in 0..settings.references {
                let id = format!("canary-reference-{number}-{n}");
                references.push(format.canary(number, id, &secrets.draw(pipeline)?, 0));
            }
        }
        let mut coins = ChaCha8Rng::seed_from_u64(seed);
        coins.set_stream(COIN_STREAM);
        for (number, format) in formats_of_coins.iter().enumerate() {
            let is_in: bool = coins.random();
            let id = format!("canary-coin-{number}");
            let canary = Canary {
                by_coin: true,
                ..format.canary(
                    formats.len() + number,
                    id,
                    &secrets.draw(pipeline)?,
                    u32::from(is_in),
                )
            };
            if is_in {
                planted.push(canary);
            } else {
                references.push(canary);
            }
        }
        Ok(Self {
            planted,
            references,
            formats: formats.len(),
            planted_elsewhere: false,
        })
    }

    /// The canaries that are planted, by number of copies.
    pub fn planted(&self) -> &[Canary] {
        &self.planted
    }

    /// The strings that are not: of the same formats, and those whose coin left them out.
    pub fn references(&self) -> &[Canary] {
        &self.references
    }

    /// Number of different formats.
    pub fn formats(&self) -> usize {
        self.formats
    }

    /// Planted canaries and references.
    pub fn all(&self) -> impl Iterator<Item = &Canary> {
        self.planted.iter().chain(&self.references)
    }

    /// Number of training instances that the planted canaries make.
    pub fn instances(&self) -> usize {
        self.planted.iter().map(|canary| canary.copies as usize).sum()
    }

    /// Checks that every planted canary lies within the context with all of these tokenizers. Only where each document has a row
    /// of its own is anything cut off.
    ///
    /// The last token of the secret must come before `tuning.context`, one token being left for the BOS.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a canary that would be cut off, [`Error::Input`] for an unusable tokenizer.
    pub fn check_learnable(
        &self,
        pipeline: &PipelineFile,
        tokenizers: &[ModelTokenizer],
    ) -> Result<(), Error> {
        if pipeline.tuning.rows != Rows::Documents {
            return Ok(());
        }
        let context = pipeline.tuning.context;
        for tokenizer in tokenizers {
            for canary in &self.planted {
                let tokens = tokenizer.tokens_before(&canary.text, canary.secret_end)?;
                if tokens + 1 > context {
                    return Err(Error::Configuration(format!(
                        "{}: canaries: with the tokenizer of model {} the secret of `{}` ends at token {tokens}, and one more is \
                         needed for the BOS; tuning.context = {context} cuts it off, so that it would never be learned. Shorten \
                         canaries.prompt or canaries.template, or lengthen tuning.context",
                        pipeline.path.display(),
                        tokenizer.models.join(", "),
                        canary.text,
                    )));
                }
            }
        }
        Ok(())
    }
}

/// The prompt and the template of a turn.
fn texts(settings: &Settings, turn: usize) -> (&str, &str) {
    let (prompts, templates) = (settings.prompt.as_slice(), settings.template.as_slice());
    (&prompts[turn % prompts.len()], &templates[turn % templates.len()])
}

/// The formats of `planted` canaries, templates and prompts taken in turn.
fn formats(pipeline: &PipelineFile, planted: usize, seed: u64) -> Result<Vec<Format>, Error> {
    let settings = &pipeline.canaries;
    let separator = &pipeline.single_corpus()?.separator;
    let mut texts = settings
        .prompt
        .as_slice()
        .iter()
        .chain(settings.template.as_slice());
    if !texts.any(|text| text.contains(CONTEXT)) {
        return Ok((0..planted)
            .map(|turn| Format::fill(settings, separator, turn, ""))
            .collect());
    }
    if planted > contexts::NUMBER {
        let problem = format!(
            "per_copies: expected at most {} canaries in all, those of coin_flips among them, for so many different contexts there are, found \
             {planted}",
            contexts::NUMBER
        );
        return Err(wrong(pipeline, &problem));
    }
    let contexts = contexts::draw(planted, seed).into_iter().enumerate();
    Ok(contexts
        .map(|(turn, context)| Format::fill(settings, separator, turn, &context))
        .collect())
}

/// Each format once, in the order of their first canaries.
fn distinct(formats: &[Format]) -> Vec<&Format> {
    let mut seen = HashSet::new();
    formats.iter().filter(|format| seen.insert(*format)).collect()
}

/// Whether there are as many different strings of digits as are needed.
fn check_digits(pipeline: &PipelineFile, planted: usize, formats: usize) -> Result<(), Error> {
    let Settings {
        references, digits, ..
    } = pipeline.canaries;
    let needed = formats.saturating_mul(references).saturating_add(planted);
    // Of words there are enough; where there are not, drawing them says so.
    if pipeline.canaries.secret() != CANARY_DIGITS {
        return Ok(());
    }
    let different = u32::try_from(digits)
        .ok()
        .and_then(|digits| 10usize.checked_pow(digits))
        .unwrap_or(usize::MAX);
    if different >= needed {
        return Ok(());
    }
    let problem = format!(
        "digits: {digits} digits make {different} different strings, and at least {needed} are needed: {planted} planted canaries, and \
         {references} references for each of {formats} formats. Use more digits"
    );
    Err(wrong(pipeline, &problem))
}

fn wrong(pipeline: &PipelineFile, problem: &str) -> Error {
    Error::Configuration(format!("{}: canaries.{problem}", pipeline.path.display()))
}
