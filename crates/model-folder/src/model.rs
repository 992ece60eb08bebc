//! A folder of a whole model: its configuration, and tensors that fit it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::pipeline::{Architecture, Mode};
use contract::{Error, seal};

use crate::config::quantised;
use crate::families::BUFFERS;
use crate::four_bit::{self, FourBit};
use crate::headers::{self, Header};
use crate::module_choice::{self, LoraTargets, ModuleChoice};
use crate::{Config, Module, Role, files};

/// A model whose folder holds every tensor that its configuration asks for, in the right shape, and no other.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its configuration. Where two tables differ that the configuration ties, it says that the LM head is one of its own.
    pub config: Config,
    /// The folder; empty for a model that is yet to be made.
    pub folder: PathBuf,
    /// The weight file, or the index of its shards: what messages name.
    pub file: PathBuf,
    /// The weight files.
    pub shards: Vec<PathBuf>,
    /// The name that each parameter has in its file, by its name in the PyTorch `state_dict`.
    pub stored: BTreeMap<String, String>,
    /// The weights of four bits a number, by their names in their file.
    pub four_bit: BTreeMap<String, FourBit>,
    modules: Vec<Module>,
}

impl Model {
    /// How the weights are stored where they are rounded, in words: `four bits (nf4)`.
    pub fn stored_in(&self) -> Option<String> {
        let types: BTreeSet<&str> = self.four_bit.values().map(|weight| weight.quant_type).collect();
        let types: Vec<&str> = types.into_iter().collect();
        (!types.is_empty()).then(|| format!("four bits ({})", types.join(", ")))
    }

    /// Reads the configuration and the headers of a model folder; no weight is loaded, but for the comparison of tables of which
    /// one should do.
    ///
    /// # Errors
    /// [`Error::Input`] naming file and tensor or key, what was expected and what was found.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        seal::check_folder(folder)?;
        let mut config = Config::load(folder)?;
        let (file, shards) = files::weights(folder)?;
        let mut headers = BTreeMap::new();
        for shard in &shards {
            headers.extend(headers::read(shard)?);
        }
        let four_bit = four_bit::take(&mut headers)?;
        if four_bit.is_empty() {
            let names = headers.keys().map(String::as_str);
            quantised::refuse(&folder.join("config.json"), &config.json, &file, names)?;
        } else {
            tracing::info!(
                "{}: {} weights have four bits a number (bitsandbytes); they are dequantised at loading, and the model computes \
                 with them in full precision",
                file.display(),
                four_bit.len()
            );
            config = config.dequantised();
        }
        headers.retain(|name, _| !BUFFERS.iter().any(|ending| name.ends_with(ending)));

        let stored_head = take_head(&config, &mut headers, &file)?;
        let mut named = canonical(&config, headers);
        let embedding = format!("{}.weight", config.spec.input_embedding);
        if let Some(head) = stored_head {
            match named.get(&embedding) {
                // A file that holds a tied table once may hold it under the head's name.
                None if config.tied_head => {
                    named.insert(embedding, head);
                }
                Some(table) if config.tied_head && head.equals(table)? => {}
                _ => {
                    if config.tied_head {
                        tracing::info!(
                            "{}: config.json ties the LM head to the input embedding, but the two stored tables differ: both are \
                             kept, as in transformers 5",
                            file.display()
                        );
                        config = config.untied();
                    }
                    named.insert(format!("{}.weight", config.spec.head_modules[0]), head);
                }
            }
        }
        let modules = config.modules();
        let stored = matched(&modules, named, &file)?;
        Ok(Self {
            config,
            folder: folder.to_path_buf(),
            file,
            shards,
            stored,
            four_bit,
            modules,
        })
    }

    /// A GPT-2 of this shape that is yet to be made.
    ///
    /// # Errors
    /// [`Error::Configuration`] for an impossible shape.
    pub fn gpt2(shape: &Architecture, eos_token_id: i64) -> Result<Self, Error> {
        let config = Config::gpt2(shape, eos_token_id)
            .map_err(|problem| Error::Configuration(format!("model.architecture: {problem}")))?;
        let modules = config.modules();
        Ok(Self {
            config,
            folder: PathBuf::new(),
            file: PathBuf::new(),
            shards: Vec::new(),
            stored: BTreeMap::new(),
            four_bit: BTreeMap::new(),
            modules,
        })
    }

    /// Its modules.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// Parameters of the model; a head tied to the input embedding counts once.
    pub fn parameters(&self) -> u64 {
        self.modules.iter().map(Module::parameters).sum()
    }

    /// Parameters of the LM head, vocabulary × width, its own or those of the embedding that it is tied to.
    pub fn head_parameters(&self) -> u64 {
        (self.config.vocabulary * self.config.width) as u64
    }

    /// Parameters of LoRA on `targets`: Σ rank · (in + out) over the adapted modules (Hu et al. 2021, arXiv 2106.09685), and
    /// with DoRA one more for each output.
    ///
    /// # Errors
    /// [`Error::Configuration`] where a target names no linear module, or the mode a block that there is not.
    pub fn lora_parameters(&self, mode: &Mode, targets: &[String]) -> Result<u64, Error> {
        let linears = || {
            let modules = self.modules.iter();
            modules.filter(|module| matches!(module.role, Role::Linear { .. }))
        };
        for target in targets {
            let chosen = LoraTargets::from_names(std::slice::from_ref(target));
            let mut found = false;
            for module in linears() {
                found |= chosen.matches(&module.path, &self.config)?;
            }
            if !found {
                let known: BTreeSet<&str> = linears()
                    .map(|module| module_choice::last_part(&module.path))
                    .collect();
                let known: Vec<&str> = known.into_iter().collect();
                return Err(Error::Configuration(format!(
                    "mode.targets: no module of this {} model is named {target}. Its linear modules are named {}; \"all-linear\" \
                     takes all of them",
                    self.config.model_type(),
                    known.join(", ")
                )));
            }
        }
        if let Some(layer) = mode.layers.iter().find(|&&layer| layer >= self.config.layers) {
            return Err(Error::Configuration(format!(
                "mode.layers: there is no block {layer}; this model has {}, from 0",
                self.config.layers
            )));
        }
        let chosen = ModuleChoice {
            blocks: mode.layers.clone(),
            ..ModuleChoice::new(LoraTargets::from_names(targets))
        };
        let ranks: Vec<(String, usize)> = mode.rank_pattern.clone().into_iter().collect();
        let mut parameters = 0;
        for module in linears() {
            if chosen.chooses(&module.path, &self.config)?
                && let Some((inputs, outputs)) = module.linear_sizes()
            {
                let rank = module_choice::fitting(&ranks, &module.path)?.unwrap_or(mode.rank);
                parameters += rank * (inputs + outputs) + if mode.dora { outputs } else { 0 };
            }
        }
        Ok(parameters as u64)
    }
}

