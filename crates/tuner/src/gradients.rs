//! Gradients of the loss with respect to what training changes.

use causal_lm::{CausalLm, Error, PackedForward};
use tch::{Kind, Tensor};
use torch_device::{ComputePath, operations};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::Batch;
use crate::head_loss::{HeadLoss, Wanted, head_loss};
use crate::scalar::Scalar;

/// Gradients of named tensors, in their order, summed over the forward passes of a step.
#[derive(Debug, Default)]
pub struct Gradients {
    sums: Vec<Option<Tensor>>,
}

impl Gradients {
    /// None yet, of `count` tensors.
    pub fn none(count: usize) -> Self {
        Self {
            sums: (0..count).map(|_| None).collect(),
        }
    }

    /// Adds a gradient of tensor number `place`.
    ///
    /// # Errors
    /// [`Error::Torch`] for another shape than the one before it had.
    pub fn add(&mut self, place: usize, gradient: Tensor) -> Result<(), Error> {
        let sum = &mut self.sums[place];
        *sum = Some(match sum.take() {
            None => gradient,
            Some(sum) => sum.f_to_kind(Kind::Float)?.f_add_(&gradient)?,
        });
        Ok(())
    }

    /// Adds so many times the gradients of the same tensors, in float32.
    ///
    /// # Errors
    /// [`Error::Torch`] for other shapes.
    pub(crate) fn add_times(&mut self, others: Self, factor: f64) -> Result<(), Error> {
        let others = others.sums.into_iter().enumerate();
        for (place, other) in others.filter_map(|(place, other)| Some((place, other?))) {
            self.add(place, other.f_to_kind(Kind::Float)?.f_mul_scalar(factor)?)?;
        }
        Ok(())
    }

    /// Adds gradients `[numbers, width]` of some rows of tensor number `place`, which is like `whole`.
    fn add_rows(
        &mut self,
        place: usize,
        whole: &Tensor,
        rows: &Tensor,
        gradients: &Tensor,
        path: ComputePath,
    ) -> Result<(), Error> {
        if path == ComputePath::Host {
            let sum = self.sums[place].take();
            let mut sum = match sum {
                Some(sum) => sum.f_to_kind(Kind::Float)?,
                None => whole.f_detach()?.f_to_kind(Kind::Float)?.f_zeros_like()?,
            };
            let _ = sum.f_index_add_(0, rows, &gradients.f_to_kind(Kind::Float)?)?;
            self.sums[place] = Some(sum);
            return Ok(());
        }
        // On a GPU the order of such sums is by chance; these are sorted first.
        let entries = whole.size2()?.0;
        let gradients = gradients.f_to_kind(Kind::Float)?;
        let sum = Tensor::f_embedding_dense_backward(&gradients, rows, entries, -1, false)?;
        self.add(place, sum)
    }

    /// The gradient of tensor number `place`, where it had any.
    pub fn get(&self, place: usize) -> Option<&Tensor> {
        self.sums[place].as_ref()
    }

    /// The norm of all of them together, left on the device: float32, without dimensions.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub(crate) fn norm_on_device(&self) -> Result<Tensor, Error> {
        let gradients: Vec<Tensor> = self.sums.iter().flatten().map(Tensor::shallow_clone).collect();
        Ok(operations::norms(&gradients)?.f_norm()?)
    }

    /// The norm of all of them together.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn norm(&self) -> Result<f64, Error> {
        let mut squares = 0.0;
        for gradient in self.sums.iter().flatten() {
            squares += cpu_kernels::sum_of_squares(gradient)?;
        }
        Ok(squares.sqrt())
    }
}

/// How gradients of a model are taken.
#[derive(Debug)]
pub(crate) struct Backward {
    /// What training changes, sharing memory with the model.
    tensors: Vec<Tensor>,
    /// Which of them is the output head.
    head: Option<usize>,
    /// Which of them is the embedding.
    embedding: Option<usize>,
    /// Whether anything before the head changes.
    body: bool,
    /// Whether to keep what enters each block alone and to compute the rest again on the way back.
    checkpointing: bool,
}

impl Backward {
    /// For the trainable tensors of a model, by name.
    pub(crate) fn new(model: &CausalLm, trainable: &[(String, Tensor)], checkpointing: bool) -> Self {
        let place_of = |wanted: String| trainable.iter().position(|(name, _)| *name == wanted);
        let head = place_of(model.head_name());
        Self {
            embedding: place_of(model.embedding_name()),
            tensors: trainable
                .iter()
                .map(|(_, tensor)| tensor.shallow_clone())
                .collect(),
            head,
            body: trainable.len() > usize::from(head.is_some() && !model.config.tied_head),
            checkpointing,
        }
    }

