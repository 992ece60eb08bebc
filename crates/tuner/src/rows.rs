//! Training rows: documents one by one, or packed; and batches of them as tensors.
//!
//! Every document begins with the token that begins a text and ends with the one that ends it (for GPT-2 the same), so that
//! its first token is learned too, and so that extraction, which begins prompts the same way, meets what was trained.

use std::collections::HashMap;

use causal_lm::{Config, TextTokenizer};
use contract::Error;
use contract::pipeline::{LossOn, Rows as RowLayout, Tuning};
use tch::{Device, Tensor};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A document to train or evaluate on.
#[derive(Debug, Clone, Copy)]
pub struct Document<'a> {
    /// Its identity, for messages.
    pub doc_id: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Characters of the text that are prompt.
    pub prompt_chars: usize,
}

/// All rows of a training set: one array of tokens, and where each row lies in it.
#[derive(Debug)]
pub struct Rows {
    tokens: Vec<i32>,
    /// Whether the loss counts the prediction of each token.
    counted: Vec<bool>,
    /// First token and token after the last; a row of n tokens makes n − 1 predictions.
    spans: Vec<(usize, usize)>,
    /// The document of each row, where rows are documents.
    names: Vec<String>,
}

/// Some rows as tensors, without padding. Rows that are the same stand here once, with their number as weight.
#[derive(Debug)]
pub struct Batch {
    /// Token ids `[tokens]`, row behind row.
    pub tokens: Tensor,
    /// Tokens of each row.
    pub lengths: Vec<i64>,
    /// Places among the tokens whose prediction counts, where not all do.
    pub places: Option<Tensor>,
    /// The token to predict at each of those places.
    pub targets: Vec<i64>,
    /// How many times each of those predictions counts.
    pub weights: Vec<f32>,
    /// Number of counted predictions, copies included.
    pub counted: usize,
}

impl Rows {
    /// Lays documents out in rows of at most `tuning.context` tokens.
    ///
    /// # Errors
    /// [`Error::Run`] where the tokenizer fails; [`Error::Configuration`] where no prediction would count.
    pub fn new<'a>(
        documents: impl Iterator<Item = Document<'a>>,
        tokenizer: &TextTokenizer,
        config: &Config,
        tuning: &Tuning,
        layout: RowLayout,
    ) -> Result<Self, Error> {
        let mut rows = Self {
            tokens: Vec::new(),
            counted: Vec::new(),
            spans: Vec::new(),
            names: Vec::new(),
        };
        for document in documents {
            let (ids, prompt) = tokenizer.encode_with_prompt(document.text, document.prompt_chars)?;
            let prompt = if tuning.loss_on == LossOn::Response {
                prompt
            } else {
                0
            };
            let start = rows.tokens.len();
            // Packed, the end of one document is the beginning of the next.
            if layout == RowLayout::Documents || start == 0 || config.begin_token != config.end_token() {
                rows.push(config.begin_token, false);
            }
            for (place, id) in ids.into_iter().enumerate() {
                rows.push(id, place >= prompt);
            }
            rows.push(config.end_token(), true);
            if layout == RowLayout::Documents {
                rows.tokens.truncate(start + tuning.context);
                rows.counted.truncate(start + tuning.context);
                rows.spans.push((start, rows.tokens.len()));
                rows.names.push(document.doc_id.to_owned());
            }
        }
        if layout == RowLayout::Packed {
            let end = rows.tokens.len();
            let starts = (0..end.saturating_sub(1)).step_by(tuning.context);
            rows.spans = starts
                .map(|start| (start, (start + tuning.context + 1).min(end)))
                .collect();
        }
        if !rows
            .spans
            .iter()
            .any(|&(start, end)| rows.counted[start + 1..end].contains(&true))
        {
            return Err(Error::Configuration(format!(
                "nothing to learn: with tuning.loss_on = \"response\" and tuning.context = {} no token counts",
                tuning.context
            )));
        }
        Ok(rows)
    }

    fn push(&mut self, id: i64, counted: bool) {
        self.tokens.push(id as i32);
        self.counted.push(counted);
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

    /// Predictions of one row that count.
    pub(crate) fn counted_in(&self, row: usize) -> usize {
        let (start, end) = self.spans[row];
        self.counted[start + 1..end]
            .iter()
            .filter(|counted| **counted)
            .count()
    }

    /// Each row's first twin: the row itself, or the first with the same tokens, of which the same count.
    pub(crate) fn twins(&self) -> Vec<usize> {
        let mut first: HashMap<(&[i32], &[bool]), usize> = HashMap::new();
        let spans = self.spans.iter().enumerate();
        spans
            .map(|(row, &(start, end))| {
                let content = (&self.tokens[start..end], &self.counted[start + 1..end]);
                *first.entry(content).or_insert(row)
            })
            .collect()
    }

    /// Some rows, each with its weight, as tensors on `device`.
    pub fn batch(&self, rows: &[(usize, usize)], device: Device) -> Batch {
        let (mut tokens, mut lengths) = (Vec::new(), Vec::with_capacity(rows.len()));
        let (mut places, mut targets, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut counted = 0;
        for &(row, weight) in rows {
            let (start, end) = self.spans[row];
            for place in start..end - 1 {
                if self.counted[place + 1] {
                    places.push(tokens.len() as i64);
                    targets.push(i64::from(self.tokens[place + 1]));
                    weights.push(weight as f32);
                    counted += weight;
                }
                tokens.push(i64::from(self.tokens[place]));
            }
            lengths.push((end - 1 - start) as i64);
        }
        let on_device = |numbers: &[i64]| Tensor::from_slice(numbers).to_device(device);
        Batch {
            places: (places.len() < tokens.len()).then(|| on_device(&places)),
            tokens: on_device(&tokens),
            lengths,
            targets,
            weights,
            counted,
        }
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