/// Numbers in the weight files of a folder, of a model of whatever family or of an adapter; `None` where there are none that can
/// be read.
pub fn stored_numbers(folder: &Path) -> Option<u64> {
    let shards = if folder.join(crate::ADAPTER_CONFIG).is_file() {
        vec![files::adapter_weights(folder).ok()?]
    } else {
        files::weights(folder).ok()?.1
    };
    let mut numbers = 0;
    for shard in &shards {
        let headers = headers::read(shard).ok()?;
        numbers += headers.values().map(Header::numbers).sum::<u64>();
    }
    Some(numbers)
}

/// Takes the tensors of an LM head of its own out of the headers: one, of which others must be copies.
fn take_head(
    config: &Config,
    headers: &mut BTreeMap<String, Header>,
    file: &Path,
) -> Result<Option<Header>, Error> {
    let mut head: Option<Header> = None;
    for module in config.spec.head_modules {
        let Some(found) = headers.remove(&format!("{module}.weight")) else {
            continue;
        };
        match &head {
            None => head = Some(found),
            Some(first) if first.equals(&found)? => {}
            Some(first) => {
                return Err(Error::input(
                    file,
                    format!(
                        "tensor {}: expected the same numbers as in {}, which is the LM head too; found others. It is not clear \
                         which of them the model uses",
                        found.name, first.name
                    ),
                ));
            }
        }
    }
    Ok(head)
}

/// The headers by their names in the `state_dict`: files of some families leave the prefix out.
fn canonical(config: &Config, headers: BTreeMap<String, Header>) -> BTreeMap<String, Header> {
    let prefix = config.spec.prefix;
    headers
        .into_iter()
        .map(|(name, header)| {
            let whole = if name.starts_with(prefix) {
                name
            } else {
                format!("{prefix}{name}")
            };
            (whole, header)
        })
        .collect()
}

/// Checks every tensor that the modules need, and that there is no other; returns what each is called in its file.
fn matched(
    modules: &[Module],
    mut headers: BTreeMap<String, Header>,
    file: &Path,
) -> Result<BTreeMap<String, String>, Error> {
    let mut stored = BTreeMap::new();
    for (name, shape) in modules.iter().flat_map(Module::tensors) {
        let Some(header) = headers.remove(&name) else {
            return Err(Error::input(
                file,
                format!("tensor {name}: expected shape {shape:?}, found no such tensor"),
            ));
        };
        header.check(&name, &shape)?;
        stored.insert(name, header.name);
    }
    match headers.into_values().next() {
        None => Ok(stored),
        Some(header) => Err(Error::input(
            file,
            format!(
                "tensor {}: expected no such tensor for this model_type and number of layers",
                header.name
            ),
        )),
    }
}
