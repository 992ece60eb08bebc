//! The training loop.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::time::Instant;

use contract::pipeline::{Mode, Privacy, Rows as RowLayout, Tuning};
use contract::records::{HeldOutDocument, Split, TrainingInstance, TrainingMetric};
use contract::{Error, Progress, Provenance};
use tch::{Device, Kind};
use text_tokens::TokenCache;
use torch_device::memory::peak_bytes;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::checkpoints::{CheckpointFolders, CheckpointStore, best_step};
use crate::evaluation::HeldOut;
use crate::gradients::{Backward, Gradients};
use crate::hidden_states::HiddenStates;
use crate::modes::Prepared;
use crate::ngrams::MemorizedNgrams;
use crate::pass_limits::PassLimits;
use crate::private_gradients::PrivateGradients;
use crate::rows::{Document, passes};
use crate::scalar::Scalar;
use crate::schedule::learning_rate;
use crate::state::{self, TrainState};
use crate::training_text::{TextChanges, TrainingText};
use crate::working_weights::WorkingWeights;
use crate::{AdamW, Rows, memory};

/// What one run is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) tuning: &'a Tuning,
    pub(crate) mode: &'a Mode,
    pub(crate) learning_rate: f64,
    pub(crate) seed: u64,
    /// Folder of the corpus.
    pub(crate) corpus: &'a Path,
    /// Folder for what only an unfinished run needs.
    pub(crate) work: &'a Path,
    /// Where its checkpoints go.
    pub(crate) checkpoints: &'a CheckpointFolders,
    /// A digest of all that it follows from.
    pub(crate) noise_key: u64,
}

/// Steps whose numbers nobody has looked at, at most.
const MOST_PENDING: usize = 64;

/// A step that was made, with what there is to look at.
#[derive(Debug)]
struct Step {
    number: usize,
    rate: f64,
    /// Sum of the losses that are reported, in nats.
    sum: Scalar,
    /// Norm of the gradient.
    norm: Scalar,
    reported: usize,
    rows: Vec<usize>,
}

/// A model, its rows, and how to step.
#[derive(Debug)]
pub(crate) struct Trainer {
    prepared: Prepared,
    rows: Rows,
    /// Each row's first twin, with which it is computed if both are in one step; not where each drops what it likes.
    twins: Option<Vec<usize>>,
    /// Hidden states of the rows, where the body does not change.
    hidden: Option<HiddenStates>,
    held_out: Option<HeldOut>,
    backward: Backward,
    weights: WorkingWeights,
    limits: PassLimits,
    optimizer: AdamW,
    checkpoints: CheckpointStore,
    cut: Option<CutDocuments>,
    special: (usize, usize),
    changes: TextChanges,
    ngrams: Option<MemorizedNgrams>,
    tuning: Tuning,
    peak: f64,
    seed: u64,
    privacy: Option<Privacy>,
    /// What sets this run's noise apart from that of all others: two with the same noise would show, together, what it hides in each.
    noise_key: u64,
    rows_in_step: usize,
    steps_per_epoch: usize,
    steps: usize,
}

