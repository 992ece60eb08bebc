//! The ways of tuning: what each makes trainable, and what it leaves behind.

use std::path::{Path, PathBuf};

use causal_lm::{CausalLm, LoraSettings, ModuleChoice, arithmetic, write_adapter_folder, write_model_folder};
use contract::files::AtomicFile;
use contract::pipeline::{Mode, ModeKind, Model, PipelineFile};
use contract::records::TrainingInstance;
use contract::{Error, seal};
use model_folder::ADAPTER_CONFIG;
use model_folder::hub::BaseName;
use tch::Kind;
use text_tokens::{TextTokenizer, train_byte_level_bpe};

/// A model ready to be tuned, with its tokenizer.
#[derive(Debug)]
pub struct Prepared {
    /// The model, with what the mode changes set to require gradients.
    pub model: CausalLm,
    /// Its tokenizer.
    pub tokenizer: TextTokenizer,
    tokenizer_folder: PathBuf,
    base: PathBuf,
    kind: ModeKind,
    compute: Kind,
}

impl AsMut<CausalLm> for Prepared {
    fn as_mut(&mut self) -> &mut CausalLm {
        &mut self.model
    }
}

impl Prepared {
    /// Loads the model, or for pre-training makes one with a tokenizer trained on the corpus and kept in `work`.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a model without a folder or shape, [`Error::Input`] for a folder that is none.
    pub fn new(
        pipeline: &PipelineFile,
        model: &Model,
        mode: &Mode,
        seed: u64,
        work: &Path,
        instances: &[TrainingInstance],
    ) -> Result<Self, Error> {
        let device = torch_device::device(&pipeline.tuning.device)?;
        let compute = arithmetic(pipeline.tuning.precision, device);
        let need = |what: &str| {
            Error::Configuration(format!(
                "{}: model `{}`: mode {} needs {what}",
                pipeline.path.display(),
                model.name,
                mode.kind.name()
            ))
        };
        if mode.kind == ModeKind::Pretrain {
            let shape = model
                .architecture
                .as_ref()
                .ok_or_else(|| need("[model.architecture]"))?;
            let folder = match &model.path {
                Some(path) => pipeline.resolve(path),
                None => train_tokenizer(instances, shape.vocabulary, work)?,
            };
            let tokenizer = TextTokenizer::load(&folder)?.with_rows(shape.vocabulary);
            let end = tokenizer
                .end_of_text()
                .unwrap_or(tokenizer.vocabulary() as i64 - 1);
            let mut random = CausalLm::random(shape, end, seed, device)?;
            random.tune_all(compute)?;
            return Ok(Self {
                model: random,
                tokenizer,
                tokenizer_folder: folder,
                base: PathBuf::new(),
                kind: mode.kind,
                compute,
            });
        }
        let base = pipeline.resolve(
            model
                .path
                .as_deref()
                .ok_or_else(|| need("`path`, a folder in the Hugging Face format"))?,
        );
        // What stays as it is is never there in float32: of a large model that would be twice its memory.
        let kept_in = if mode.kind == ModeKind::Lora {
            compute
        } else {
            Kind::Float
        };
        let mut loaded = CausalLm::load(&base, kept_in, device)?;
        match mode.kind {
            ModeKind::Full => loaded.tune_all(compute)?,
            ModeKind::Head => loaded.tune_head(compute)?,
            ModeKind::Lora => {
                let settings = LoraSettings {
                    dropout: mode.dropout,
                    rank_stabilized: mode.rslora,
                    magnitude: mode.dora,
                    modules: ModuleChoice::of_mode(mode),
                    rank_pattern: mode.rank_pattern.clone().into_iter().collect(),
                    alpha_pattern: mode.alpha_pattern.clone().into_iter().collect(),
                    ..LoraSettings::new(mode.rank, mode.alpha())
                };
                let adapted = loaded.tune_lora(&settings, seed, compute)?;
                tracing::debug!("LoRA on {}", adapted.join(", "));
            }
            ModeKind::Base | ModeKind::Pretrain | ModeKind::Tuned => {
                return Err(Error::Configuration(format!(
                    "mode {} is not tuned",
                    mode.kind.name()
                )));
            }
        }
        let tokenizer = TextTokenizer::load(&base)?.with_rows(loaded.config.vocabulary);
        Ok(Self {
            model: loaded,
            tokenizer,
            tokenizer_folder: base.clone(),
            base,
            kind: mode.kind,
            compute,
        })
    }

    /// Writes what the mode leaves behind into an existing folder: an adapter for LoRA, else a whole model. Tuned weights are
    /// written in float32, the precision they were kept in; a pre-trained model in the precision it was computed in.
    ///
    /// # Errors
    /// [`Error::Output`] where it cannot be written.
    pub fn write(&mut self, folder: &Path) -> Result<(), Error> {
        match self.kind {
            ModeKind::Lora => {
                let base =
                    BaseName::of(&self.base, folder).map_err(|error| Error::input(&self.base, error))?;
                Ok(write_adapter_folder(
                    &mut self.model,
                    folder,
                    base,
                    &self.tokenizer_folder,
                )?)
            }
            kind => {
                let stored = if kind == ModeKind::Pretrain {
                    self.compute
                } else {
                    Kind::Float
                };
                Ok(write_model_folder(
                    &mut self.model,
                    folder,
                    stored,
                    &self.tokenizer_folder,
                )?)
            }
        }
    }
}

impl Prepared {
    /// Names the base once more in the settings of an adapter that was copied into `folder`; a whole model names none.
    ///
    /// # Errors
    /// [`Error::Output`] where they cannot be written.
    pub(crate) fn rename_base(&self, folder: &Path) -> Result<(), Error> {
        if self.kind != ModeKind::Lora {
            return Ok(());
        }
        let file = folder.join(ADAPTER_CONFIG);
        let failed = |error| Error::output(&file, error);
        let base = BaseName::of(&self.base, folder).map_err(failed)?;
        let text = std::fs::read(&file).map_err(failed)?;
        let mut settings: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| Error::output(&file, error))?;
        settings["base_model_name_or_path"] = base.name.into();
        settings["revision"] = base.revision.into();
        std::fs::write(&file, format!("{settings:#}\n")).map_err(failed)
    }
}

/// Trains the tokenizer once; a resumed run finds it in the work folder.
fn train_tokenizer(instances: &[TrainingInstance], vocabulary: usize, work: &Path) -> Result<PathBuf, Error> {
    let destination = work.join("tokenizer");
    if !destination.is_dir() {
        tracing::info!("training a tokenizer of {vocabulary} tokens");
        let folder = AtomicFile::create_folder(&destination)?;
        train_byte_level_bpe(
            instances.iter().map(|instance| instance.text.as_str()),
            vocabulary,
            folder.path(),
        )?;
        seal::write_checksums(folder.path())?;
        folder.commit()?;
    }
    Ok(destination)
}
