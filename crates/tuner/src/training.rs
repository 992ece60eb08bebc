//! The training loop.

use std::path::Path;
use std::time::Instant;

use contract::pipeline::{Mode, Rows as RowLayout, Tuning};
use contract::records::{HeldOutDocument, Split, TrainingInstance, TrainingMetric};
use contract::{Error, Progress, Provenance};
use tch::{Device, Kind};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::evaluation::HeldOut;
use crate::gradients::{Backward, Gradients};
use crate::hidden_states::HiddenStates;
use crate::kept::Kept;
use crate::modes::Prepared;
use crate::rows::{Document, passes};
use crate::schedule::learning_rate;
use crate::state::{self, Standing};
use crate::{AdamW, Rows, memory};

/// What one run is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run<'a> {
    pub(crate) tuning: &'a Tuning,
    pub(crate) mode: &'a Mode,
    pub(crate) learning_rate: f64,
    pub(crate) seed: u64,
    /// Folder for what only an unfinished run needs.
    pub(crate) work: &'a Path,
    /// Folder for checkpoints beside the last.
    pub(crate) kept: &'a Path,
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
    optimizer: AdamW,
    kept: Kept,
    tuning: Tuning,
    peak: f64,
    seed: u64,
    steps_per_epoch: usize,
    steps: usize,
}

impl Trainer {
    pub(crate) fn new(
        mut prepared: Prepared,
        run: &Run,
        instances: &[TrainingInstance],
        held_out: &[HeldOutDocument],
    ) -> Result<Self, Error> {
        let tuning = run.tuning;
        fits(&prepared, tuning)?;
        let documents = instances.iter().map(|instance| Document {
            doc_id: &instance.doc_id,
            text: &instance.text,
            prompt_chars: instance.prompt_chars.max(0) as usize,
        });
        let (config, tokenizer) = (&prepared.model.config, &prepared.tokenizer);
        let rows = Rows::new(documents, tokenizer, config, tuning, tuning.rows)?;
        let documents = held_out.iter().map(|document| Document {
            doc_id: &document.doc_id,
            text: &document.text,
            prompt_chars: document.prompt_chars.max(0) as usize,
        });
        let held_out = if held_out.is_empty() {
            None
        } else {
            Some(Rows::new(
                documents,
                tokenizer,
                config,
                tuning,
                RowLayout::Documents,
            )?)
        };
        let trainable = prepared.model.trainable();
        let backward = Backward::new(&prepared.model, &trainable, tuning.gradient_checkpointing);
        let optimizer = AdamW::new(trainable, tuning.betas, tuning.weight_decay)?;
        let states_of = |rows: &Rows, name: &str| {
            let most_bytes = tuning.hidden_state_megabytes << 20;
            backward
                .head_alone()
                .then(|| {
                    HiddenStates::new(
                        &prepared.model,
                        rows,
                        pass_limits(tuning),
                        most_bytes,
                        run.work,
                        name,
                    )
                })
                .transpose()
        };
        let hidden = states_of(&rows, "training")?;
        let held_out = match held_out {
            None => None,
            Some(rows) => Some(HeldOut {
                hidden: states_of(&rows, "held-out")?,
                rows,
            }),
        };
        let drops = prepared.model.lora().is_some_and(|lora| lora.dropout > 0.0);
        let steps_per_epoch = rows.len().div_ceil(tuning.batch_size * tuning.accumulation);
        let epochs = run.mode.epochs.unwrap_or(tuning.epochs);
        let steps = ((epochs * steps_per_epoch as f64).ceil() as usize).max(1);
        Ok(Self {
            prepared,
            twins: (!drops).then(|| rows.twins()),
            rows,
            hidden,
            held_out,
            backward,
            optimizer,
            kept: Kept::new(run.kept, tuning),
            tuning: tuning.clone(),
            peak: run.learning_rate,
            seed: run.seed,
            steps_per_epoch,
            steps,
        })
    }

    /// Numbers that training changes.
    pub(crate) fn trainable_count(&self) -> usize {
        self.optimizer.count()
    }

