//! What the cells will cost, before anything starts. Every figure is an estimate: tokens are counted in a sample of the text, by
//! the models' own tokenizers, and time follows from counts of operations.
//!
//! - A forward pass costs 2 operations a token for each parameter of a matrix product, and 4 times width times the tokens before it for
//!   the attention of a layer; a backward pass twice as much (Kaplan et al. 2020, arXiv 2001.08361): half of that for the
//!   gradients of activations, half for those of weights. Head-only tuning reads each text once and then only multiplies by
//!   the head; LoRA needs no gradients of the frozen weights.
//! - Copies of a text that fall into one step are computed once. With S steps an epoch, a text with c copies is in
//!   S · (1 − (1 − 1/S)^c) of them.
//! - Held-out loss is measured before the first step and after each epoch; a tuned cell is asked and scored at two checkpoints.
//! - Decoding reads one token of each row of a batch at a time, which is slower: it has a rate of its own ([`Speed`]).
//! - Plagiarism encodes the sentences of generations and of the corpus.
//! - Memory is in `memory.rs`.
//!
//! The time of dupgen and report is not estimated.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::path::Path;

use contract::Error;
use contract::decoding::Decoding;
use contract::pipeline::{MembershipPass, ModeKind, PromptSource, Rows, Strategy};
use contract::prompt_form::FormSource;
use contract::records::PromptForm;

use crate::tokens::{TokenCounter, tokenizer_folder};
use crate::{Plan, PlannedCell};

pub use cut::{CutShare, cut_shares};
pub use extent::{Bucket, CorpusSize, Extent, Lengths};
pub use model_folder::cost::BYTES_PER_TOKEN;
pub use speed::{Speed, SpeedSource};

mod cut;
mod extent;
mod memory;
mod speed;

/// The context of a model that nobody asked for its own, at most, in tokens.
const MOST_CONTEXT: f64 = 2048.0;

/// Parameters of the sentence encoder that `make setup` fetches, without its embeddings: six layers of width 384.
const ENCODER_PARAMETERS: f64 = 6.0 * 12.0 * 384.0 * 384.0;

/// Bytes of English text in a word piece of its tokenizer.
const BYTES_PER_WORD_PIECE: f64 = 4.5;

/// Bytes that AdamW reads and writes for each trained parameter in a step.
const OPTIMIZER_BYTES: f64 = 32.0;

/// Bytes a second between processor and memory, as a rule of thumb.
const MEMORY_BYTES_PER_SECOND: f64 = 1e10;

/// Seconds that a process takes before and after its work: to start, to read files and to write them.
const SECONDS_OF_PROCESS: f64 = 1.0;

/// The estimated cost of one cell.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// Name of the cell.
    pub cell: String,
    /// Tokens that training goes through, copies and epochs included: what the tuner counts.
    pub training_tokens: f64,
    /// Tokens generated, at all checkpoints that are asked: what the extractor counts.
    pub generated_tokens: f64,
    /// Seconds of tuner, extractor and plagiarism.
    pub seconds: Seconds,
    /// Largest memory of a process, in bytes.
    pub memory_bytes: f64,
    /// Files of the cell, in bytes.
    pub disk_bytes: f64,
}

/// Seconds by stage.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Seconds {
    /// Of the tuner.
    pub tuner: f64,
    /// Of the extractor.
    pub extractor: f64,
    /// Of plagiarism.
    pub plagiarism: f64,
}

impl Seconds {
    /// All stages together.
    pub fn total(self) -> f64 {
        self.tuner + self.extractor + self.plagiarism
    }
}

