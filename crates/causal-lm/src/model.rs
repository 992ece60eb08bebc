//! A model: a family's body, an output head, and what of it may change.

use std::collections::BTreeMap;
use std::path::Path;

use contract::pipeline::Architecture;
use tch::{Device, Kind, Tensor};

use crate::families::{self, Decoder, Gpt2, Source};
use crate::linear::cast;
use crate::{Config, Error, KvCache, LeftPadding, LoraSettings, lora, weights};

/// Name of an output head of its own.
const HEAD: &str = "lm_head.weight";

/// Buffers in older files that are computed, not learned.
const IGNORED_BUFFERS: [&str; 3] = ["attn.bias", "attn.masked_bias", "attention.bias"];

/// A decoder-only language model.
#[derive(Debug)]
pub struct CausalLm {
    /// The model's configuration.
    pub config: Config,
    decoder: Box<dyn Decoder>,
    /// The output head `[vocabulary, width]` where it is not the embedding.
    head: Option<Tensor>,
    lora: Option<LoraSettings>,
    compute: Kind,
    device: Device,
}

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
        let config = Config::load(folder)?;
        let (file, mut tensors) = weights::read_folder(folder, kind, device)?;
        let stored_head = tensors.remove(HEAD);
        let head = match (config.tied_head, stored_head) {
            (true, _) => None,
            (false, head) => Some(head.ok_or_else(|| {
                contract::Error::input(
                    &file,
                    format!("tensor {HEAD}: expected one, as config.json does not tie the head"),
                )
            })?),
        };
        let expected = [config.vocabulary as i64, config.width as i64];
        if let Some(found) = head
            .as_ref()
            .map(Tensor::size)
            .filter(|found| found[..] != expected)
        {
            let problem = format!("tensor {HEAD}: expected shape {expected:?}, found {found:?}");
            return Err(contract::Error::input(&file, problem).into());
        }
        let mut source = Source::new(file, tensors, Gpt2::PREFIX);
        let decoder = families::load(&config, &mut source)?;
        source.finish(&IGNORED_BUFFERS)?;
        Ok(Self {
            config,
            decoder,
            head,
            lora: None,
            compute: kind,
            device,
        })
    }

    /// A new GPT-2 with random weights in float32.
    ///
    /// # Errors
    /// [`contract::Error::Configuration`] for an impossible shape.
    pub fn random(shape: &Architecture, end_token: i64, seed: u64, device: Device) -> Result<Self, Error> {
        let config = Config::gpt2(shape, end_token)
            .map_err(|problem| contract::Error::Configuration(format!("model.architecture: {problem}")))?;
        tch::manual_seed(seed as i64);
        let decoder = Box::new(Gpt2::random(&config, device)?);
        Ok(Self {
            config,
            decoder,
            head: None,
            lora: None,
            compute: Kind::Float,
            device,
        })
    }

    /// The device that the weights are on.
    pub fn device(&self) -> Device {
        self.device
    }

    /// The adapter's settings, where there is one.
    pub fn lora(&self) -> Option<&LoraSettings> {
        self.lora.as_ref()
    }

    /// Final hidden states `[rows, tokens, width]` of token ids `[rows, tokens]` (int64), after what the cache holds.
    ///
    /// # Errors
    /// [`contract::Error::Run`] where the tokens do not fit into the context; [`Error::Torch`] for wrong shapes.
    pub fn hidden(
        &self,
        tokens: &Tensor,
        padding: Option<&LeftPadding>,
        cache: Option<&mut KvCache>,
    ) -> Result<Tensor, Error> {
        self.decoder.hidden(tokens, padding, cache, self.compute, false)
    }

    /// As [`CausalLm::hidden`] without a cache, with the adapter's dropout.
    ///
    /// # Errors
    /// As [`CausalLm::hidden`].
    pub fn hidden_in_training(&self, tokens: &Tensor) -> Result<Tensor, Error> {
        self.decoder.hidden(tokens, None, None, self.compute, true)
    }

    /// Logits `[…, vocabulary]` in float32 of hidden states `[…, width]`.
    ///
    /// # Errors
    /// [`Error::Torch`] for wrong shapes.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor, Error> {
        let head = self.head.as_ref().unwrap_or_else(|| self.decoder.embedding());
        cast(
            &hidden.f_linear(&cast(head, hidden.kind())?, None::<Tensor>)?,
            Kind::Float,
        )
    }

    /// An empty cache for up to `tokens` tokens.
    pub fn cache(&self, tokens: usize) -> KvCache {
        KvCache::new(self.config.layers, tokens)
    }

    /// Every parameter of the model itself, sorted by name; an adapter's factors are not among them.
    pub fn parameters_mut(&mut self) -> Vec<ParameterMut<'_>> {
        let mut parameters = self.decoder.parameters_mut();
        parameters.extend(self.head.as_mut().map(|head| (HEAD.to_owned(), head)));
        parameters.sort_by(|first, second| first.0.cmp(&second.0));
        parameters
            .into_iter()
            .map(|(name, tensor)| ParameterMut { name, tensor })
            .collect()
    }

    /// The adapter's factors by name, without peft's prefix.
    pub fn adapter_mut(&mut self) -> BTreeMap<String, &mut Tensor> {
        lora::factors(self.decoder.linears_mut())
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
            None => self.decoder.embedding().f_detach_copy()?,
        };
        self.config = self.config.clone().untied();
        self.head = None;
        self.freeze(compute)?;
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
        tch::manual_seed(seed as i64);
        let adapted = lora::attach(self.decoder.linears_mut(), settings, self.config.model_type())?;
        self.lora = Some(settings.clone());
        self.freeze(compute)?;
        for factor in self.adapter_mut().into_values() {
            *factor = factor.f_set_requires_grad(true)?;
        }
        Ok(adapted)
    }

    /// Adds an adapter with zero effect, whose factors are then overwritten by those of a file.
    pub(crate) fn attach_adapter(&mut self, settings: &LoraSettings) -> Result<Vec<String>, Error> {
        self.lora = Some(settings.clone());
        lora::attach(self.decoder.linears_mut(), settings, self.config.model_type())
    }

    /// Adds the adapter's update to the weights; the model has no adapter afterwards.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out.
    pub fn merge(&mut self) -> Result<(), Error> {
        self.lora = None;
        lora::merge(self.decoder.linears_mut())
    }

    fn freeze(&mut self, compute: Kind) -> Result<(), Error> {
        self.compute = compute;
        for ParameterMut { tensor, .. } in self.parameters_mut() {
            *tensor = tensor.f_to_kind(compute)?;
        }
        Ok(())
    }
}
