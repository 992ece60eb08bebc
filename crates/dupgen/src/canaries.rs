//! Canaries: random strings planted a known number of times, to measure what a model learns from the training set alone
//! (Carlini et al. 2019, "The Secret Sharer").
//!
//! Each is a fixed template around random digits. Beside the planted ones, references of the same format are drawn that the
//! model never sees; a planted canary's exposure is its rank among them. A canary that training could not teach would be
//! taken for one that was not memorized, so it is refused before anything is trained.

use std::collections::{BTreeSet, HashSet};

use contract::pipeline::{Canaries as Settings, LossOn, Rows};
use contract::records::{DocumentKind, TrainingInstance};
use contract::{Error, PipelineFile};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokenizers::Tokenizer;

use crate::ingest::join;

/// What stands for the random part in templates.
const PLACEHOLDER: &str = "{digits}";

/// One canary, or one reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canary {
    /// `canary-<copies>-<n>`, or `canary-reference-<n>`.
    pub id: String,
    /// The whole text, prompt first where there is one.
    pub text: String,
    /// Length in characters of prompt and separator.
    pub prompt_chars: i32,
    /// How often it is planted; 0 for references.
    pub copies: u32,
    /// Bytes of the text up to the end of its last random digit.
    digits_end: usize,
}

/// The canaries of one training set and their references.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Canaries {
    planted: Vec<Canary>,
    references: Vec<Canary>,
}

impl Canary {
    fn new(settings: &Settings, separator: &str, id: String, digits: &str, copies: u32) -> Self {
        let prompt = settings.prompt.as_slice()[0].replace(PLACEHOLDER, digits);
        let response = settings.template.as_slice()[0].replace(PLACEHOLDER, digits);
        let (text, prompt_chars) = join(&prompt, separator, &response);
        let after_digits = match (
            settings.template.as_slice()[0].rsplit_once(PLACEHOLDER),
            settings.prompt.as_slice()[0].rsplit_once(PLACEHOLDER),
        ) {
            (Some((_, after)), _) => after.len(),
            (None, Some((_, after))) => after.len() + separator.len() + response.len(),
            (None, None) => text.len(),
        };
        let digits_end = text.len() - after_digits;
        Self {
            id,
            text,
            prompt_chars: prompt_chars as i32,
            copies,
            digits_end,
        }
    }

    /// Its first instance in the training set.
    pub(crate) fn instance(&self) -> TrainingInstance {
        TrainingInstance {
            doc_id: self.id.clone(),
            text: self.text.clone(),
            prompt_chars: self.prompt_chars,
            kind: DocumentKind::Canary,
            copies: self.copies as i32,
            copy: 0,
            canary_format: None,
        }
    }
}

impl Canaries {
    /// Draws canaries for each of the numbers of `copies`, and the references, all with different digits. The digits depend on
    /// `seed` and the settings alone.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a template without `{digits}`, digits that no loss is taken on, and too few digits for so
    /// many different strings.
    pub fn draw(pipeline: &PipelineFile, copies: &[u32], seed: u64) -> Result<Self, Error> {
        let settings = &pipeline.canaries;
        if settings.per_copies == 0 {
            return Ok(Self::default());
        }
        let copies: BTreeSet<u32> = copies.iter().copied().collect();
        check_settings(pipeline, copies.len())?;
        // A stream of its own, for the first one of the same seed shuffles the instances.
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(1);
        let mut drawn = HashSet::new();
        let mut canary = |id: String, copies: u32| {
            let digits = loop {
                let digits: String = (0..settings.digits)
                    .map(|_| char::from(b'0' + generator.random_range(0..10u8)))
                    .collect();
                if drawn.insert(digits.clone()) {
                    break digits;
                }
            };
            Canary::new(settings, &pipeline.corpus.separator, id, &digits, copies)
        };
        let references = (0..settings.references)
            .map(|number| canary(format!("canary-reference-{number}"), 0))
            .collect();
        let planted = copies
            .into_iter()
            .flat_map(|copies| (0..settings.per_copies).map(move |number| (copies, number)))
            .map(|(copies, number)| canary(format!("canary-{copies}-{number}"), copies))
            .collect();
        Ok(Self { planted, references })
    }

