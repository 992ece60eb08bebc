//! An adapter put into its base: a plain model folder that needs no peft.

use std::fmt;
use std::path::PathBuf;

use causal_lm::{load_checkpoint, write_model_folder};
use clap::Args;
use contract::files::AtomicFile;
use contract::{Error, seal};
use tch::{Device, Kind};

/// Adds an adapter's update to its base and writes the result as a plain model folder
///
/// transformers and everything else that reads the Hugging Face format loads it without peft.
#[derive(Debug, Clone, Args)]
pub struct MergeArguments {
    /// Adapter folder, as the tuner or peft wrote it
    #[arg(value_name = "ADAPTER")]
    pub adapter: PathBuf,

    /// Model folder to write
    #[arg(long, value_name = "FOLDER")]
    pub out: PathBuf,

    /// Model folder of the adapter's base, in place of the one that the adapter names
    #[arg(long, value_name = "FOLDER")]
    pub base: Option<PathBuf>,

    /// Precision of the weights written: float32, or bf16 in half the space
    #[arg(long, value_name = "PRECISION", value_parser = ["float32", "bf16"], default_value = "float32")]
    pub precision: String,
}

/// What was merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    folder: PathBuf,
    parameters: usize,
}

impl fmt::Display for Merged {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "merged      {} ({} parameters)",
            self.folder.display(),
            self.parameters
        )
    }
}

/// Merges an adapter into its base. The sum is made in float32, and written in the precision that is asked for.
///
/// # Errors
/// [`Error::Input`] for a folder that is no adapter or lacks its base, [`Error::Output`] where the result cannot be written.
pub fn merge(arguments: &MergeArguments) -> Result<Merged, Error> {
    let adapter = &arguments.adapter;
    if !adapter.join(causal_lm::ADAPTER_CONFIG).is_file() {
        return Err(Error::input(
            adapter,
            format!(
                "expected an adapter folder with {} in it, found none; a whole model needs no merging",
                causal_lm::ADAPTER_CONFIG
            ),
        ));
    }
    let (mut model, tokenizer) =
        load_checkpoint(adapter, arguments.base.as_deref(), Kind::Float, Device::Cpu)?;
    model.merge()?;
    let kind = if arguments.precision == "bf16" {
        Kind::BFloat16
    } else {
        Kind::Float
    };
    let folder = AtomicFile::create_folder(&arguments.out)?;
    write_model_folder(&mut model, folder.path(), kind, &tokenizer)?;
    seal::write_checksums(folder.path())?;
    folder.commit()?;
    Ok(Merged {
        folder: arguments.out.clone(),
        parameters: model.parameter_count(),
    })
}