impl Trainer {
    pub(crate) fn new(
        mut prepared: Prepared,
        run: &Run,
        instances: &[TrainingInstance],
        other: &[TrainingInstance],
        held_out: &[HeldOutDocument],
    ) -> Result<Self, Error> {
        let tuning = run.tuning;
        fits(&prepared, tuning)?;
        let path = torch_device::compute_path(tuning.compute_path, prepared.model.device());
        prepared.model.set_path(path);
        let learned = TrainingText::of(instances, other, run.mode);
        let config = &prepared.model.config;
        let texts = TokenCache::beside(run.corpus, &prepared.tokenizer);
        let documents = learned
            .instances()
            .map(|learned| Document::from(learned.instance));
        let rows = Rows::for_training(documents, &texts, config, tuning, run.mode.goldfish)?;
        let held_out = Rows::for_evaluation(held_out.iter().map(Document::from), &texts, config, tuning)?;
        if run.mode.stop_at_ngrams.is_some() && held_out.is_empty() {
            return Err(Error::Configuration(
                "mode.stop_at_ngrams: expected held-out documents that choose, to compare training documents with, found none; \
                 corpus.held_out, corpus.validation and tuning.evaluate_documents say how many there are"
                    .to_owned(),
            ));
        }
        let ngrams = (run.mode.stop_at_ngrams)
            .map(|most| MemorizedNgrams::new(most, instances, &texts, config, tuning))
            .transpose()?;
        texts.keep();
        let distinct = learned.distinct_documents();
        let cut = (tuning.rows == RowLayout::Documents)
            .then(|| CutDocuments::count(tuning.context, (&rows, &distinct), &held_out));
        let special = distinct.iter().filter(|&&place| rows.holds_special(place));
        let special = (special.count(), distinct.len());
        let weights = WorkingWeights::new(&mut prepared.model, path.is_device())?;
        let optimizer = AdamW::new(weights.masters(), tuning.betas, tuning.weight_decay)?;
        let limits = PassLimits::new(&prepared.model, &weights, tuning, &rows);
        let backward = Backward::new(&prepared.model, &weights.working(), limits.checkpointing);
        let states_of = |rows: &Rows, name: &str| {
            let most_bytes = tuning.hidden_state_megabytes << 20;
            backward
                .head_alone()
                .then(|| {
                    HiddenStates::new(
                        &prepared.model,
                        rows,
                        (limits.rows, limits.tokens),
                        most_bytes,
                        run.work,
                        name,
                    )
                })
                .transpose()
        };
        let hidden = states_of(&rows, "training")?;
        let held_out = if held_out.is_empty() {
            None
        } else {
            Some(HeldOut {
                hidden: states_of(&held_out, "held-out")?,
                rows: held_out,
            })
        };
        let drops = prepared.model.lora().is_some_and(|lora| lora.dropout > 0.0);
        let rows_in_step = run.mode.rows_in_step(tuning);
        let steps_per_epoch = rows.len().div_ceil(rows_in_step);
        let steps = ((run.mode.epochs(tuning) * steps_per_epoch as f64).ceil() as usize).max(1);
        Ok(Self {
            prepared,
            twins: (!drops).then(|| rows.twins()),
            rows,
            hidden,
            held_out,
            backward,
            weights,
            limits,
            optimizer,
            checkpoints: CheckpointStore::new(run.checkpoints, tuning),
            cut,
            special,
            changes: learned.changes,
            ngrams,
            tuning: tuning.clone(),
            peak: run.learning_rate,
            seed: run.seed,
            privacy: run.mode.privacy,
            noise_key: run.noise_key,
            rows_in_step,
            steps_per_epoch,
            steps,
        })
    }

    /// Numbers that training changes.
    pub(crate) fn trainable_count(&self) -> usize {
        self.optimizer.count()
    }

    /// Documents that were cut, where each has a row of its own.
    pub(crate) fn cut(&self) -> Option<CutDocuments> {
        self.cut
    }

    /// Training documents in whose text special tokens are written out, and all of them.
    pub(crate) fn special(&self) -> (usize, usize) {
        self.special
    }

    /// What was changed in the training text before tuning.
    pub(crate) fn changes(&self) -> TextChanges {
        self.changes
    }

