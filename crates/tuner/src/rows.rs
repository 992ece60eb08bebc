//! Training rows: documents one by one, or packed; and batches of them as tensors.
//!
//! Every document begins with the BOS and ends with the EOS (for GPT-2 the same), so that its first token is learned too, and
//! so that extraction, which begins prompts the same way, meets what was trained. The EOS is learned, but it is no text: the
//! losses that are reported leave it out.
//!
//! A conversation that a chat template rendered is complete as it is, as TRL has it: what begins and ends it the template wrote.

use std::collections::HashMap;

use causal_lm::Config;
use contract::Error;
use contract::pipeline::{LossOn, Rows as RowLayout, Tuning};
use contract::records::{HeldOutDocument, TrainingInstance};
use tch::{Device, Tensor};
use text_tokens::TokenCache;
use torch_device::ComputePath;
use torch_device::upload::upload;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::device_cross_entropy::DevicePredictions;

/// A document to train or evaluate on.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its identity, for messages.
    pub doc_id: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Characters of the text that are prompt.
    pub prompt_chars: usize,
    /// Of a rendered conversation, the characters of the assistant's turns as the records have them.
    pub assistant_spans: Option<&'a [i32]>,
}

impl<'a> From<&'a TrainingInstance> for Document<'a> {
    fn from(instance: &'a TrainingInstance) -> Self {
        Self {
            doc_id: &instance.doc_id,
            text: &instance.text,
            prompt_chars: instance.prompt_chars.max(0) as usize,
            assistant_spans: instance.assistant_spans.as_deref(),
        }
    }
}

impl<'a> From<&'a HeldOutDocument> for Document<'a> {
    fn from(document: &'a HeldOutDocument) -> Self {
        Self {
            doc_id: &document.doc_id,
            text: &document.text,
            prompt_chars: document.prompt_chars.max(0) as usize,
            assistant_spans: document.assistant_spans.as_deref(),
        }
    }
}

impl Document<'_> {
    /// Whether a chat template made the text, which is complete then: it gets no BOS and no EOS.
    fn is_rendered(&self) -> bool {
        self.assistant_spans.is_some()
    }
}

/// Tokens before a token that decide whether the goldfish loss leaves it out.
const GOLDFISH_CONTEXT: usize = 13;

/// What the prediction of a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum LossMask {
    /// Nothing: a BOS, a prompt with `loss_on = "response"`, or what the goldfish loss leaves out.
    Ignored,
    /// To be learned alone: the EOS.
    Learned,
    /// To be learned, and part of the loss that is reported: text.
    Reported,
}

/// All rows of a training set: one array of tokens, and where each row lies in it.
#[derive(Debug)]
pub struct Rows {
    tokens: Vec<i32>,
    /// What the prediction of each token is for.
    loss_mask: Vec<LossMask>,
    /// First token and token after the last; a row of n tokens makes n − 1 predictions.
    spans: Vec<(usize, usize)>,
    /// The document of each row, where rows are documents.
    names: Vec<String>,
    /// Whether text of that document was cut off.
    cut: Vec<bool>,
    /// Whether special tokens of the tokenizer are written out in the text of each document, in their order.
    special: Vec<bool>,
}

/// Some rows as tensors, without padding. Rows that are the same stand here once, with their number as weight.
#[derive(Debug)]
pub struct Batch {
    /// Token ids `[tokens]`, row behind row.
    pub tokens: Tensor,
    /// Tokens of each row.
    pub lengths: Vec<i64>,
    /// Positions among the tokens whose prediction is learned, where not all are.
    pub target_positions: Option<Tensor>,
    /// The token to predict at each of those positions.
    pub targets: Vec<i64>,
    /// How many times each of those predictions is learned.
    pub weights: Vec<f32>,
    /// How many times each of them counts in the loss that is reported: its weight, or 0 for an EOS.
    pub reported: Vec<f32>,
    /// Targets, weights and reported on the device, where the model computes as a GPU wants it.
    pub on_device: Option<DevicePredictions>,
}