/// Estimates every cell of a plan on a machine of that speed; training sets that are in the folder `run` already are taken as they are.
///
/// # Errors
/// [`Error::Input`] where a corpus file or a tokenizer cannot be read.
pub fn estimates(plan: &Plan, run: &Path, speed: &mut SpeedSource) -> Result<Vec<Estimate>, Error> {
    let sizes = plan
        .corpora
        .iter()
        .map(|corpus| corpus.size(plan.pipeline))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut extents: HashMap<(&str, &str), Extent> = HashMap::new();
    let mut estimates = Vec::new();
    for cell in &plan.cells {
        let set = &cell.combination.training_set;
        let key = (set.name.as_str(), cell.combination.model.name.as_str());
        let extent = match extents.entry(key) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(extent_of(plan, cell, run, &sizes[set.corpus])?),
        };
        let shape = Shape::of(cell);
        let speed = speed.of_model(
            shape.width as usize,
            shape.vocabulary as usize,
            shape.parameters as u64,
            &plan.pipeline.tuning,
        );
        let strategies = plan.strategies_of(&plan.corpora[set.corpus])?;
        estimates.push(estimate(plan, cell, &strategies, &shape, extent, speed));
    }
    Ok(estimates)
}

/// The size of a cell's training set: of that in the run folder where there is one, else the size that it will have.
fn extent_of(plan: &Plan, cell: &PlannedCell, run: &Path, corpus: &CorpusSize) -> Result<Extent, Error> {
    let set = &cell.combination.training_set;
    let counter = match tokenizer_folder(cell) {
        Some(folder) => TokenCounter::load(&folder)?,
        None => TokenCounter::Bytes,
    };
    match Extent::of_training_set(&run.join("corpus").join(&set.name), &counter)? {
        Some(extent) => Ok(extent),
        None => Extent::expected(plan.pipeline, set, corpus, &counter),
    }
}

fn estimate(
    plan: &Plan,
    cell: &PlannedCell,
    strategies: &[Strategy],
    shape: &Shape,
    extent: &Extent,
    speed: Speed,
) -> Estimate {
    let asked = checkpoints_asked(cell);
    let asking = Asking::of(plan, cell, strategies, extent);
    let large = |operations: f64| operations / (speed.training_gflops * 1e9);
    let decoded = |tokens: f64| {
        let operations = shape.forward(asking.prompt_tokens + asking.new_tokens / 2.0) * tokens;
        operations / (speed.decoding_gflops * 1e9)
    };
    let mut seconds = Seconds::default();
    let mut training_tokens = 0.0;
    if cell.is_tuned() {
        let training = Training::of(plan, cell, extent);
        training_tokens = training.tokens;
        seconds.tuner = large(training.operations(shape, cell.combination.kind()))
            + training.steps * OPTIMIZER_BYTES * shape.trainable / MEMORY_BYTES_PER_SECOND
            + SECONDS_OF_PROCESS;
    }
    if cell.is_extracted() {
        let read = asking.read_tokens * shape.forward(asking.prompt_tokens);
        let scored = asking.scored_tokens * shape.forward(asking.scored_length);
        // What is followed over training is scored at each checkpoint that is kept.
        let followed = if cell.is_tuned() {
            (plan.pipeline.tuning.keep_last as f64).min(epochs(plan, cell))
        } else {
            0.0
        };
        seconds.extractor = asked * (large(read + scored) + decoded(asking.decoded_tokens))
            + followed * large(scored)
            + SECONDS_OF_PROCESS;
        // The sentences of the corpus are encoded once for all cells on it.
        let same_corpus = |other: &&PlannedCell| other.facts.corpus == cell.facts.corpus;
        let all_asked: f64 = plan.cells.iter().filter(same_corpus).map(checkpoints_asked).sum();
        let documents = extent.training_documents + extent.held_out_documents;
        let of_corpus = documents * extent.documents.mean(|length| length) / all_asked.max(1.0);
        let pieces = (asking.generated_tokens + of_corpus) * extent.bytes_per_token / BYTES_PER_WORD_PIECE;
        seconds.plagiarism = asked * (large(2.0 * ENCODER_PARAMETERS * pieces) + SECONDS_OF_PROCESS);
    }
    Estimate {
        cell: cell.facts.name.clone(),
        training_tokens,
        generated_tokens: asked * asking.generated_tokens,
        seconds,
        memory_bytes: memory::of_training(plan, cell, shape, &speed)
            .max(memory::of_extraction(plan, cell, shape, &speed, &asking)),
        disk_bytes: disk(plan, cell, shape, asked * asking.generations),
    }
}