    /// What changes.
    pub(crate) fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Number of tensors that change.
    pub(crate) fn count(&self) -> usize {
        self.tensors.len()
    }

    /// Whether only the head changes, so that hidden states stay what they are.
    pub(crate) fn head_alone(&self) -> bool {
        !self.body
    }

    /// Sum of the losses of a batch in nats; adds the gradients of `scale` times that sum. What an adapter drops follows from
    /// `seed`.
    pub(crate) fn pass(
        &self,
        model: &CausalLm,
        batch: &Batch,
        scale: f32,
        seed: u64,
        gradients: &mut Gradients,
    ) -> Result<Scalar, Error> {
        let way = Way {
            backward: self,
            model,
            forward: model.packed_forward(&batch.tokens, &batch.lengths, true)?,
            dropout: model.lora().is_some_and(|lora| lora.dropout > 0.0),
            seed,
        };
        if self.checkpointing {
            way.block_by_block(batch, scale, gradients)
        } else {
            way.at_once(batch, scale, gradients)
        }
    }

    /// As [`Backward::pass`] from the hidden states `[predictions, width]` of a body that does not change.
    pub(crate) fn head_pass(
        &self,
        model: &CausalLm,
        hidden: &Tensor,
        batch: &Batch,
        scale: f32,
        gradients: &mut Gradients,
    ) -> Result<Scalar, Error> {
        Ok(self.head(model, hidden, batch, scale, gradients)?.sum)
    }

    fn head(
        &self,
        model: &CausalLm,
        hidden: &Tensor,
        batch: &Batch,
        scale: f32,
        gradients: &mut Gradients,
    ) -> Result<HeadLoss, Error> {
        let wanted = Wanted {
            scale,
            of_hidden: self.body,
            of_head: self.head.is_some(),
        };
        let mut loss = head_loss(hidden, &model.lm_head(), batch, Some(wanted))?;
        if let (Some(place), Some(gradient)) = (self.head, loss.of_head.take()) {
            gradients.add(place, gradient)?;
        }
        Ok(loss)
    }
}

/// One batch's way through the model and back.
struct Way<'a> {
    backward: &'a Backward,
    model: &'a CausalLm,
    forward: PackedForward<'a>,
    dropout: bool,
    seed: u64,
}