    /// The canaries that are planted, by number of copies.
    pub fn planted(&self) -> &[Canary] {
        &self.planted
    }

    /// The strings of the same format that are not.
    pub fn references(&self) -> &[Canary] {
        &self.references
    }

    /// Planted canaries and references.
    pub fn all(&self) -> impl Iterator<Item = &Canary> {
        self.planted.iter().chain(&self.references)
    }

    /// Number of training instances that the planted canaries make.
    pub fn instances(&self) -> usize {
        self.planted.iter().map(|canary| canary.copies as usize).sum()
    }

    /// Checks that every planted canary lies within the context of every model whose folder has a `tokenizer.json`. Only where
    /// each document has a row of its own is anything cut off.
    ///
    /// The last token of the digits must come before `tuning.context`, one token being left for a mark of beginning or end.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a canary that would be cut off, [`Error::Input`] for an unusable tokenizer.
    pub fn check_learnable(&self, pipeline: &PipelineFile) -> Result<(), Error> {
        if self.planted.is_empty() || pipeline.tuning.rows != Rows::Documents {
            return Ok(());
        }
        let context = pipeline.tuning.context;
        for model in &pipeline.model {
            let Some(path) = &model.path else { continue };
            let path = pipeline.resolve(path).join("tokenizer.json");
            if !path.exists() {
                continue;
            }
            let unusable = |error| Error::input(&path, format!("expected a tokenizer: {error}"));
            let mut tokenizer = Tokenizer::from_file(&path).map_err(unusable)?;
            tokenizer.with_padding(None);
            tokenizer.with_truncation(None).map_err(unusable)?;
            for canary in &self.planted {
                let tokens = tokens_to_digits(&tokenizer, canary).map_err(unusable)?;
                if tokens + 1 > context {
                    return Err(Error::Configuration(format!(
                        "{}: canaries: with the tokenizer of model {} the digits of `{}` end at token {tokens}, and one more is \
                         needed for the mark of a text's beginning; tuning.context = {context} cuts them off, so that they would \
                         never be learned. Shorten canaries.prompt or canaries.template, or lengthen tuning.context",
                        pipeline.path.display(),
                        model.name,
                        canary.text,
                    )));
                }
            }
        }
        Ok(())
    }
}

/// Number of tokens up to and with the one that holds the last digit.
fn tokens_to_digits(tokenizer: &Tokenizer, canary: &Canary) -> tokenizers::Result<usize> {
    let encoding = tokenizer.encode(canary.text.as_str(), false)?;
    let last = encoding
        .get_offsets()
        .iter()
        .rposition(|&(start, _)| start < canary.digits_end);
    Ok(last.map_or(0, |index| index + 1))
}

fn check_settings(pipeline: &PipelineFile, numbers_of_copies: usize) -> Result<(), Error> {
    let Settings {
        per_copies,
        references,
        template,
        prompt,
        digits,
        apart: _,
    } = &pipeline.canaries;
    let wrong = |problem: String| {
        Err(Error::Configuration(format!(
            "{}: canaries.{problem}",
            pipeline.path.display()
        )))
    };
    let (in_template, in_prompt) = (
        template.as_slice()[0].contains(PLACEHOLDER),
        prompt.as_slice()[0].contains(PLACEHOLDER),
    );
    if !in_template && !in_prompt {
        return wrong(format!(
            "template: expected {PLACEHOLDER} in the template or the prompt, found `{}`",
            template.as_slice()[0]
        ));
    }
    if !in_template && pipeline.tuning.loss_on == LossOn::Response {
        return wrong(format!(
            "template: {PLACEHOLDER} stands only in canaries.prompt, where tuning.loss_on = \"response\" takes no loss: the \
             digits would never be learned. Put {PLACEHOLDER} into the template"
        ));
    }
    let needed = per_copies
        .saturating_mul(numbers_of_copies)
        .saturating_add(*references);
    let different = u32::try_from(*digits)
        .ok()
        .and_then(|digits| 10usize.checked_pow(digits))
        .unwrap_or(usize::MAX);
    if different < needed {
        return wrong(format!(
            "digits: {digits} digits make {different} different strings, and {needed} are needed: {per_copies} for each of \
             {numbers_of_copies} numbers of copies and {references} references. Use more digits"
        ));
    }
    Ok(())
}
