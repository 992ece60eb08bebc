//! The training loop.

use std::path::Path;
use std::time::Instant;

use contract::pipeline::{Mode, Rows as RowLayout, Tuning};
use contract::records::{HeldOutDocument, Split, TrainingInstance, TrainingMetric};
use contract::{Error, Progress, Provenance};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::modes::Prepared;
use crate::rows::Document;
use crate::schedule::learning_rate;
use crate::state::{self, Standing};
use crate::{AdamW, Rows, evaluation, loss, memory};

/// A model, its rows, and how to step.
#[derive(Debug)]
pub(crate) struct Trainer {
    prepared: Prepared,
    rows: Rows,
    held_out: Option<Rows>,
    optimizer: AdamW,
    tuning: Tuning,
    peak: f64,
    seed: u64,
    steps_per_epoch: usize,
    steps: usize,
}

impl Trainer {
    pub(crate) fn new(
        mut prepared: Prepared,
        tuning: &Tuning,
        mode: &Mode,
        learning_rate: f64,
        seed: u64,
        instances: &[TrainingInstance],
        held_out: &[HeldOutDocument],
    ) -> Result<Self, Error> {
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
        let documents = instances.iter().map(|instance| Document {
            doc_id: &instance.doc_id,
            text: &instance.text,
            prompt_chars: instance.prompt_chars.max(0) as usize,
        });
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
        let optimizer = AdamW::new(prepared.model.trainable(), tuning.betas, tuning.weight_decay)?;
        let steps_per_epoch = rows.len().div_ceil(tuning.batch_size * tuning.accumulation);
        let epochs = mode.epochs.unwrap_or(tuning.epochs);
        let steps = ((epochs * steps_per_epoch as f64).ceil() as usize).max(1);
        Ok(Self {
            prepared,
            rows,
            held_out,
            optimizer,
            tuning: tuning.clone(),
            peak: learning_rate,
            seed,
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
        let mut progress = Progress::new("training", self.steps as u64, "steps");
        progress.set_position(standing.step as u64);
        let (before, started) = (standing.seconds, Instant::now());
        let mut last_saved = Instant::now();
        if standing.step == 0 {
            self.evaluate(&mut standing)?;
        }
        let mut order = (usize::MAX, Vec::new());
        let mut logged_at = standing
            .metrics
            .iter()
            .rev()
            .find(|row| row.split == Split::Train)
            .map_or(0.0, |row| row.seconds);
        while standing.step < self.steps {
            let epoch = standing.step / self.steps_per_epoch;
            if order.0 != epoch {
                order = (epoch, self.rows.order(epoch, self.seed));
            }
            let (rate, norm) = self.step(&mut standing, &order.1)?;
            standing.seconds = before + started.elapsed().as_secs_f64();
            let remark = standing
                .metrics
                .iter()
                .rev()
                .find(|row| row.split == Split::Train);
            let remark = remark.map_or_else(String::new, |row| {
                format!("loss {:.3}, {:.0} tokens/s", row.loss, row.tokens_per_second)
            });
            progress.advance(1, &remark);
            if standing.step % self.tuning.log_every.max(1) == 0 || standing.step == self.steps {
                self.log(&mut standing, rate, norm, logged_at);
                logged_at = standing.seconds;
            }
            if self.evaluation_due(standing.step) {
                self.evaluate(&mut standing)?;
            }
            if last_saved.elapsed().as_secs_f64() >= self.tuning.save_seconds || standing.step == self.steps {
                state::save(saved, provenance, &standing, &self.optimizer)?;
                last_saved = Instant::now();
            }
        }
        Ok(standing.metrics)
    }

    /// Writes the tuned model or adapter into an existing folder.
    pub(crate) fn write_checkpoint(&mut self, folder: &Path) -> Result<(), Error> {
        self.prepared.write(folder)
    }

    /// One optimizer step over `accumulation` batches. The gradient is that of the mean over all counted predictions of the
    /// step, however they fall into batches. Returns the learning rate and the norm of the gradient.
    fn step(&mut self, standing: &mut Standing, order: &[usize]) -> Result<(f64, f64), Error> {
        // What is random in a step depends on seed and step alone, so that a resumed run draws the same.
        tch::manual_seed(xxh3_64_with_seed(&standing.step.to_le_bytes(), self.seed) as i64);
        let model = &self.prepared.model;
        let per_step = self.tuning.batch_size * self.tuning.accumulation;
        let first = standing.step % self.steps_per_epoch * per_step;
        let rows = &order[first..(first + per_step).min(order.len())];
        let batches: Vec<_> = rows
            .chunks(self.tuning.batch_size)
            .map(|rows| self.rows.batch(rows, model.config.end_token(), model.device()))
            .collect();
        let counted: usize = batches.iter().map(|batch| batch.counted).sum();
        let rate = learning_rate(
            self.tuning.schedule,
            self.peak,
            self.tuning.warmup,
            standing.step,
            self.steps,
        );
        let mut norm = 0.0;
        if counted > 0 {
            let mut sum = 0.0;
            for batch in batches.iter().filter(|batch| batch.counted > 0) {
                let loss = loss::sum_of_losses(model, batch)?;
                loss.f_div_scalar(counted as f64)
                    .and_then(|mean| mean.f_backward())
                    .map_err(causal_lm::Error::from)?;
                sum += loss.f_double_value(&[]).map_err(causal_lm::Error::from)?;
            }
            norm = self.optimizer.clip(self.tuning.clip)?;
            if !sum.is_finite() || !norm.is_finite() {
                return Err(Error::Run(format!(
                    "step {}: the loss is {sum} and the gradient's norm {norm}; a lower learning rate may help. Documents of \
                     this step: {}. The state saved last is from before this step",
                    standing.step + 1,
                    self.rows.describe(rows)
                )));
            }
            self.optimizer.step(rate)?;
            standing.since_logged.0 += sum;
            standing.since_logged.1 += counted;
        }
        let read: usize = batches.iter().map(|batch| batch.read).sum();
        standing.since_logged.2 += read;
        standing.tokens += read as i64;
        standing.step += 1;
        Ok((rate, norm))
    }

    fn evaluation_due(&self, step: usize) -> bool {
        let every = if self.tuning.evaluate_every > 0 {
            self.tuning.evaluate_every
        } else {
            self.steps_per_epoch
        };
        step.is_multiple_of(every) || step == self.steps
    }

    fn evaluate(&self, standing: &mut Standing) -> Result<(), Error> {
        let Some(held_out) = &self.held_out else {
            return Ok(());
        };
        if let Some(loss) = evaluation::mean_loss(&self.prepared.model, held_out, self.tuning.batch_size)? {
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
