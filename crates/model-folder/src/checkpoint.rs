//! A checkpoint: a whole model, or an adapter with the base that it belongs to.

use std::path::{Path, PathBuf};

use contract::Error;

use crate::adapter::AdapterConfig;
use crate::{ADAPTER_CONFIG, Adapter, Config, Model, checkpoints, hub};

/// A checkpoint whose files fit together.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    /// The folder of the model or of the adapter.
    pub folder: PathBuf,
    /// The whole model: for an adapter its base.
    pub model: Model,
    /// The adapter, where it is one.
    pub adapter: Option<Adapter>,
    /// The base that the adapter names, where another was given.
    pub named_base: Option<String>,
    /// The folder that holds the tokenizer.
    pub tokenizer: PathBuf,
}

impl Checkpoint {
    /// Opens a model folder or an adapter folder; a folder that is neither, but holds checkpoints, stands for the last of them.
    /// The base of an adapter is `base`, or else what its settings name: a folder beside it or anywhere, or a hub name in the
    /// local cache, at the revision that they name.
    ///
    /// # Errors
    /// [`Error::Input`] naming the file and the tensor or the key, what was expected and what was found, and what to do.
    pub fn open(folder: &Path, base: Option<&Path>) -> Result<Self, Error> {
        let folder = checkpoints::last(folder)?;
        if !folder.join(ADAPTER_CONFIG).is_file() {
            return Ok(Self {
                model: Model::open(&folder)?,
                adapter: None,
                named_base: None,
                tokenizer: folder.clone(),
                folder,
            });
        }
        // What is wrong with the adapter alone is refused before the base is looked for.
        let settings = AdapterConfig::read(&folder)?;
        let (base, named_base) = match base {
            Some(base) => (base.to_path_buf(), other_base(&folder, &settings, base)),
            None => (named_base(&settings, &folder)?, None),
        };
        if base.join(ADAPTER_CONFIG).is_file() {
            let problem = "expected a whole model as the base of an adapter, found an adapter. Merge that one into its base first \
                           (tuner merge, or peft's merge_and_unload), and name the result with BASE= (or --base)";
            return Err(Error::input(base, problem));
        }
        let model = Model::open(&base)?;
        let adapter = Adapter::open(&folder, settings, &model)?;
        let tokenizer = if folder.join("tokenizer.json").exists() {
            folder.clone()
        } else {
            base
        };
        Ok(Self {
            folder,
            model,
            adapter: Some(adapter),
            named_base,
            tokenizer,
        })
    }

    /// The configuration of the whole: that of the base, with the tables that the adapter gives it.
    pub fn config(&self) -> &Config {
        match &self.adapter {
            Some(adapter) => &adapter.config,
            None => &self.model.config,
        }
    }
}

/// The base that the adapter's settings name, where another is given, and says so: an adapter that was trained on a 4-bit base is
/// another model on the full one.
fn other_base(folder: &Path, settings: &AdapterConfig, given: &Path) -> Option<String> {
    let named = settings.base.as_deref()?;
    let found = hub::find_revision(named, settings.revision.as_deref(), folder);
    let real = |path: &Path| path.canonicalize().ok();
    if found.is_some_and(|found| real(&found) == real(given)) {
        return None;
    }
    let last = |name: &str| name.trim_end_matches('/').rsplit('/').next().map(str::to_owned);
    if last(named) == last(&given.to_string_lossy()) {
        return None;
    }
    tracing::info!(
        "{}: the adapter names {named} as its base; {} is used",
        folder.join(ADAPTER_CONFIG).display(),
        given.display()
    );
    Some(named.to_owned())
}

/// The base that an adapter's settings name. A relative folder is looked for from the adapter's own first, since that is how a
/// pair of folders is moved about.
fn named_base(settings: &AdapterConfig, folder: &Path) -> Result<PathBuf, Error> {
    let file = folder.join(ADAPTER_CONFIG);
    let Some(name) = &settings.base else {
        return Err(Error::input(
            file,
            "base_model_name_or_path: expected the adapter's base, found nothing. Name it with BASE= (or --base)",
        ));
    };
    let revision = settings.revision.as_deref();
    let found = hub::find_revision(name, revision, folder)
        .or_else(|| hub::find_revision(name, revision, Path::new(".")));
    found.ok_or_else(|| {
        let (at, how) = match revision {
            Some(revision) => (
                format!(" at revision {revision}"),
                format!("hf download {name} --revision {revision}"),
            ),
            None => (String::new(), format!("hf download {name}")),
        };
        let problem = format!(
            "base_model_name_or_path: {name} is no folder here and no model in the hub's cache{at}. Name the base with BASE= (or \
             --base), or download it: {how}"
        );
        Error::input(file, problem)
    })
}