/// Checkpoints of a cell that are asked: of a tuned one the last and the best.
fn checkpoints_asked(cell: &PlannedCell) -> f64 {
    match (cell.is_extracted(), cell.has_best()) {
        (false, _) => 0.0,
        (true, false) => 1.0,
        (true, true) => 2.0,
    }
}

/// Sizes of a cell's model, as they enter the formulas.
struct Shape {
    parameters: f64,
    trainable: f64,
    head: f64,
    /// Parameters of matrix products: all but embeddings that are only looked up.
    multiplied: f64,
    layers: f64,
    width: f64,
    vocabulary: f64,
}

impl Shape {
    fn of(cell: &PlannedCell) -> Self {
        let parameters = cell.facts.parameters as f64;
        let trainable = cell.facts.trainable_parameters as f64;
        let ([layers, width, vocabulary, context], tied) =
            match (&cell.weights, &cell.combination.model.architecture) {
                (Some(model), _) => {
                    let config = &model.config;
                    (
                        [config.layers, config.width, config.vocabulary, config.context],
                        config.tied_head,
                    )
                }
                (None, Some(shape)) => ([shape.layers, shape.width, shape.vocabulary, shape.context], true),
                (None, None) => ([0; 4], true),
            };
        let [layers, width, vocabulary, context] =
            [layers, width, vocabulary, context].map(|size| size as f64);
        let head = vocabulary * width;
        // A position embedding, where the family has one, is about as large as this; where it has none, that is a small error.
        let looked_up = context.min(4096.0) * width + if tied { 0.0 } else { head };
        Self {
            parameters,
            trainable,
            head,
            multiplied: (parameters - looked_up).max(parameters / 2.0),
            layers,
            width,
            vocabulary,
        }
    }

    /// Operations of a forward pass for a token in a text of so many.
    fn forward(&self, length: f64) -> f64 {
        2.0 * self.multiplied + 2.0 * self.layers * self.width * length
    }
}

fn epochs(plan: &Plan, cell: &PlannedCell) -> f64 {
    let (mode, tuning) = (cell.combination.mode.as_ref(), &plan.pipeline.tuning);
    mode.map_or(tuning.epochs, |mode| mode.epochs(tuning))
}

/// What training goes through.
struct Training {
    /// Tokens, copies and epochs included.
    tokens: f64,
    /// Those that are computed: copies within a step are computed once.
    computed: f64,
    /// Tokens of each text once.
    distinct: f64,
    /// Tokens of the held-out documents whose loss is measured.
    evaluated: f64,
    evaluations: f64,
    steps: f64,
    /// Mean length of what is read at once.
    length: f64,
}

impl Training {
    fn of(plan: &Plan, cell: &PlannedCell, extent: &Extent) -> Self {
        let tuning = &plan.pipeline.tuning;
        let epochs = epochs(plan, cell);
        let context = tuning.context as f64;
        let mode = cell.combination.mode.as_ref();
        let once = mode
            .is_some_and(|mode| mode.without_copies)
            .then(|| extent.each_text_once());
        let extent = once.as_ref().unwrap_or(extent);
        let rows_in_step = mode.map_or(1, |mode| mode.rows_in_step(tuning)).max(1) as f64;
        // A row predicts each token of its text, and the EOS behind it.
        let row = |length: f64| match tuning.rows {
            Rows::Documents => (length + 1.0).min(context - 1.0),
            Rows::Packed => length + 1.0,
        };
        let of_buckets = |per_text: &dyn Fn(&Bucket) -> f64| -> f64 {
            let buckets = extent.buckets.iter();
            buckets
                .map(|bucket| bucket.texts * per_text(bucket) * bucket.lengths.mean(row))
                .sum()
        };
        let with_other = |count: f64| mode.map_or(count, |mode| mode.with_other_text(count));
        let own_tokens = of_buckets(&|bucket| bucket.copies);
        let tokens = with_other(own_tokens);
        let rows = match tuning.rows {
            Rows::Documents => with_other(extent.instances()),
            Rows::Packed => tokens / context,
        };
        let steps_of_epoch = (rows / rows_in_step).ceil().max(1.0);
        let computed = match tuning.rows {
            Rows::Documents => {
                let own = of_buckets(&|bucket| {
                    steps_of_epoch * (1.0 - (1.0 - 1.0 / steps_of_epoch).powf(bucket.copies))
                });
                own + tokens - own_tokens
            }
            Rows::Packed => tokens,
        };
        let steps = (epochs * steps_of_epoch).ceil();
        let evaluations = match tuning.evaluate_every {
            0 => epochs.ceil(),
            every => (steps / every as f64).ceil(),
        };
        let documents = extent.validation_documents.min(tuning.evaluate_documents as f64);
        Self {
            tokens: tokens * epochs,
            computed: computed * epochs,
            distinct: of_buckets(&|_| 1.0),
            evaluated: documents * extent.documents.mean(row),
            evaluations: 1.0 + evaluations,
            steps,
            length: match tuning.rows {
                Rows::Documents => extent.documents.mean(row),
                Rows::Packed => context,
            },
        }
    }

