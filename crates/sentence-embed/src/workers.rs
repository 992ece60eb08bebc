//! Batches through a transformer and its head, on one thread or on several.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use tch::{Device, TchError, Tensor};

use crate::EmbedError;
use crate::bert::Bert;
use crate::config::TransformerConfig;
use crate::packing::{Batch, Plan, Run, Sequence};
use crate::pooling::Pooling;

/// Tokens that go through the transformer at once. A processor is fastest while a batch stays in its cache; a graphics card
/// wants more at a time.
const CPU_BATCH_TOKENS: usize = 1024;
const CUDA_BATCH_TOKENS: usize = 65_536;

/// What becomes of a transformer's output.
pub(crate) trait Head: Send {
    /// One row of values per sequence.
    fn rows(&self, states: &Tensor, runs: &[Run]) -> Result<Tensor, TchError>;

    /// Another handle on the same weights.
    fn share(&self) -> Self;
}

impl Head for Pooling {
    fn rows(&self, states: &Tensor, runs: &[Run]) -> Result<Tensor, TchError> {
        self.pool(states, runs)
    }

    fn share(&self) -> Self {
        *self
    }
}

/// A transformer with a head; its tensors are used by one thread at a time.
pub(crate) struct Worker<H> {
    pub(crate) bert: Bert,
    pub(crate) head: H,
    pub(crate) config: TransformerConfig,
    pub(crate) device: Device,
}

impl<H: Head> Worker<H> {
    pub(crate) fn batch_tokens(&self) -> usize {
        if self.device.is_cuda() {
            CUDA_BATCH_TOKENS
        } else {
            CPU_BATCH_TOKENS
        }
    }

    /// Another handle on the same weights.
    pub(crate) fn share(&self) -> Self {
        Self {
            bert: self.bert.share(),
            head: self.head.share(),
            config: self.config.clone(),
            device: self.device,
        }
    }

    /// The head's rows for the sequences numbered `numbers`, one after the other.
    fn rows(&self, sequences: &[Sequence], numbers: &[usize]) -> Result<Vec<f32>, EmbedError> {
        let members: Vec<&Sequence> = numbers.iter().map(|&number| &sequences[number]).collect();
        let batch = Batch::new(&members, &self.config, self.device)?;
        let states = self.bert.forward(&batch)?;
        let rows = self.head.rows(&states, &batch.runs)?;
        Ok(Vec::try_from(rows.f_reshape(-1)?.f_to_device(Device::Cpu)?)?)
    }
}

/// Computes the batches of `plan` and hands each to `done`: the numbers of its sequences, and their rows.
pub(crate) fn work_through<H: Head>(
    worker: &Worker<H>,
    threads: usize,
    plan: &Plan,
    sequences: &[Sequence],
    mut done: impl FnMut(&[usize], &[f32]),
) -> Result<(), EmbedError> {
    let numbers = |batch: usize| &plan.order[plan.batches[batch].clone()];
    let threads = threads.min(plan.batches.len());
    if threads <= 1 {
        let _no_gradients = tch::no_grad_guard();
        for batch in 0..plan.batches.len() {
            done(numbers(batch), &worker.rows(sequences, numbers(batch))?);
        }
        return Ok(());
    }

    let _one_thread = OneThread::new();
    let next = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..threads {
            let (worker, sender) = (worker.share(), sender.clone());
            scope.spawn(move || {
                let _no_gradients = tch::no_grad_guard();
                loop {
                    let batch = next.fetch_add(1, Ordering::Relaxed);
                    if batch >= plan.batches.len() {
                        break;
                    }
                    let rows = worker.rows(sequences, &plan.order[plan.batches[batch].clone()]);
                    if sender.send((batch, rows)).is_err() {
                        break; // another batch failed
                    }
                }
            });
        }
        drop(sender);
        for (batch, rows) in receiver {
            done(numbers(batch), &rows?);
        }
        Ok(())
    })
}

/// Keeps LibTorch to one thread within each operation, as long as it lives.
struct OneThread {
    before: i32,
}

impl OneThread {
    fn new() -> Self {
        let before = tch::get_num_threads();
        tch::set_num_threads(1);
        Self { before }
    }
}

impl Drop for OneThread {
    fn drop(&mut self) {
        tch::set_num_threads(self.before);
    }
}