    /// Trains from the saved state, or from the beginning, to the end, and leaves its checkpoints; returns all rows of metrics.
    pub(crate) fn run(
        &mut self,
        saved: &Path,
        provenance: &Provenance,
    ) -> Result<Vec<TrainingMetric>, Error> {
        let mut state = state::resume(
            saved,
            provenance,
            self.checkpoints.best(),
            &mut self.optimizer,
            self.prepared.model.device(),
        )?;
        self.weights.renew()?;
        self.checkpoints.resume(&state)?;
        if state.step < self.steps {
            self.warn_of_slow_precision()?;
        }
        let mut progress = Progress::new("training", self.steps as u64, "steps");
        progress.set_position(state.step as u64);
        let (before, started) = (state.seconds, Instant::now());
        let mut last_saved = (state.step, Instant::now());
        if state.step == 0 {
            self.evaluate(&mut state)?;
        }
        if best_step(&state) == Some(state.step) {
            self.write_best()?;
        }
        let mut order = (usize::MAX, Vec::new());
        let last_of = |state: &TrainState| {
            let mut rows = state.metrics.iter().rev();
            rows.find(|row| row.split == Split::Train).cloned()
        };
        let (mut pending, mut rate, mut norm) = (Vec::new(), 0.0, 0.0);
        let mut logged_at = last_of(&state).map_or(0.0, |row| row.seconds);
        while state.step < self.steps && !state.stopped {
            let epoch = state.step / self.steps_per_epoch;
            if order.0 != epoch {
                order = (epoch, self.rows.order(epoch, self.seed));
            }
            pending.push(self.step(&mut state, &order.1)?);
            let is_logged = state.step % self.tuning.log_every.max(1) == 0 || state.step == self.steps;
            let is_evaluated = self.evaluation_due(state.step);
            let is_saved = last_saved.1.elapsed().as_secs_f64() >= self.tuning.save_seconds;
            let is_looked_at = is_logged || is_evaluated || is_saved || pending.len() == MOST_PENDING;
            if !self.prepared.model.path().is_device() || is_looked_at {
                (rate, norm) = self.settle(&mut state, &mut pending, last_saved.0)?;
            }
            state.seconds = before + started.elapsed().as_secs_f64();
            let remark = last_of(&state).map_or_else(String::new, |row| {
                format!("loss {:.3}, {:.0} tokens/s", row.loss, row.tokens_per_second)
            });
            progress.advance(1, &remark);
            if is_logged {
                self.log(&mut state, rate, norm, logged_at);
                logged_at = state.seconds;
            }
            if is_evaluated {
                self.evaluate(&mut state)?;
                // Before anything is saved, so that a run resumed from here ends too.
                state.stopped = self.is_memorized(&state)?;
                self.keep(&state)?;
                if best_step(&state) == Some(state.step) {
                    // The state is saved first, and a run resumed from it writes the best once more. So the best that is there
                    // always belongs to the state that is resumed from, wherever the run is killed.
                    state::save(saved, provenance, &state, &self.optimizer)?;
                    last_saved = (state.step, Instant::now());
                    self.write_best()?;
                }
                if self.checkpoints.is_out_of_patience(&state) {
                    tracing::info!(
                        "stopped after step {}: no better held-out loss in {} evaluations",
                        state.step,
                        self.tuning.patience
                    );
                    state.stopped = true;
                }
            }
            if is_saved && last_saved.0 != state.step {
                state::save(saved, provenance, &state, &self.optimizer)?;
                last_saved = (state.step, Instant::now());
            }
        }
        if state.since_logged.1 > 0 {
            // Stopped early between two rows of metrics.
            let (rate, norm) = last_of(&state).map_or((0.0, 0.0), |row| (row.learning_rate, row.grad_norm));
            self.log(&mut state, rate, norm, logged_at);
        }
        self.weights.with_masters(&mut self.prepared, |prepared| {
            self.checkpoints.write_last(&state, prepared)
        })?;
        Ok(state.metrics)
    }

    /// Half precision is asked for to be fast, which it is not on every processor.
    fn warn_of_slow_precision(&self) -> Result<(), Error> {
        let model = &self.prepared.model;
        if model.compute() != Kind::BFloat16 || model.device() != Device::Cpu {
            return Ok(());
        }
        let ratio = cpu_kernels::bf16_over_float32().map_err(causal_lm::Error::from)?;
        if ratio < 0.9 {
            tracing::warn!(
                "this processor multiplies bf16 matrices at {ratio:.1} times its rate for float32: tuning.precision = \"float32\" \
                 is faster here"
            );
        }
        Ok(())
    }

    fn write_best(&mut self) -> Result<(), Error> {
        let write = |prepared: &mut Prepared| self.checkpoints.write_best(prepared);
        self.weights.with_masters(&mut self.prepared, write)
    }

    fn keep(&mut self, state: &TrainState) -> Result<(), Error> {
        let keep = |prepared: &mut Prepared| self.checkpoints.keep(state, prepared);
        self.weights.with_masters(&mut self.prepared, keep)
    }