    /// Operations of training and of the evaluations in it.
    fn operations(&self, shape: &Shape, kind: ModeKind) -> f64 {
        let forward = shape.forward(self.length);
        match kind {
            ModeKind::Base | ModeKind::Tuned => 0.0,
            // The hidden states are computed once; then the head is multiplied by them, and its gradient taken.
            ModeKind::Head => {
                let head = 2.0 * shape.head;
                (self.distinct + self.evaluated) * (forward - head)
                    + self.computed * 2.0 * head
                    + self.evaluations * self.evaluated * head
            }
            ModeKind::Full | ModeKind::Pretrain => {
                3.0 * forward * self.computed + self.evaluations * self.evaluated * forward
            }
            ModeKind::Lora => {
                (2.0 * forward + 6.0 * shape.trainable) * self.computed
                    + self.evaluations * self.evaluated * forward
            }
        }
    }
}

/// What one checkpoint is asked.
struct Asking {
    generations: f64,
    /// Tokens that come out, at most: a model may end a text early.
    generated_tokens: f64,
    /// Tokens of prompts.
    read_tokens: f64,
    /// Tokens that go through the model one by one; of beams and of searches for a prompt more than come out.
    decoded_tokens: f64,
    scored_tokens: f64,
    /// Mean lengths of a prompt, of what follows it, and of a text that is scored.
    prompt_tokens: f64,
    new_tokens: f64,
    scored_length: f64,
}