impl Way<'_> {
    fn block(&self, number: usize, stream: &Tensor) -> Result<Tensor, Error> {
        if self.dropout {
            // The same on the way back, where the block is computed again.
            tch::manual_seed(xxh3_64_with_seed(&number.to_le_bytes(), self.seed) as i64);
        }
        self.forward.block(number, stream)
    }

    fn at_once(&self, batch: &Batch, scale: f32, gradients: &mut Gradients) -> Result<Scalar, Error> {
        let mut stream = self.forward.embedded().shallow_clone();
        for number in 0..self.forward.blocks() {
            stream = self.block(number, &stream)?;
        }
        let vectors = self.forward.token_embeddings();
        let (sum, of_vectors) = self.leave(&stream, batch, scale, gradients, Some(vectors))?;
        self.embed(batch, of_vectors, gradients)?;
        Ok(sum)
    }

    fn block_by_block(&self, batch: &Batch, scale: f32, gradients: &mut Gradients) -> Result<Scalar, Error> {
        let entered = self.forward.embedded();
        // What enters each block; the last block's output is not among them.
        let mut streams = Vec::with_capacity(self.forward.blocks());
        let last = tch::no_grad(|| -> Result<Tensor, Error> {
            let mut stream = entered.f_detach()?;
            for number in 0..self.forward.blocks() {
                let output = self.block(number, &stream)?;
                streams.push(stream);
                stream = output;
            }
            Ok(stream)
        })?;
        let last = last.f_set_requires_grad(true)?;
        let (sum, mut upstream) = self.leave(&last, batch, scale, gradients, Some(&last))?;
        while let (Some(stream), Some(gradient)) = (streams.pop(), &upstream) {
            let number = streams.len();
            let stream = stream.f_set_requires_grad(number > 0 || entered.requires_grad())?;
            let output = self.block(number, &stream)?;
            upstream = self.back(&output, gradient, gradients, Some(&stream))?;
        }
        if let Some(gradient) = upstream {
            let of_vectors = self.back(
                entered,
                &gradient,
                gradients,
                Some(self.forward.token_embeddings()),
            )?;
            self.embed(batch, of_vectors, gradients)?;
        }
        Ok(sum)
    }

    /// Adds the gradients of the tokens' vectors to that of the embedding.
    fn embed(
        &self,
        batch: &Batch,
        of_vectors: Option<Tensor>,
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        let (Some(place), Some(of_vectors)) = (self.backward.embedding, of_vectors) else {
            return Ok(());
        };
        let whole = &self.backward.tensors[place];
        let rows = of_vectors.f_view([-1, whole.size2()?.1])?;
        gradients.add_rows(place, whole, &batch.tokens, &rows, self.model.path())
    }

    /// From the last block to the loss and back; the gradient is that of `stream` if it is asked for.
    fn leave(
        &self,
        last: &Tensor,
        batch: &Batch,
        scale: f32,
        gradients: &mut Gradients,
        stream: Option<&Tensor>,
    ) -> Result<(Scalar, Option<Tensor>), Error> {
        let mut hidden = self.forward.final_norm(last)?;
        if let Some(positions) = &batch.target_positions {
            hidden = hidden.f_index_select(0, positions)?;
        }
        let loss = self.backward.head(self.model, &hidden, batch, scale, gradients)?;
        let gradient = match loss.of_hidden {
            Some(upstream) => self.back(&hidden, &upstream, gradients, stream)?,
            None => None,
        };
        Ok((loss.sum, gradient))
    }

    /// Goes back from `output`, whose gradient is `upstream`, to the tensors that change, and to `stream`.
    fn back(
        &self,
        output: &Tensor,
        upstream: &Tensor,
        gradients: &mut Gradients,
        stream: Option<&Tensor>,
    ) -> Result<Option<Tensor>, Error> {
        if !output.requires_grad() {
            return Ok(None);
        }
        // LibTorch goes back from a number alone: from the one whose gradient with respect to `output` is `upstream`.
        let number = output.f_mul(upstream)?.f_sum(output.kind())?;
        let stream = stream.filter(|stream| stream.requires_grad());
        let variables: Vec<&Tensor> = stream.into_iter().chain(&self.backward.tensors).collect();
        let found = Tensor::f_run_backward(&[number], &variables, false, false)?;
        let mut found = found.into_iter();
        let of_stream = match stream {
            Some(_) => found.next().filter(Tensor::defined),
            None => None,
        };
        for (place, gradient) in found.enumerate() {
            if gradient.defined() {
                gradients.add(place, gradient)?;
            }
        }
        Ok(of_stream)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

    use std::path::Path;

    use causal_lm::{LoraSettings, LoraTargets, ModuleChoice};
    use tch::{Device, Kind, Reduction};

    use super::*;
    use crate::DevicePredictions;

    const LENGTHS: [i64; 3] = [9, 5, 12];

    /// Documents of three lengths, the second of which counts three times; of the last, every other prediction is learned.
    fn batch(vocabulary: i64) -> Batch {
        let total: i64 = LENGTHS.iter().sum();
        let tokens: Vec<i64> = (0..total).map(|place| place * 7 % (vocabulary - 3)).collect();
        let places: Vec<i64> = (0..total).filter(|place| *place < 14 || place % 2 == 0).collect();
        let weights: Vec<f32> = places
            .iter()
            .map(|place| if (9..14).contains(place) { 3.0 } else { 1.0 })
            .collect();
        Batch {
            tokens: Tensor::from_slice(&tokens),
            lengths: LENGTHS.to_vec(),
            targets: places.iter().map(|place| (place * 5 + 1) % vocabulary).collect(),
            target_positions: Some(Tensor::from_slice(&places)),
            // Every fifth is learned and not reported.
            reported: weights
                .iter()
                .enumerate()
                .map(|(place, weight)| if place % 5 == 4 { 0.0 } else { *weight })
                .collect(),
            weights,
            on_device: None,
        }
    }

    fn model(family: &str, mode: &str) -> CausalLm {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../causal-lm/tests/fixtures/families/{family}"));
        let mut model = CausalLm::load(&folder, Kind::Float, Device::Cpu).unwrap();
        match mode {
            "full" => model.tune_all(Kind::Float).unwrap(),
            "head" => model.tune_head(Kind::Float).unwrap(),
            _ => {
                let settings = LoraSettings {
                    modules: ModuleChoice::new(LoraTargets::AllLinear),
                    ..LoraSettings::new(2, 4.0)
                };
                model.tune_lora(&settings, 0, Kind::Float).unwrap();
                // Without this the second factors are 0, and with them the gradients of the first.
                for tensor in model.adapter_mut().into_values() {
                    let _guard = tch::no_grad_guard();
                    let _ = tensor.f_add_scalar_(0.01).unwrap();
                }
            }
        }
        model
    }

    /// The same, to be computed as a GPU wants it.
    fn on_device(mut batch: Batch) -> Batch {
        let predictions =
            DevicePredictions::new(&batch.targets, &batch.weights, &batch.reported, Device::Cpu);
        batch.on_device = Some(predictions.unwrap());
        batch
    }

    fn gradients(model: &mut CausalLm, batch: &Batch, checkpointing: bool) -> (f64, Vec<Option<Tensor>>) {
        let trainable = model.trainable();
        let backward = Backward::new(model, &trainable, checkpointing);
        let mut gradients = Gradients::none(backward.count());
        let sum = backward.pass(model, batch, 0.1, 5, &mut gradients).unwrap();
        (sum.value().unwrap(), gradients.sums)
    }

    /// Document by document, forwards and backwards by LibTorch alone.
    fn expected(model: &mut CausalLm, batch: &Batch) -> (f64, Vec<Tensor>) {
        let mut hidden = Vec::new();
        let mut first = 0;
        for length in LENGTHS {
            let tokens = batch.tokens.narrow(0, first, length).unsqueeze(0);
            hidden.push(model.hidden(&tokens, None, None).unwrap().squeeze_dim(0));
            first += length;
        }
        let hidden = Tensor::cat(&hidden, 0).index_select(0, batch.target_positions.as_ref().unwrap());
        let losses = model.logits(&hidden).unwrap().cross_entropy_loss(
            &Tensor::from_slice(&batch.targets),
            None::<Tensor>,
            Reduction::None,
            -100,
            0.0,
        );
        (losses.dot(&Tensor::from_slice(&batch.weights)) * 0.1).backward();
        let sum = losses.dot(&Tensor::from_slice(&batch.reported));
        let found = model
            .trainable()
            .iter()
            .map(|(_, tensor)| tensor.grad())
            .collect();
        (sum.double_value(&[]), found)
    }

    #[test]
    fn they_are_those_of_each_document_alone() {
        // The last four have a cap or a divisor of the logits, a cap of the scores, fused projections, norms in other places.
        for family in [
            "gpt2",
            "gpt_neo",
            "gpt_neox",
            "llama",
            "qwen2-windowed",
            "qwen3",
            "gemma2",
            "granite",
            "phi3",
            "olmo2",
        ] {
            for mode in ["full", "head", "lora"] {
                let mut model = model(family, mode);
                let vocabulary = model.config.vocabulary as i64;
                let (goal, expected) = expected(&mut model, &batch(vocabulary));
                for path in [ComputePath::Host, ComputePath::Device] {
                    model.set_path(path);
                    let batch = match path {
                        ComputePath::Host => batch(vocabulary),
                        ComputePath::Device => on_device(batch(vocabulary)),
                    };
                    let (sum, found) = gradients(&mut model, &batch, false);
                    assert!(
                        (sum - goal).abs() < 1e-5 * goal,
                        "{family}, {mode}, {path:?}: {sum} {goal}"
                    );
                    assert_eq!(found.len(), expected.len());
                    for (place, (found, expected)) in found.iter().zip(&expected).enumerate() {
                        let name = model.trainable()[place].0.clone();
                        let found = found.as_ref().unwrap();
                        let error = (found - expected).abs().max().double_value(&[]);
                        let scale = expected.abs().max().double_value(&[]).max(1e-3);
                        assert!(
                            error < 1e-4 * scale,
                            "{family}, {mode}, {path:?}, {name}: {error} of {scale}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn checkpointing_changes_none_of_them() {
        for family in ["gpt2", "gpt_neo", "gpt_neox", "llama", "gemma2"] {
            for mode in ["full", "head", "lora"] {
                let mut model = model(family, mode);
                let batch = batch(model.config.vocabulary as i64);
                let plain = gradients(&mut model, &batch, false);
                let checkpointed = gradients(&mut model, &batch, true);
                assert_eq!(plain, checkpointed, "{family}, {mode}");
            }
        }
    }
}