    /// One optimizer step. The gradient is that of the mean over all learned predictions of the step, however they fall into passes.
    fn step(&mut self, state: &mut TrainState, order: &[usize]) -> Result<Step, Error> {
        // What is random in a step depends on seed and step alone, so that a resumed run draws the same.
        let seed = xxh3_64_with_seed(&state.step.to_le_bytes(), self.seed);
        let first = state.step % self.steps_per_epoch * self.rows_in_step;
        let chosen = &order[first..(first + self.rows_in_step).min(order.len())];
        let merged = merged(chosen, self.twins.as_deref());
        let total = |of_row: &dyn Fn(usize) -> usize| -> usize {
            merged.iter().map(|&(row, copies)| copies * of_row(row)).sum()
        };
        let learned = total(&|row| self.rows.learned_in(row));
        let reported = total(&|row| self.rows.reported_in(row));
        let rate = learning_rate(
            self.tuning.schedule,
            self.peak,
            self.tuning.warmup,
            state.step,
            self.steps,
        );
        let (mut sum, mut norm) = (Scalar::Host(0.0), Scalar::Host(0.0));
        // Noise is added whether or not there is anything to learn.
        if learned > 0 || self.privacy.is_some() {
            let gradients;
            (gradients, sum) = match self.privacy {
                Some(privacy) => self.private_gradients(privacy, &merged, seed)?,
                None => self.gradients(&merged, learned, seed)?,
            };
            norm = self.change_weights(&gradients, &sum, rate)?;
        } else {
            self.optimizer.skip();
        }
        let read = self.rows.read(chosen);
        state.since_logged.2 += read;
        state.tokens += read as i64;
        state.step += 1;
        Ok(Step {
            number: state.step,
            rate,
            sum,
            norm,
            reported: if learned > 0 { reported } else { 0 },
            rows: chosen.to_vec(),
        })
    }

    /// The gradient of the mean over all `learned` predictions of some rows, each with the number of times it counts, and the sum of the
    /// losses that are reported.
    fn gradients(
        &mut self,
        rows: &[(usize, usize)],
        learned: usize,
        seed: u64,
    ) -> Result<(Gradients, Scalar), Error> {
        let (most_rows, most_tokens) = (self.limits.rows, self.limits.tokens);
        let passes = passes(rows, most_rows, most_tokens, |row| self.rows.length(row));
        let (mut gradients, mut sum) = (Gradients::none(self.backward.count()), Scalar::Host(0.0));
        for (number, pass) in passes.into_iter().enumerate() {
            let seed = xxh3_64_with_seed(&number.to_le_bytes(), seed);
            if let Some(of_pass) = self.pass(pass, 1.0 / learned as f32, seed, &mut gradients)? {
                sum = sum.add(of_pass)?;
            }
        }
        Ok((gradients, sum))
    }

    /// The same with differential privacy: the mean over rows of the gradient of each one's mean loss, brought down to a norm, and noise.
    fn private_gradients(
        &mut self,
        privacy: Privacy,
        rows: &[(usize, usize)],
        seed: u64,
    ) -> Result<(Gradients, Scalar), Error> {
        let path = self.prepared.model.path();
        let mut gradients = PrivateGradients::new(privacy, path, self.backward.count());
        let mut sum = Scalar::Host(0.0);
        for (number, &(row, copies)) in rows.iter().enumerate() {
            let seed = xxh3_64_with_seed(&number.to_le_bytes(), seed);
            let mut of_row = Gradients::none(self.backward.count());
            let scale = 1.0 / self.rows.learned_in(row).max(1) as f32;
            let loss = self.pass(&[(row, 1)], scale, seed, &mut of_row)?;
            gradients.add_row(loss.is_some().then_some(of_row), copies)?;
            if let Some(loss) = loss {
                sum = sum.add(loss.times(copies as f64)?)?;
            }
        }
        let noise_seed = xxh3_64_with_seed(&self.noise_key.to_le_bytes(), seed);
        Ok((gradients.noisy_mean(self.backward.tensors(), noise_seed)?, sum))
    }

