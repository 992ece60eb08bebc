//! A model: a family's body, an output head, and what of it may change.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use contract::pipeline::Architecture;
use cpu_kernels::{Prepacked, is_few_rows, product};
use model_folder::Model;
use model_folder::adapter::{Change, Prompt, Table, Update};
use tch::{Device, Kind, Tensor};
use torch_device::ComputePath;

use crate::adapter::kinds::{self, Stored};
use crate::adapter::{LoadedAdapter, Updated};
use crate::families::{self, Decoder, Pass};
use crate::lm_head::logits_of;
use crate::parts::{Layout, Linear, LowRank, Part, Span, WeightSource, cast};
use crate::seeded::seeded;
use crate::virtual_tokens::VirtualTokens;
use crate::{Config, Error, KvCache, LeftPadding, LmHead, LoraSettings, PackedForward, lora, weights};

/// A decoder-only language model.
#[derive(Debug)]
pub struct CausalLm {
    /// The model's configuration.
    pub config: Config,
    pub(crate) decoder: Box<dyn Decoder>,
    /// The output head `[vocabulary, width]` where it is not the embedding.
    head: Option<Tensor>,
    /// The head in float32 where it is kept in half precision; made when it is first needed.
    float_head: OnceCell<Tensor>,
    /// The head in float32, prepacked for few rows, where the model was prepared to decode.
    prepacked_head: Option<Prepacked>,
    pub(crate) adapter: Option<LoadedAdapter>,
    /// What stands before every text, as of prompt tuning. The configuration's context leaves it room.
    virtual_tokens: Option<VirtualTokens>,
    /// Whether an adapter was read that changes nothing.
    pub(crate) is_unchanged_base: bool,
    pub(crate) compute: Kind,
    device: Device,
    /// How packed documents are computed.
    pub(crate) path: ComputePath,
}

/// A model can be loaded by one thread and used by another.
const _: fn() = || {
    fn is_sent<T: Send>() {}
    is_sent::<CausalLm>();
    is_sent::<KvCache>();
};

/// One parameter: its `state_dict` name and its tensor.
#[derive(Debug)]
pub struct ParameterMut<'a> {
    /// Name in the `state_dict`.
    pub name: String,
    /// The tensor, shared with the model.
    pub tensor: &'a mut Tensor,
}

impl CausalLm {
    /// Reads a model folder, with weights kept and computed in `kind`.
    ///
    /// # Errors
    /// [`contract::Error::Input`] naming file, tensor, expected and found; [`Error::Torch`] where memory runs out.
    pub fn load(folder: &Path, kind: Kind, device: Device) -> Result<Self, Error> {
        Self::of_folder(&Model::open(folder)?, kind, device)
    }

    /// Reads the weights of a folder that was found to fit its configuration.
    pub(crate) fn of_folder(folder: &Model, kind: Kind, device: Device) -> Result<Self, Error> {
        let config = folder.config.clone();
        let mut source = WeightSource::stored(&config, weights::read_model(folder, kind, device)?);
        let head = source.head()?;
        let decoder = families::build(&config, &mut source, device)?;
        Ok(Self {
            config,
            decoder,
            head,
            float_head: OnceCell::new(),
            prepacked_head: None,
            adapter: None,
            virtual_tokens: None,
            is_unchanged_base: false,
            compute: kind,
            device,
            path: torch_device::compute_path(None, device),
        })
    }