impl Rows {
    /// Lays documents out in rows to train on, of at most `tuning.context` tokens. Of their text one in `goldfish` tokens carries no
    /// loss, where that is over 0.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer fails; [`Error::Configuration`] where no prediction would count.
    pub fn for_training<'a>(
        documents: impl Iterator<Item = Document<'a>>,
        texts: &TokenCache<'_>,
        config: &Config,
        tuning: &Tuning,
        goldfish: usize,
    ) -> Result<Self, Error> {
        let mut rows = Self::empty();
        let packed = tuning.rows == RowLayout::Packed;
        for document in documents {
            let start = rows.tokens.len();
            // Packed, the end of one document is the beginning of the next.
            let follows_end = packed && start > 0 && config.bos_token_id == config.eos_token_id();
            if !document.is_rendered() && !follows_end {
                rows.push(config.bos_token_id, LossMask::Ignored);
            }
            let text_start = rows.tokens.len();
            let text_end = rows.push_text(&document, texts, tuning.loss_on)?;
            rows.leave_out_goldfish(text_start, goldfish);
            if !document.is_rendered() {
                rows.push(config.eos_token_id(), LossMask::Learned);
            }
            if !packed {
                rows.end_row(&document, start, tuning.context, text_end);
            }
        }
        if packed {
            let end = rows.tokens.len();
            let starts = (0..end.saturating_sub(1)).step_by(tuning.context);
            rows.spans = starts
                .map(|start| (start, (start + tuning.context + 1).min(end)))
                .collect();
        }
        if !(0..rows.len()).any(|row| rows.reported_in(row) > 0) {
            return Err(Error::Configuration(format!(
                "nothing to learn: with tuning.loss_on = \"{}\" and tuning.context = {} no token counts",
                tuning.loss_on.name(),
                tuning.context
            )));
        }
        Ok(rows)
    }

    /// Lays documents out in rows whose loss is measured: one for each that has any text, behind the BOS and without an EOS,
    /// cut where training cuts it. Where training cuts nothing (`rows = "packed"`), the model's context does, as for the extractor.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer fails.
    pub fn for_evaluation<'a>(
        documents: impl Iterator<Item = Document<'a>>,
        texts: &TokenCache<'_>,
        config: &Config,
        tuning: &Tuning,
    ) -> Result<Self, Error> {
        let mut rows = Self::empty();
        let longest = match tuning.rows {
            RowLayout::Documents => tuning.context,
            RowLayout::Packed => config.context,
        };
        for document in documents {
            let start = rows.tokens.len();
            if !document.is_rendered() {
                rows.push(config.bos_token_id, LossMask::Ignored);
            }
            let text_start = rows.tokens.len();
            let text_end = rows.push_text(&document, texts, tuning.loss_on)?;
            if text_end == text_start {
                rows.tokens.truncate(start);
                rows.loss_mask.truncate(start);
            } else {
                rows.end_row(&document, start, longest, text_end);
            }
        }
        Ok(rows)
    }

    /// Whether special tokens of the tokenizer are written out in the text of a document, which are then read as these tokens.
    pub fn holds_special(&self, document: usize) -> bool {
        self.special.get(document).is_some_and(|special| *special)
    }

    fn empty() -> Self {
        Self {
            tokens: Vec::new(),
            loss_mask: Vec::new(),
            spans: Vec::new(),
            names: Vec::new(),
            cut: Vec::new(),
            special: Vec::new(),
        }
    }

    fn push(&mut self, id: i64, mask: LossMask) {
        self.tokens.push(id as i32);
        self.loss_mask.push(mask);
    }

    /// Adds a document's tokens and returns where they end.
    fn push_text(
        &mut self,
        document: &Document,
        texts: &TokenCache<'_>,
        loss_on: LossOn,
    ) -> Result<usize, Error> {
        let text = texts.tokenize(document.text)?;
        let end = text.ids.len();
        let learned = match (loss_on, document.assistant_spans) {
            (LossOn::Assistant, Some(spans)) => text.spans(spans),
            (LossOn::Text, _) => std::iter::once(0..end).collect(),
            (LossOn::Response | LossOn::Assistant, _) => {
                std::iter::once(text.beginning_within(document.prompt_chars)..end).collect()
            }
        };
        // A chat template's own are no part of anybody's text.
        self.special
            .push(!document.is_rendered() && texts.tokenizer().holds_special(&text.ids));
        let mut masks = vec![LossMask::Ignored; end];
        for span in learned {
            masks[span].fill(LossMask::Reported);
        }
        self.tokens.extend(text.ids.into_iter().map(|id| id as i32));
        self.loss_mask.extend(masks);
        Ok(self.tokens.len())
    }

    /// Takes one in `every` of the tokens from `start` on out of the loss: those for which the hash of the [`GOLDFISH_CONTEXT`] tokens
    /// before them is a multiple of it, so that a passage misses the same tokens wherever it occurs. The first tokens of a text, which
    /// have fewer before them, stay. Source: Hans et al. 2024, arXiv 2406.10209 (k = `every`, h = 13).
    fn leave_out_goldfish(&mut self, start: usize, every: usize) {
        if every == 0 {
            return;
        }
        let text = &self.tokens[start..];
        let masks = &mut self.loss_mask[start..];
        for (before, mask) in text
            .windows(GOLDFISH_CONTEXT)
            .zip(&mut masks[GOLDFISH_CONTEXT.min(text.len())..])
        {
            let bytes: Vec<u8> = before.iter().flat_map(|token| token.to_le_bytes()).collect();
            if xxh3_64_with_seed(&bytes, 0).is_multiple_of(every as u64) {
                *mask = LossMask::Ignored;
            }
        }
    }

    /// Makes a row of the tokens from `start` on, cut at `longest` tokens; the document's text ends at `text_end`.
    fn end_row(&mut self, document: &Document, start: usize, longest: usize, text_end: usize) {
        self.tokens.truncate(start + longest);
        self.loss_mask.truncate(start + longest);
        self.spans.push((start, self.tokens.len()));
        self.names.push(document.doc_id.to_owned());
        self.cut.push(text_end > start + longest);
    }

    /// Whether text of the document that is this row was cut off; packed rows cut none.
    pub fn is_cut(&self, row: usize) -> bool {
        self.cut.get(row).is_some_and(|cut| *cut)
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The order of rows in an epoch: as they stand in the first, shuffled by seed and epoch in later ones.
    pub fn order(&self, epoch: usize, seed: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        if epoch > 0 {
            let epoch_seed = xxh3_64_with_seed(&epoch.to_le_bytes(), seed);
            order.sort_by_key(|row| (xxh3_64_with_seed(&row.to_le_bytes(), epoch_seed), *row));
        }
        order
    }

    /// The documents of some rows, for messages.
    pub fn describe(&self, rows: &[usize]) -> String {
        let names: Vec<String> = rows
            .iter()
            .map(|&row| {
                self.names
                    .get(row)
                    .cloned()
                    .unwrap_or_else(|| format!("row {row}"))
            })
            .collect();
        names.join(", ")
    }

    /// The tokens of a row, its last among them, which is only predicted.
    pub fn tokens(&self, row: usize) -> &[i32] {
        &self.tokens[self.spans[row].0..self.spans[row].1]
    }

    /// Tokens that some rows read.
    pub fn read(&self, rows: &[usize]) -> usize {
        rows.iter().map(|&row| self.length(row)).sum()
    }

    /// Tokens that one row reads.
    pub(crate) fn length(&self, row: usize) -> usize {
        self.spans[row].1 - self.spans[row].0 - 1
    }

    /// Predictions of one row that are learned.
    pub(crate) fn learned_in(&self, row: usize) -> usize {
        let masks = self.masks(row).iter();
        masks.filter(|mask| **mask != LossMask::Ignored).count()
    }

    /// Which predictions of one row are learned, by place.
    pub(crate) fn learned_places(&self, row: usize) -> impl Iterator<Item = usize> {
        let masks = self.masks(row).iter().enumerate();
        masks
            .filter(|(_, mask)| **mask != LossMask::Ignored)
            .map(|(place, _)| place)
    }

    /// Predictions of one row that the reported loss is made of.
    pub(crate) fn reported_in(&self, row: usize) -> usize {
        let masks = self.masks(row).iter();
        masks.filter(|mask| **mask == LossMask::Reported).count()
    }

    /// What each prediction of a row is for.
    fn masks(&self, row: usize) -> &[LossMask] {
        let (start, end) = self.spans[row];
        &self.loss_mask[(start + 1).min(end)..end]
    }

    /// Each row's first twin: the row itself, or the first with the same tokens, of which the same are learned.
    pub(crate) fn twins(&self) -> Vec<usize> {
        let mut first: HashMap<(&[i32], &[LossMask]), usize> = HashMap::new();
        (0..self.len())
            .map(|row| *first.entry((self.tokens(row), self.masks(row))).or_insert(row))
            .collect()
    }

    /// Some rows, each with its weight, as tensors on `device`.
    ///
    /// # Errors
    /// [`causal_lm::Error::Torch`] where memory runs out.
    pub fn batch(
        &self,
        rows: &[(usize, usize)],
        device: Device,
        path: ComputePath,
    ) -> Result<Batch, causal_lm::Error> {
        let (mut tokens, mut lengths) = (Vec::new(), Vec::with_capacity(rows.len()));
        let (mut positions, mut targets) = (Vec::new(), Vec::new());
        let (mut weights, mut reported) = (Vec::new(), Vec::new());
        for &(row, weight) in rows {
            let (start, end) = self.spans[row];
            for place in start..end - 1 {
                let mask = self.loss_mask[place + 1];
                if mask != LossMask::Ignored {
                    positions.push(tokens.len() as i64);
                    targets.push(i64::from(self.tokens[place + 1]));
                    weights.push(weight as f32);
                    let counts = mask == LossMask::Reported;
                    reported.push(if counts { weight as f32 } else { 0.0 });
                }
                tokens.push(i64::from(self.tokens[place]));
            }
            lengths.push((end - 1 - start) as i64);
        }
        let on_device = if path.is_device() {
            Some(DevicePredictions::new(&targets, &weights, &reported, device)?)
        } else {
            None
        };
        let positions = if positions.len() < tokens.len() {
            Some(upload(&positions, device)?)
        } else {
            None
        };
        Ok(Batch {
            target_positions: positions,
            tokens: upload(&tokens, device)?,
            lengths,
            targets,
            weights,
            reported,
            on_device,
        })
    }
}

/// Divides the rows of a step into forward passes of at most `most_rows` rows and, unless a single row has more, `most_tokens` tokens
/// (0: however many); `length` says how many tokens a row reads.
pub(crate) fn passes(
    rows: &[(usize, usize)],
    most_rows: usize,
    most_tokens: usize,
    length: impl Fn(usize) -> usize,
) -> Vec<&[(usize, usize)]> {
    let (mut passes, mut first, mut tokens) = (Vec::new(), 0, 0);
    for (place, &(row, _)) in rows.iter().enumerate() {
        let more = length(row);
        let full = place - first >= most_rows.max(1) || most_tokens > 0 && tokens + more > most_tokens;
        if place > first && full {
            passes.push(&rows[first..place]);
            (first, tokens) = (place, 0);
        }
        tokens += more;
    }
    if first < rows.len() {
        passes.push(&rows[first..]);
    }
    passes
}