    /// Takes some rows through the model and back: adds the gradients of `scale` times the sum of the losses that are learned, and gives the sum
    /// of those that are reported; none where nothing of them is learned. What an adapter drops follows from `seed`.
    fn pass(
        &mut self,
        rows: &[(usize, usize)],
        scale: f32,
        seed: u64,
        gradients: &mut Gradients,
    ) -> Result<Option<Scalar>, Error> {
        let model = &self.prepared.model;
        let batch = self.rows.batch(rows, model.device(), model.path())?;
        if batch.targets.is_empty() {
            return Ok(None);
        }
        let sum = match &mut self.hidden {
            Some(hidden) => {
                let states = hidden.of(model, &self.rows, rows)?;
                self.backward
                    .head_pass(model, &states, &batch, scale, gradients)?
            }
            None => self.backward.pass(model, &batch, scale, seed, gradients)?,
        };
        Ok(Some(sum))
    }

    /// Changes the weights along the gradient, clipped, and gives its norm. Where loss or norm are no numbers, weights stay as they are.
    fn change_weights(&mut self, gradients: &Gradients, sum: &Scalar, rate: f64) -> Result<Scalar, Error> {
        // With differential privacy each row's gradient is clipped, and what is left over the norm is noise.
        let clip = if self.privacy.is_some() {
            0.0
        } else {
            self.tuning.max_grad_norm
        };
        if self.prepared.model.path().is_device() {
            let norm = self.optimizer.step_on_device(gradients, sum, clip, rate)?;
            self.weights.renew()?;
            return Ok(Scalar::on_device(&norm)?);
        }
        let norm = gradients.norm()?;
        if norm.is_finite() && sum.value()?.is_finite() {
            let factor = if clip > 0.0 && norm > clip {
                clip / (norm + 1e-6)
            } else {
                1.0
            };
            self.optimizer.step(gradients, factor, rate)?;
        }
        Ok(Scalar::Host(norm))
    }

    /// Looks at the numbers that steps left; returns the rate and the norm of the last.
    fn settle(
        &self,
        state: &mut TrainState,
        pending: &mut Vec<Step>,
        last_saved: usize,
    ) -> Result<(f64, f64), Error> {
        let scalars: Vec<&Scalar> = pending.iter().flat_map(|step| [&step.sum, &step.norm]).collect();
        let values = Scalar::values(&scalars)?;
        let mut last = (0.0, 0.0);
        for (step, values) in pending.drain(..).zip(values.chunks_exact(2)) {
            let (sum, norm) = (values[0], values[1]);
            if !sum.is_finite() || !norm.is_finite() {
                let loss = sum / step.reported.max(1) as f64;
                return Err(self.not_finite(step.number, loss, norm, &step.rows, last_saved));
            }
            state.since_logged.0 += sum;
            state.since_logged.1 += step.reported;
            last = (step.rate, norm);
        }
        Ok(last)
    }

    fn not_finite(&self, step: usize, loss: f64, norm: f64, rows: &[usize], last_saved: usize) -> Error {
        let good = match (self.checkpoints.newest(), last_saved) {
            (Some(folder), _) => format!("The last good checkpoint is {}", folder.display()),
            (None, 0) => "No state was saved before it".to_owned(),
            (None, saved) => {
                format!("The last good state, after step {saved}, was saved: a rerun goes on from there")
            }
        };
        Error::Run(format!(
            "step {step}: the loss is {loss} and the gradient's norm {norm}; a lower learning rate, a longer warm-up or \
             precision = \"float32\" may help. Documents of this step: {}. {good}",
            self.rows.describe(rows)
        ))
    }

    fn evaluation_due(&self, step: usize) -> bool {
        let every = if self.tuning.evaluate_every > 0 {
            self.tuning.evaluate_every
        } else {
            self.steps_per_epoch
        };
        step.is_multiple_of(every) || step == self.steps
    }