    /// A new GPT-2 with random weights in float32.
    ///
    /// # Errors
    /// [`contract::Error::Configuration`] for an impossible shape.
    pub fn random(shape: &Architecture, eos_token_id: i64, seed: u64, device: Device) -> Result<Self, Error> {
        let config = Model::gpt2(shape, eos_token_id)?.config;
        let decoder = seeded(seed as i64, || {
            families::build(&config, &mut WeightSource::random(&config, device), device)
        })?;
        Ok(Self {
            config,
            decoder,
            head: None,
            float_head: OnceCell::new(),
            prepacked_head: None,
            adapter: None,
            virtual_tokens: None,
            is_unchanged_base: false,
            compute: Kind::Float,
            device,
            path: torch_device::compute_path(None, device),
        })
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// How it computes packed documents: as its device wants it, unless told otherwise.
    pub fn path(&self) -> ComputePath {
        self.path
    }

    /// Computes packed documents as told, whatever its device wants: results are the same up to rounding.
    pub fn set_path(&mut self, path: ComputePath) {
        self.path = path;
    }

    /// The precision that it computes in.
    pub fn compute(&self) -> Kind {
        self.compute
    }

    /// The settings of the adapter, where there is one and it is LoRA.
    pub fn lora(&self) -> Option<&LoraSettings> {
        self.adapter.as_ref()?.settings.as_ref()
    }

    /// Whether the checkpoint was an adapter that changes nothing: the model is its base.
    pub fn adapter_is_zero(&self) -> bool {
        self.is_unchanged_base
    }

    /// Final hidden states `[rows, tokens, width]` of token ids `[rows, tokens]` (int64), or of vectors in place of them
    /// (`[rows, tokens, width]`, as of [`CausalLm::embed`]), after what the cache holds.
    ///
    /// # Errors
    /// [`contract::Error::Run`] where the tokens do not fit into the context; [`Error::Torch`] for wrong shapes.
    pub fn hidden(
        &self,
        tokens: &Tensor,
        padding: Option<&LeftPadding>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        if let Some(virtual_tokens) = &self.virtual_tokens
            && cache.as_ref().is_none_or(|cache| cache.is_empty())
        {
            return self.hidden_behind(virtual_tokens, tokens, padding, cache);
        }
        let span = Span::new(tokens, padding, cache.as_deref(), self.positions())?;
        self.forward(tokens, &span, cache)
    }

    /// The hidden states of tokens, or of their vectors, that stand first in their sequences, behind virtual tokens, whose own are
    /// left out.
    fn hidden_behind(
        &self,
        virtual_tokens: &VirtualTokens,
        tokens: &Tensor,
        padding: Option<&LeftPadding>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        let vectors = self.embed(tokens)?;
        let (rows, length, _) = vectors.size3()?;
        let whole = virtual_tokens.before(&vectors, padding)?;
        let span = Span::new(&whole, padding, cache.as_deref(), self.positions())?;
        // Keys and values take their places in a cache, whether or not it is kept.
        let mut own = self.cache(length as usize);
        let cache = cache.unwrap_or(&mut own);
        cache.begin_with(virtual_tokens.prefix(rows, padding, self.device)?);
        let hidden_states = self.forward(&whole, &span, Some(cache))?;
        Ok(hidden_states.f_narrow(1, virtual_tokens.count(), length)?)
    }

    /// The forward pass of a span.
    fn forward(
        &self,
        tokens: &Tensor,
        span: &Span<'_>,
        mut cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        let decoder = &*self.decoder;
        let pass = Pass::new(decoder, span, self.compute, false)?;
        let mut hidden_states = cast(&decoder.embed(tokens, span)?, self.compute)?;
        for layer in 0..decoder.blocks() {
            hidden_states = decoder.block(layer, &hidden_states, &pass, cache.as_deref_mut())?;
        }
        if let Some(cache) = cache {
            cache.advance(span.length());
        }
        decoder.final_norm().forward(&hidden_states)
    }

    /// Positions that the model has, those of virtual tokens included.
    fn positions(&self) -> usize {
        self.config.context + self.virtual_count()
    }

    fn virtual_count(&self) -> usize {
        let virtual_tokens = self.virtual_tokens.as_ref();
        virtual_tokens.map_or(0, |tokens| tokens.count() as usize)
    }

    /// Puts virtual tokens before every text.
    pub(crate) fn put_before_texts(&mut self, prompt: &Prompt, stored: &Tensor) -> Result<(), Error> {
        self.virtual_tokens = Some(VirtualTokens::new(prompt, stored, self.device)?);
        Ok(())
    }

    /// Whether virtual tokens stand before every text; such texts are not packed.
    pub fn has_virtual_tokens(&self) -> bool {
        self.virtual_tokens.is_some()
    }

    /// The forward pass of packed documents, block by block: `tokens` `[tokens]` holds them one behind the other, without
    /// padding, and `lengths` says how long each is. With `training`, an adapter's dropout is at work.
    ///
    /// # Errors
    /// [`contract::Error::Run`] where a document does not fit into the context, or the lengths do not add up.
    pub fn packed_forward(
        &self,
        tokens: &Tensor,
        lengths: &[i64],
        training: bool,
    ) -> Result<PackedForward<'_>, Error> {
        if self.virtual_tokens.is_some() {
            let problem = "texts behind virtual tokens are not packed";
            return Err(contract::Error::Run(problem.to_owned()).into());
        }
        PackedForward::new(self, tokens, lengths, training)
    }