    /// Trains from the saved state, or from the beginning, to the end; returns all rows of metrics.
    pub(crate) fn run(
        &mut self,
        saved: &Path,
        provenance: &Provenance,
    ) -> Result<Vec<TrainingMetric>, Error> {
        let mut standing = state::resume(
            saved,
            provenance,
            &mut self.optimizer,
            self.prepared.model.device(),
        )?;
        self.kept.take_over(&standing)?;
        if standing.step < self.steps {
            self.warn_of_slow_precision()?;
        }
        let mut progress = Progress::new("training", self.steps as u64, "steps");
        progress.set_position(standing.step as u64);
        let (before, started) = (standing.seconds, Instant::now());
        let mut last_saved = (standing.step, Instant::now());
        if standing.step == 0 {
            self.evaluate(&mut standing)?;
        }
        let mut order = (usize::MAX, Vec::new());
        let last_of = |standing: &Standing| {
            let mut rows = standing.metrics.iter().rev();
            rows.find(|row| row.split == Split::Train).cloned()
        };
        let mut logged_at = last_of(&standing).map_or(0.0, |row| row.seconds);
        while standing.step < self.steps && !standing.stopped {
            let epoch = standing.step / self.steps_per_epoch;
            if order.0 != epoch {
                order = (epoch, self.rows.order(epoch, self.seed));
            }
            let (rate, norm) = self.step(&mut standing, &order.1, last_saved.0)?;
            standing.seconds = before + started.elapsed().as_secs_f64();
            let remark = last_of(&standing).map_or_else(String::new, |row| {
                format!("loss {:.3}, {:.0} tokens/s", row.loss, row.tokens_per_second)
            });
            progress.advance(1, &remark);
            if standing.step % self.tuning.log_every.max(1) == 0 || standing.step == self.steps {
                self.log(&mut standing, rate, norm, logged_at);
                logged_at = standing.seconds;
            }
            if self.evaluation_due(standing.step) {
                self.evaluate(&mut standing)?;
                self.kept.consider(&standing, &mut self.prepared)?;
                if self.kept.is_out_of_patience(&standing) {
                    tracing::info!(
                        "stopped after step {}: no better held-out loss in {} evaluations",
                        standing.step,
                        self.tuning.patience
                    );
                    standing.stopped = true;
                }
            }
            if last_saved.1.elapsed().as_secs_f64() >= self.tuning.save_seconds {
                state::save(saved, provenance, &standing, &self.optimizer)?;
                last_saved = (standing.step, Instant::now());
            }
        }
        if standing.since_logged.1 > 0 {
            // Stopped early between two rows of metrics.
            let (rate, norm) =
                last_of(&standing).map_or((0.0, 0.0), |row| (row.learning_rate, row.grad_norm));
            self.log(&mut standing, rate, norm, logged_at);
        }
        Ok(standing.metrics)
    }

    /// Writes the tuned model or adapter, or puts the best of the kept checkpoints in its place, whole or not at all.
    pub(crate) fn write_checkpoint(&mut self, destination: &Path) -> Result<(), Error> {
        self.kept.write_final(&mut self.prepared, destination)
    }

    /// Half precision is asked for to be fast, which it is not on every processor.
    fn warn_of_slow_precision(&self) -> Result<(), Error> {
        let model = &self.prepared.model;
        if model.compute() != Kind::BFloat16 || model.device() != Device::Cpu {
            return Ok(());
        }
        let ratio = matrix_product::bf16_over_float32().map_err(causal_lm::Error::from)?;
        if ratio < 0.9 {
            tracing::warn!(
                "this processor multiplies bf16 matrices at {ratio:.1} times its rate for float32: tuning.precision = \"float32\" \
                 is faster here"
            );
        }
        Ok(())
    }

    /// One optimizer step over `accumulation` batches. The gradient is that of the mean over all counted predictions of the
    /// step, however they fall into passes. Returns the learning rate and the norm of the gradient.
    fn step(
        &mut self,
        standing: &mut Standing,
        order: &[usize],
        last_saved: usize,
    ) -> Result<(f64, f64), Error> {
        // What is random in a step depends on seed and step alone, so that a resumed run draws the same.
        let seed = xxh3_64_with_seed(&standing.step.to_le_bytes(), self.seed);
        let model = &self.prepared.model;
        let per_step = self.tuning.batch_size * self.tuning.accumulation;
        let first = standing.step % self.steps_per_epoch * per_step;
        let chosen = &order[first..(first + per_step).min(order.len())];
        let merged = merged(chosen, self.twins.as_deref());
        let counted: usize = merged
            .iter()
            .map(|&(row, copies)| copies * self.rows.counted_in(row))
            .sum();
        let rate = learning_rate(
            self.tuning.schedule,
            self.peak,
            self.tuning.warmup,
            standing.step,
            self.steps,
        );
        let (most_rows, most_tokens) = pass_limits(&self.tuning);
        let mut norm = 0.0;
        if counted > 0 {
            let (mut sum, scale) = (0.0, 1.0 / counted as f32);
            let mut gradients = Gradients::none(self.backward.count());
            let passes = passes(&merged, most_rows, most_tokens, |row| self.rows.length(row));
            for (number, pass) in passes.into_iter().enumerate() {
                let batch = self.rows.batch(pass, model.device());
                if batch.counted == 0 {
                    continue;
                }
                sum += match &mut self.hidden {
                    Some(hidden) => {
                        let states = hidden.of(model, &self.rows, pass)?;
                        self.backward
                            .head_pass(model, &states, &batch, scale, &mut gradients)?
                    }
                    None => {
                        let seed = xxh3_64_with_seed(&number.to_le_bytes(), seed);
                        self.backward.pass(model, &batch, scale, seed, &mut gradients)?
                    }
                };
            }
            norm = gradients.norm()?;
            if !sum.is_finite() || !norm.is_finite() {
                return Err(self.not_finite(
                    standing.step + 1,
                    sum / counted as f64,
                    norm,
                    chosen,
                    last_saved,
                ));
            }
            let factor = if self.tuning.clip > 0.0 && norm > self.tuning.clip {
                self.tuning.clip / (norm + 1e-6)
            } else {
                1.0
            };
            self.optimizer.step(&gradients, factor, rate)?;
            standing.since_logged.0 += sum;
            standing.since_logged.1 += counted;
        } else {
            self.optimizer.skip();
        }
        let read = self.rows.read(chosen);
        standing.since_logged.2 += read;
        standing.tokens += read as i64;
        standing.step += 1;
        Ok((rate, norm))
    }