impl Asking {
    fn of(plan: &Plan, cell: &PlannedCell, strategies: &[Strategy], extent: &Extent) -> Self {
        let extraction = &plan.pipeline.extraction;
        let (prefix, new) = (extraction.prefix_tokens as f64, extraction.new_tokens as f64);
        // One of the tokens that training read is the BOS.
        let most = cell
            .combination
            .trained_tokens
            .0
            .map_or(f64::INFINITY, |context| context as f64 - 1.0);
        let mut asking = Self {
            generations: 0.0,
            generated_tokens: 0.0,
            read_tokens: 0.0,
            decoded_tokens: 0.0,
            scored_tokens: 0.0,
            prompt_tokens: prefix,
            new_tokens: new,
            scored_length: extent.documents.mean(|length| length.min(most)),
        };
        // A document of no more than half a prompt gives none.
        let long_enough = extent
            .documents
            .mean(|length| f64::from(length.min(most) > (prefix / 2.0).ceil()));
        for strategy in strategies {
            let (of_documents, others, nothing) = prompts(plan, extent, strategy);
            let (prompts, length) = match strategy.prompt.facts().source {
                // Nobody has looked where questions end.
                FormSource::Questions => (of_documents, asking.scored_length / 2.0),
                _ => (of_documents * long_enough, prefix),
            };
            let prompts = prompts + others;
            let is_drawn = strategy.decoding() == Decoding::Draws;
            let is_begun = strategy.prompt.facts().source == FormSource::Model;
            let (each, tokens) = (
                strategy.generations_of_prompt(),
                strategy.tokens_of_prompt(extraction.new_tokens),
            );
            let (each, tokens) = (each as f64, tokens as f64);
            // Of what always gives the same one is asked for; of draws each prompt from nothing is one, and each beginning.
            let (prompts, nothing) = match (is_drawn, is_begun) {
                (true, true) => (0.0, nothing + prompts),
                (true, false) => (prompts, nothing),
                (false, _) => (prompts + nothing.min(1.0), 0.0),
            };
            let generations = prompts * each + nothing;
            asking.generations += generations;
            asking.generated_tokens += generations * new;
            asking.read_tokens += prompts * (length + 1.0);
            asking.decoded_tokens += prompts * tokens + nothing * new;
            if is_begun {
                asking.decoded_tokens += (prompts + nothing) * prefix;
            }
        }
        if extraction.score {
            let documents = extent.training_documents + extent.held_out_documents + extent.other_documents;
            asking.scored_tokens = documents * asking.scored_length + extent.canaries * extent.canary_tokens;
            asking.decoded_tokens += documents * extraction.near_verbatim_beams as f64 * new;
            // Nobody has looked which documents have any: one each, at most 200 on either side.
            let details = extent.training_documents.min(200.0) + extent.held_out_documents.min(200.0);
            if extraction.details > 0 {
                let candidates = (extraction.details + 1) as f64;
                asking.scored_tokens += details * (asking.scored_length + candidates * TOKENS_OF_DETAIL);
            }
            for pass in &extraction.membership {
                asking.scored_tokens += documents
                    * match pass {
                        // Other text takes as much room as it gets.
                        MembershipPass::Conditional => asking.scored_length + most.min(MOST_CONTEXT) / 2.0,
                        // There, and twice as much back.
                        MembershipPass::GradientNorm => 3.0 * asking.scored_length,
                    };
            }
        }
        asking
    }
}

/// Tokens of a personal detail, about.
const TOKENS_OF_DETAIL: f64 = 6.0;

/// Prompts that a strategy asks with: of documents, others, and from nothing at all.
fn prompts(plan: &Plan, extent: &Extent, strategy: &Strategy) -> (f64, f64, f64) {
    let extraction = &plan.pipeline.extraction;
    let most = strategy.documents.or(extraction.documents);
    let most = most.map_or(f64::INFINITY, |documents| documents as f64);
    let of_documents = || {
        let sources = extraction.prompts.iter().map(|source| match source {
            PromptSource::Train => extent.training_documents.min(most),
            PromptSource::Heldout => extent.held_out_documents.min(most),
            PromptSource::None => 0.0,
        });
        sources.sum()
    };
    let unprompted = extraction.unprompted as f64;
    match strategy.prompt.facts().source {
        FormSource::Few(prompts) => (0.0, prompts as f64, 0.0),
        FormSource::Model => (0.0, unprompted, 0.0),
        FormSource::Lines => {
            let file = extraction.prompt_file.as_ref();
            let lines = file.map_or(0.0, |file| lines(&plan.pipeline.resolve(file)));
            (0.0, lines, 0.0)
        }
        FormSource::Repeated => (0.0, 0.0, unprompted),
        FormSource::Tokens | FormSource::Questions | FormSource::Search => {
            // Plain prompts go with nothing at all.
            let asks_nothing =
                strategy.prompt == PromptForm::Prefix && extraction.prompts.contains(&PromptSource::None);
            (of_documents(), 0.0, if asks_nothing { unprompted } else { 0.0 })
        }
    }
}

fn lines(file: &Path) -> f64 {
    std::fs::read_to_string(file).map_or(0.0, |text| text.lines().count() as f64)
}