    /// The vectors `[…, width]` that token ids `[…]` stand for at the model's input.
    ///
    /// # Errors
    /// [`Error::Torch`] for an id beyond the vocabulary.
    pub fn embed(&self, tokens: &Tensor) -> Result<Tensor, Error> {
        self.decoder.embedding().forward(tokens)
    }

    /// The table `[vocabulary, width]` of those vectors.
    pub fn embedding_table(&self) -> &Tensor {
        &self.decoder.embedding().weight
    }

    /// The LM head, for whoever takes gradients of its logits by hand.
    pub fn lm_head(&self) -> LmHead {
        LmHead::new(self.head(), self.config.family.logits())
    }

    /// Logits `[…, vocabulary]` of hidden states `[…, width]`: multiplied, summed and given in float32, in whatever precision hidden
    /// states and weights are kept. In bf16 a logit of 20 has steps of 1/8, so that close ones would tie or change places.
    ///
    /// # Errors
    /// [`Error::Torch`] for wrong shapes.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, Error> {
        if let Some(products) = self.half_products(hidden) {
            return logits_of(self.config.family.logits(), products);
        }
        let hidden = cast(hidden, Kind::Float)?;
        let products = match self.prepacked_head.as_ref().filter(|_| is_few_rows(&hidden)) {
            Some(prepacked) => prepacked.multiply(&hidden)?,
            None => product(&hidden, &self.float_head()?, None)?,
        };
        logits_of(self.config.family.logits(), products)
    }

    /// On a GPU the products of hidden states and head that are both in bf16, summed and given in float32: what a product in float32 gives of
    /// them up to the order of the sums, at ten times its rate. None where LibTorch does not serve.
    fn half_products(&self, hidden: &Tensor) -> Option<Tensor> {
        let head = self.head();
        let in_half = hidden.kind() == Kind::BFloat16 && head.kind() == Kind::BFloat16;
        if !in_half || !self.device.is_cuda() || hidden.requires_grad() || head.requires_grad() {
            return None;
        }
        let mut size = hidden.size();
        let rows = hidden.f_reshape([-1, size.pop()?]).ok()?;
        let products = rows.f_mm_dtype(&head.f_tr().ok()?, Kind::Float).ok()?;
        size.push(self.config.vocabulary as i64);
        products.f_view(&size[..]).ok()
    }

    /// The head in float32: itself, or a copy that is made once. Whatever gives parameters out to be changed drops the copy.
    fn float_head(&self) -> Result<Tensor, Error> {
        let head = self.head();
        // A head that training changes is kept in float32 anyway; a copy of another would cut its gradient off.
        if head.kind() == Kind::Float || head.requires_grad() {
            return cast(head, Kind::Float);
        }
        if let Some(copy) = self.float_head.get() {
            return Ok(copy.shallow_clone());
        }
        let copy = tch::no_grad(|| head.f_to_kind(Kind::Float))?;
        Ok(self.float_head.get_or_init(|| copy).shallow_clone())
    }

    /// The output head `[vocabulary, width]`: the embedding, where that is it.
    pub fn head(&self) -> &Tensor {
        self.head.as_ref().unwrap_or(&self.decoder.embedding().weight)
    }

    /// The name that the head's tensor has among the parameters.
    pub fn head_name(&self) -> String {
        match &self.head {
            Some(_) => self.untied_head_name(),
            None => self.embedding_name(),
        }
    }

    /// The name that the embedding's tensor has among the parameters.
    pub fn embedding_name(&self) -> String {
        format!("{}.weight", self.decoder.embedding().path)
    }

    /// An empty cache for up to `tokens` tokens.
    pub fn cache(&self, tokens: usize) -> KvCache {
        KvCache::new(self.config.layers, tokens + self.virtual_count())
    }

    /// Empties a cache of this model's for a batch that may come to have `rows` rows of `tokens` tokens each. It keeps its memory where
    /// that is large enough.
    pub fn restart(&self, cache: &mut KvCache, rows: usize, tokens: usize) {
        cache.restart(rows, tokens + self.virtual_count());
    }

    /// Prepacks the weights, beside what they are, for rows that are read one token at a time: in float32 on the CPU, where that is up to three
    /// times as fast. Memory holds them twice. Of a model in bf16 it is the head alone, which is multiplied in float32. Whatever
    /// gives parameters out to be changed undoes it.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn prepare_to_decode(&mut self) -> Result<(), Error> {
        for linear in linears(&mut *self.decoder) {
            linear.prepack()?;
        }
        let head = cast(self.head(), Kind::Float)?;
        self.prepacked_head = Prepacked::new(&head, None)?;
        Ok(())
    }

    /// Every parameter of the model itself, sorted by name; an adapter's factors are not among them.
    pub fn parameters_mut(&mut self) -> Vec<ParameterMut<'_>> {
        let head_name = self.untied_head_name();
        self.prepacked_head = None;
        self.float_head = OnceCell::new();
        let mut parameters: Vec<ParameterMut<'_>> = Vec::new();
        for part in self.decoder.parts_mut() {
            let (path, weight, bias) = match part {
                Part::Embedding(embedding) => (&embedding.path, &mut embedding.weight, None),
                Part::Linear(linear) => {
                    linear.prepacked = None;
                    (&linear.path, &mut linear.weight, linear.bias.as_mut())
                }
                Part::Norm(norm) => norm.tensors_mut(),
            };
            parameters.extend(bias.map(|tensor| ParameterMut {
                name: format!("{path}.bias"),
                tensor,
            }));
            parameters.push(ParameterMut {
                name: format!("{path}.weight"),
                tensor: weight,
            });
        }
        parameters.extend(self.head.as_mut().map(|tensor| ParameterMut {
            name: head_name,
            tensor,
        }));
        parameters.sort_by(|first, second| first.name.cmp(&second.name));
        parameters
    }

    /// The adapter's factors by name, without peft's prefix.
    pub fn adapter_mut(&mut self) -> BTreeMap<String, &mut Tensor> {
        lora::factors(linears(&mut *self.decoder))
    }

    /// The tensors that training changes, sorted by name; they share memory with the model.
    pub fn trainable(&mut self) -> Vec<(String, Tensor)> {
        let mut trainable: Vec<(String, Tensor)> = self
            .parameters_mut()
            .into_iter()
            .filter(|parameter| parameter.tensor.requires_grad())
            .map(|parameter| (parameter.name, parameter.tensor.shallow_clone()))
            .collect();
        let factors = self
            .adapter_mut()
            .into_iter()
            .map(|(name, tensor)| (name, tensor.shallow_clone()));
        trainable.extend(factors.filter(|(_, tensor)| tensor.requires_grad()));
        trainable.sort_by(|first, second| first.0.cmp(&second.0));
        trainable
    }

    /// Numbers in the model itself, an adapter left out.
    pub fn parameter_count(&mut self) -> usize {
        self.parameters_mut()
            .iter()
            .map(|parameter| parameter.tensor.numel())
            .sum()
    }

    /// Lets every parameter change, computing in `compute` from float32 masters.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn tune_all(&mut self, compute: Kind) -> Result<(), Error> {
        self.compute = compute;
        for ParameterMut { tensor, .. } in self.parameters_mut() {
            *tensor = tensor.f_to_kind(Kind::Float)?.f_set_requires_grad(true)?;
        }
        Ok(())
    }

    /// Lets the output head alone change: unties it first where it is the embedding, and keeps it in float32.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn tune_head(&mut self, compute: Kind) -> Result<(), Error> {
        let head = match self.head.take() {
            Some(head) => head,
            None => self.decoder.embedding().weight.f_detach_copy()?,
        };
        self.config = self.config.clone().untied();
        self.head = None;
        self.compute_in(compute)?;
        self.head = Some(head.f_to_kind(Kind::Float)?.f_set_requires_grad(true)?);
        Ok(())
    }

    /// Freezes the model and adds an adapter, kept in float32, that may change.
    ///
    /// # Errors
    /// [`contract::Error::Configuration`] where the targets match no layer.
    pub fn tune_lora(
        &mut self,
        settings: &LoraSettings,
        seed: u64,
        compute: Kind,
    ) -> Result<Vec<String>, Error> {
        let adapted = seeded(seed as i64, || self.attach_adapter(settings))?;
        self.compute_in(compute)?;
        for factor in self.adapter_mut().into_values() {
            *factor = factor.f_set_requires_grad(true)?;
        }
        Ok(adapted)
    }

    /// Adds an adapter with zero effect.
    fn attach_adapter(&mut self, settings: &LoraSettings) -> Result<Vec<String>, Error> {
        self.adapter = Some(LoadedAdapter {
            settings: Some(settings.clone()),
            is_merged: false,
        });
        lora::attach(linears(&mut *self.decoder), settings, &self.config)
    }

    /// Gives the model an LM head of its own, a copy of the embedding.
    pub(crate) fn untie(&mut self) -> Result<(), Error> {
        if self.head.is_none() {
            self.head = Some(self.decoder.embedding().weight.f_detach_copy()?);
            self.config = self.config.clone().untied();
        }
        Ok(())
    }

    /// Puts a tensor in the place of a parameter; returns whether that changes anything.
    pub(crate) fn replace(&mut self, parameter: &str, value: &Tensor) -> Result<bool, Error> {
        let value = value.f_to_device(self.device)?.f_to_kind(self.compute)?;
        let mut parameters = self.parameters_mut().into_iter();
        let Some(ParameterMut { tensor, .. }) = parameters.find(|known| known.name == parameter) else {
            return Err(contract::Error::Run(format!("no parameter {parameter} in this model")).into());
        };
        let changes = !tensor.f_equal(&value)?;
        // A weight that lies transposed in memory does so again.
        *tensor = if tensor.is_contiguous() || tensor.dim() != 2 {
            value
        } else {
            value.f_tr()?.f_contiguous()?.f_tr()?
        };
        Ok(changes)
    }

    /// Puts rows in the place of those of some tokens; returns whether that changes anything.
    pub(crate) fn replace_rows(
        &mut self,
        table: Table,
        tokens: &[usize],
        rows: &Tensor,
    ) -> Result<bool, Error> {
        let name = match table {
            Table::Head => self.head_name(),
            Table::Embedding => self.embedding_name(),
        };
        let tokens: Vec<i64> = tokens.iter().map(|&token| token as i64).collect();
        let tokens = Tensor::f_from_slice(&tokens)?.f_to_device(self.device)?;
        let rows = rows.f_to_device(self.device)?.f_to_kind(self.compute)?;
        let whole = match table {
            Table::Head => self.head(),
            Table::Embedding => self.embedding_table(),
        };
        let whole = whole.f_index_copy(0, &tokens, &rows)?;
        self.replace(&name, &whole)
    }

    /// Does to a module what an adapter's file says.
    pub(crate) fn update(&mut self, update: &Update, stored: &Stored<'_>) -> Result<Updated, Error> {
        self.prepacked_head = None;
        self.float_head = OnceCell::new();
        if update.is_embedding {
            return self.update_embedding(update, stored);
        }
        if update.is_head {
            let head = self.head().f_to_kind(Kind::Float)?;
            let mut head = Linear::new(update.path.clone(), head, None, Layout::OutIn);
            let Updated { has_effect, .. } =
                head.take_effect(kinds::effect(&update.change, &head, stored)?)?;
            head.merge()?;
            self.head = Some(head.weight);
            return Ok(Updated {
                has_effect,
                is_merged: true,
            });
        }
        let linears = linears(&mut *self.decoder).into_iter();
        let Some(linear) = linears.into_iter().find(|linear| linear.path == update.path) else {
            return Err(contract::Error::Run(format!("no layer {} in this model", update.path)).into());
        };
        let effect = kinds::effect(&update.change, linear, stored)?;
        linear.take_effect(effect)
    }

    /// Adds a low-rank update to an embedding, whose factors lie the other way round.
    fn update_embedding(&mut self, update: &Update, stored: &Stored<'_>) -> Result<Updated, Error> {
        let embeddings = self.decoder.parts_mut().into_iter();
        let mut embeddings = embeddings.filter_map(|part| match part {
            Part::Embedding(embedding) => Some(embedding),
            Part::Linear(_) | Part::Norm(_) => None,
        });
        let (Some(embedding), Change::LowRank(change)) = (
            embeddings.find(|embedding| embedding.path == update.path),
            &update.change,
        ) else {
            let problem = format!("no embedding {} in this model for a low-rank update", update.path);
            return Err(contract::Error::Run(problem).into());
        };
        let factors = LowRank {
            down: stored.tensor(&change.a)?,
            up: stored.tensor(&change.b)?,
            scale: change.scale,
            dropout: change.dropout,
            magnitude: None,
        };
        let factors = factors.on(embedding.weight.device())?;
        let added = factors.product()?.f_tr()?;
        embedding.weight = embedding.weight.f_to_kind(Kind::Float)?.f_add(&added)?;
        Ok(Updated {
            has_effect: factors.has_effect()?,
            is_merged: true,
        })
    }

    /// Whether linear layers lie `[in, out]`, as GPT-2's.
    pub(crate) fn has_transposed_weights(&mut self) -> bool {
        linears(&mut *self.decoder)
            .iter()
            .any(|linear| linear.layout == Layout::InOut)
    }

    /// Whether its adapter, where it has one, is a change of weights, which virtual tokens are not.
    pub fn can_be_merged(&self) -> bool {
        self.virtual_tokens.is_none()
    }

    /// Adds the adapter's update to the weights; the model has no adapter afterwards.
    ///
    /// # Errors
    /// [`contract::Error::Configuration`] for an adapter that is no change of weights.
    pub fn merge(&mut self) -> Result<(), Error> {
        if !self.can_be_merged() {
            let problem = "this adapter puts virtual tokens before every text; that is no change of weights, and cannot be merged. It \
                           can be audited as it is";
            return Err(contract::Error::Configuration(problem.to_owned()).into());
        }
        let _guard = tch::no_grad_guard();
        self.adapter = None;
        linears(&mut *self.decoder)
            .into_iter()
            .try_for_each(Linear::merge)
    }

    /// The name that the head's tensor has among the parameters where it is not the embedding.
    pub fn untied_head_name(&self) -> String {
        format!("{}.weight", self.config.spec.head_modules[0])
    }

    /// Keeps every weight in a precision and computes in it.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn compute_in(&mut self, compute: Kind) -> Result<(), Error> {
        self.compute = compute;
        for ParameterMut { tensor, .. } in self.parameters_mut() {
            *tensor = tensor.f_to_kind(compute)?;
        }
        Ok(())
    }
}

fn linears(decoder: &mut dyn Decoder) -> Vec<&mut Linear> {
    let parts = decoder.parts_mut().into_iter();
    parts
        .filter_map(|part| match part {
            Part::Linear(linear) => Some(linear),
            Part::Embedding(_) | Part::Norm(_) => None,
        })
        .collect()
}