    fn evaluate(&mut self, state: &mut TrainState) -> Result<(), Error> {
        let limits = (self.limits.rows, self.limits.tokens);
        let Some(held_out) = &mut self.held_out else {
            return Ok(());
        };
        let loss = self.weights.with_masters(&mut self.prepared, |prepared| {
            Ok(held_out.mean_loss(&prepared.model, limits)?)
        })?;
        if let Some(loss) = loss {
            if !loss.is_finite() {
                return Err(Error::Run(format!(
                    "after step {}: the held-out loss is {loss}; a lower learning rate, a longer warm-up or precision = \"float32\" \
                     may help",
                    state.step
                )));
            }
            let row = self.metric(state, Split::Heldout, loss, 0.0, 0.0, 0.0);
            state.metrics.push(row);
        }
        Ok(())
    }

    /// Whether more of the training text is memorized than tuning may go on with.
    fn is_memorized(&mut self, state: &TrainState) -> Result<bool, Error> {
        let limits = (self.limits.rows, self.limits.tokens);
        let (Some(ngrams), Some(held_out)) = (&self.ngrams, &self.held_out) else {
            return Ok(false);
        };
        self.weights.with_masters(&mut self.prepared, |prepared| {
            let shares = ngrams.shares(&prepared.model, &held_out.rows, limits)?;
            let is_over = shares.excess() > ngrams.max_excess;
            tracing::info!(
                "step {}: {shares}{}",
                state.step,
                if is_over { "; tuning ends here" } else { "" }
            );
            Ok(is_over)
        })
    }

    fn log(&self, state: &mut TrainState, rate: f64, norm: f64, logged_at: f64) {
        let (sum, reported, read) = std::mem::take(&mut state.since_logged);
        if reported > 0 {
            let speed = read as f64 / (state.seconds - logged_at).max(1e-9);
            let row = self.metric(state, Split::Train, sum / reported as f64, rate, norm, speed);
            state.metrics.push(row);
        }
    }

    fn metric(
        &self,
        state: &TrainState,
        split: Split,
        loss: f64,
        rate: f64,
        norm: f64,
        speed: f64,
    ) -> TrainingMetric {
        TrainingMetric {
            step: state.step as i64,
            epoch: state.step as f64 / self.steps_per_epoch as f64,
            split,
            loss,
            tokens: state.tokens,
            learning_rate: rate,
            grad_norm: norm,
            tokens_per_second: speed,
            seconds: state.seconds,
            peak_rss_bytes: memory::peak_resident_bytes(),
            peak_device_bytes: peak_bytes(self.prepared.model.device()).map(|bytes| bytes as i64),
        }
    }
}

/// How many documents were cut, of those that a row each was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CutDocuments {
    /// Tokens at which they were cut, the BOS included.
    pub(crate) context: usize,
    /// Training documents that were cut, and all of them; copies and canaries do not count.
    pub(crate) training: (usize, usize),
    /// The same of the held-out documents whose loss is measured.
    pub(crate) held_out: (usize, usize),
}

impl CutDocuments {
    fn count(context: usize, (rows, documents): (&Rows, &[usize]), held_out: &Rows) -> Self {
        Self {
            context,
            training: (
                documents.iter().filter(|&&row| rows.is_cut(row)).count(),
                documents.len(),
            ),
            held_out: (
                (0..held_out.len()).filter(|&row| held_out.is_cut(row)).count(),
                held_out.len(),
            ),
        }
    }
}

/// Rows with the number of times they are to count: those that are twins of one another once.
fn merged(rows: &[usize], twins: Option<&[usize]>) -> Vec<(usize, usize)> {
    let Some(twins) = twins else {
        return rows.iter().map(|&row| (row, 1)).collect();
    };
    let mut merged: Vec<(usize, usize)> = Vec::with_capacity(rows.len());
    let mut places: HashMap<usize, usize> = HashMap::new();
    for &row in rows {
        match places.entry(twins[row]) {
            Entry::Occupied(place) => merged[*place.get()].1 += 1,
            Entry::Vacant(place) => {
                place.insert(merged.len());
                merged.push((row, 1));
            }
        }
    }
    merged
}

/// Refuses settings that do not go with the model.
fn fits(prepared: &Prepared, tuning: &Tuning) -> Result<(), Error> {
    let config = &prepared.model.config;
    if tuning.context > config.context {
        let problem = format!(
            "tuning.context = {} is beyond the model's context of {}",
            tuning.context, config.context
        );
        return Err(Error::Configuration(problem));
    }
    Ok(())
}