fn disk(plan: &Plan, cell: &PlannedCell, shape: &Shape, generations: f64) -> f64 {
    let checkpoint = match cell.combination.kind() {
        ModeKind::Base | ModeKind::Tuned => 0.0,
        ModeKind::Lora => 4.0 * shape.trainable,
        ModeKind::Full | ModeKind::Pretrain | ModeKind::Head => 4.0 * shape.parameters,
    };
    // The last and the best, and those that are kept beside them.
    let checkpoints = checkpoint * (2.0 + plan.pipeline.tuning.keep_last as f64);
    // A state to resume from holds what is trained and its two moments.
    let state = if cell.is_tuned() {
        12.0 * shape.trainable
    } else {
        0.0
    };
    let passage = (plan.pipeline.extraction.prefix_tokens + plan.pipeline.extraction.new_tokens) as f64;
    // Text, token ids and log-probabilities of each sample.
    checkpoints + state + generations * passage * (BYTES_PER_TOKEN + 8.0)
}

/// The estimates as a table, with a line of totals.
pub struct Table<'a>(pub &'a [Estimate]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let Self(estimates) = self;
        let width = estimates
            .iter()
            .map(|estimate| estimate.cell.len())
            .max()
            .unwrap_or(0)
            .max(12);
        writeln!(
            formatter,
            "{:width$}  {:>12}  {:>10}  {:>8}  {:>9}  {:>10}  {:>8}  {:>8}",
            "cell", "train tokens", "generated", "tuner", "extractor", "plagiarism", "memory", "disk"
        )?;
        for estimate in *estimates {
            write_row(formatter, width, estimate)?;
        }
        let sum = |part: fn(&Estimate) -> f64| estimates.iter().map(part).sum();
        let total = Estimate {
            cell: format!("{} cells", estimates.len()),
            training_tokens: sum(|estimate| estimate.training_tokens),
            generated_tokens: sum(|estimate| estimate.generated_tokens),
            seconds: Seconds {
                tuner: sum(|estimate| estimate.seconds.tuner),
                extractor: sum(|estimate| estimate.seconds.extractor),
                plagiarism: sum(|estimate| estimate.seconds.plagiarism),
            },
            memory_bytes: estimates
                .iter()
                .map(|estimate| estimate.memory_bytes)
                .fold(0.0, f64::max),
            disk_bytes: sum(|estimate| estimate.disk_bytes),
        };
        write_row(formatter, width, &total)?;
        writeln!(
            formatter,
            "All stages of all cells, one after the other: {}.",
            duration(total.seconds.total())
        )
    }
}

fn write_row(formatter: &mut fmt::Formatter, width: usize, estimate: &Estimate) -> fmt::Result {
    let Seconds {
        tuner,
        extractor,
        plagiarism,
    } = estimate.seconds;
    writeln!(
        formatter,
        "{:width$}  {:>12}  {:>10}  {:>8}  {:>9}  {:>10}  {:>8}  {:>8}",
        estimate.cell,
        count(estimate.training_tokens),
        count(estimate.generated_tokens),
        duration(tuner),
        duration(extractor),
        duration(plagiarism),
        format!("{}B", count(estimate.memory_bytes)),
        format!("{}B", count(estimate.disk_bytes)),
    )
}

/// A number in steps of a thousand: `840`, `1.2 M`.
pub(crate) fn count(number: f64) -> String {
    let mut scaled = number;
    for unit in ["", "k", "M", "G"] {
        if scaled < 999.5 {
            let digits = usize::from(!unit.is_empty() && scaled < 9.95);
            return format!("{scaled:.digits$} {unit}");
        }
        scaled /= 1000.0;
    }
    format!("{scaled:.1} T")
}

pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        0.0 => "0 s".to_owned(),
        seconds if seconds < 100.0 => format!("{:.0} s", seconds.max(1.0)),
        seconds if seconds < 6000.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 360_000.0 => format!("{:.1} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_like_a_person_writes_them() {
        for (number, expected) in [
            (0.0, "0 "),
            (840.0, "840 "),
            (1234.0, "1.2 k"),
            (56_789.0, "57 k"),
            (999_700.0, "1.0 M"),
            (2.5e12, "2.5 T"),
        ] {
            assert_eq!(count(number), expected);
        }
        for (seconds, expected) in [
            (0.0, "0 s"),
            (0.2, "1 s"),
            (42.0, "42 s"),
            (600.0, "10 min"),
            (36_000.0, "10.0 h"),
        ] {
            assert_eq!(duration(seconds), expected);
        }
    }
}