    fn not_finite(&self, step: usize, loss: f64, norm: f64, rows: &[usize], last_saved: usize) -> Error {
        let good = match (self.kept.newest(), last_saved) {
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

    fn evaluate(&mut self, standing: &mut Standing) -> Result<(), Error> {
        let limits = pass_limits(&self.tuning);
        let Some(held_out) = &mut self.held_out else {
            return Ok(());
        };
        if let Some(loss) = held_out.mean_loss(&self.prepared.model, limits)? {
            if !loss.is_finite() {
                return Err(Error::Run(format!(
                    "after step {}: the held-out loss is {loss}; a lower learning rate, a longer warm-up or precision = \"float32\" \
                     may help",
                    standing.step
                )));
            }
            let row = self.metric(standing, Split::Heldout, loss, 0.0, 0.0, 0.0);
            standing.metrics.push(row);
        }
        Ok(())
    }

    fn log(&self, standing: &mut Standing, rate: f64, norm: f64, logged_at: f64) {
        let (sum, counted, read) = std::mem::take(&mut standing.since_logged);
        if counted > 0 {
            let speed = read as f64 / (standing.seconds - logged_at).max(1e-9);
            let row = self.metric(standing, Split::Train, sum / counted as f64, rate, norm, speed);
            standing.metrics.push(row);
        }
    }

    fn metric(
        &self,
        standing: &Standing,
        split: Split,
        loss: f64,
        rate: f64,
        norm: f64,
        speed: f64,
    ) -> TrainingMetric {
        TrainingMetric {
            step: standing.step as i64,
            epoch: standing.step as f64 / self.steps_per_epoch as f64,
            split,
            loss,
            tokens: standing.tokens,
            learning_rate: rate,
            grad_norm: norm,
            tokens_per_second: speed,
            seconds: standing.seconds,
            peak_rss_bytes: memory::peak_resident_bytes(),
            peak_device_bytes: None,
        }
    }
}

/// Most rows and most tokens of one forward pass.
fn pass_limits(tuning: &Tuning) -> (usize, usize) {
    (tuning.batch_size, tuning.pass_tokens)
}

/// Rows with the number of times they are to count: those that are twins of one another once.
fn merged(rows: &[usize], twins: Option<&[usize]>) -> Vec<(usize, usize)> {
    let Some(twins) = twins else {
        return rows.iter().map(|&row| (row, 1)).collect();
    };
    let mut merged: Vec<(usize, usize)> = Vec::with_capacity(rows.len());
    for &row in rows {
        match merged.iter_mut().find(|(first, _)| twins[*first] == twins[row]) {
            Some((_, copies)) => *copies += 1,
            None => merged.push((row, 1)),
        }
    }
    merged
}

/// Refuses settings and tokenizers that do not go with the model.
fn fits(prepared: &Prepared, tuning: &Tuning) -> Result<(), Error> {
    let (config, tokenizer) = (&prepared.model.config, &prepared.tokenizer);
    if tuning.context > config.context {
        let problem = format!(
            "tuning.context = {} is beyond the model's context of {}",
            tuning.context, config.context
        );
        return Err(Error::Configuration(problem));
    }
    if tokenizer.vocabulary() > config.vocabulary {
        let problem = format!(
            "the tokenizer has {} tokens and the model an embedding of {}; they do not belong together",
            tokenizer.vocabulary(),
            config.vocabulary
        );
        return Err(Error::Configuration(problem));
    }
    Ok(())
}
