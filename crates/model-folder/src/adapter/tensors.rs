//! What each tensor of an adapter's file does to the base, found by names and shapes alone.

use std::collections::BTreeMap;
use std::path::Path;

use contract::Error;

use super::kinds::{Change, Stores};
use super::settings::{AdapterConfig, BiasMode, TokenRows};
use super::{ADAPTER_CONFIG, PREFIX, WAY_OUT};
use crate::headers::Header;
use crate::module_choice::ends;
use crate::{Config, Model, Module, Role};

/// A table of the model whose rows are tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// The input embedding.
    Embedding,
    /// The LM head.
    Head,
}

/// A parameter of the base in whose place a stored tensor comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The parameter's name in the `state_dict`.
    pub parameter: String,
    /// The tensor's name in the adapter's file.
    pub tensor: String,
}

/// Rows of a table in whose place stored ones come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRows {
    /// The table. Where the LM head is tied, its rows are those of the embedding.
    pub table: Table,
    /// The tokens.
    pub tokens: Vec<usize>,
    /// The tensor's name in the adapter's file.
    pub tensor: String,
}

/// What an adapter does to a module.
#[derive(Debug, Clone, PartialEq)]
pub struct Update {
    /// Path of the module; of the LM head the name that it has in model files.
    pub path: String,
    /// Whether the module is an embedding.
    pub is_embedding: bool,
    /// Whether the module is the LM head.
    pub is_head: bool,
    /// What is done.
    pub change: Change,
}

/// What stands before every text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// The tensor's name in the adapter's file.
    pub tensor: String,
    /// How many tokens it stands for. The context of the configuration is shorter by as many.
    pub tokens: usize,
    /// What it is.
    pub form: PromptForm,
}

/// What stands before every text in the place of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PromptForm {
    /// Vectors in the place of embeddings, `[tokens, width]`.
    Embeddings,
    /// Keys and values, `[tokens, layers · 2 · heads · width]`: a layer's keys, then its values.
    KeysAndValues {
        /// Heads of keys and values.
        heads: usize,
        /// Width of a head.
        width: usize,
    },
}

/// Whether a tied LM head becomes a table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Untie {
    /// It stays as it is.
    Never,
    /// It keeps the base's table, whatever comes in the embedding's place.
    BeforeReplacing,
    /// It takes the table that came in the embedding's place, and keeps it where an update is added to the embedding.
    AfterReplacing,
}

/// What was found.
pub(super) struct Assigned {
    pub(super) untie: Untie,
    pub(super) config: Config,
    pub(super) replacements: Vec<Replacement>,
    pub(super) rows: Vec<NewRows>,
    pub(super) updates: Vec<Update>,
    pub(super) prompt: Option<Prompt>,
}

/// Assigns every tensor of the file.
pub(super) fn assign(
    folder: &Path,
    file: &Path,
    settings: &AdapterConfig,
    headers: BTreeMap<String, Header>,
    base: &Model,
) -> Result<Assigned, Error> {
    let mut assignment = Assignment {
        file,
        settings,
        base,
        stored: StoredTensors {
            file,
            base,
            headers: headers
                .into_iter()
                .map(|(name, header)| (name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), header))
                .collect(),
        },
        entries: base.config.vocabulary,
        assigned: Assigned {
            untie: Untie::Never,
            config: base.config.clone(),
            replacements: Vec::new(),
            rows: Vec::new(),
            updates: Vec::new(),
            prompt: None,
        },
    };
    let in_settings = |error| match error {
        // A regular expression or target that fits nothing is the file's fault here, not the pipeline's.
        Error::Configuration(problem) => {
            Error::input(folder.join(ADAPTER_CONFIG), format!("target_modules: {problem}"))
        }
        error => error,
    };
    assignment.take_tables()?;
    assignment.take_rows()?;
    assignment.take_prompt()?;
    assignment.take_modules().map_err(in_settings)?;
    assignment.take_updates().map_err(in_settings)?;
    assignment.take_parameters()?;
    assignment.finish()
}

struct Assignment<'a> {
    file: &'a Path,
    settings: &'a AdapterConfig,
    base: &'a Model,
    stored: StoredTensors<'a>,
    /// Rows of the tables.
    entries: usize,
    assigned: Assigned,
}

/// The tensors of an adapter's file that nothing is assigned to yet.
pub(super) struct StoredTensors<'a> {
    file: &'a Path,
    base: &'a Model,
    /// Headers by their names without peft's prefix; what is assigned is taken out.
    headers: BTreeMap<String, Header>,
}

impl StoredTensors<'_> {
    /// Whether there is a tensor of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// Whether there is a tensor of a module.
    fn has_any_of(&self, path: &str) -> bool {
        let mut names = self.headers.keys();
        names.any(|name| name.strip_prefix(path).is_some_and(|rest| rest.starts_with('.')))
    }

    /// Takes a tensor that must be there in this shape; returns its name in the file.
    pub(super) fn expect(&mut self, name: &str, shape: &[usize]) -> Result<String, Error> {
        let found = match self.headers.remove(name) {
            Some(header) if header.shape == shape => {
                header.check(&header.name, shape)?;
                return Ok(header.name);
            }
            Some(header) => format!("{:?}", header.shape),
            None => "no such tensor".to_owned(),
        };
        Err(Error::input(
            self.file,
            format!(
                "tensor {}: expected shape {shape:?} by {ADAPTER_CONFIG} and the base {}, found {found}. Name the base that \
             the adapter was trained on with BASE= (or --base)",
                full_name(name),
                self.base.folder.display()
            ),
        ))
    }
}

/// A module that the settings choose.
pub(super) struct Chosen {
    /// The module.
    pub(super) module: Module,
    /// The path that it has in the adapter's file.
    pub(super) stored_path: String,
    /// Whether its weight is stored along.
    pub(super) is_replaced: bool,
    /// Rows of the model's tables.
    entries: usize,
    /// Whether it is the input embedding.
    is_input: bool,
}

impl Chosen {
    /// Whether it is an embedding, of tokens or positions.
    pub(super) fn is_embedding(&self) -> bool {
        matches!(self.module.role, Role::Embedding { .. })
    }

    /// Whether it is the LM head.
    pub(super) fn is_head(&self) -> bool {
        matches!(self.module.role, Role::Head { .. })
    }

    /// Numbers that it reads and writes; of an embedding its rows and its width.
    pub(super) fn sizes(&self) -> (usize, usize) {
        match self.module.role {
            Role::Embedding { width, .. } if self.is_input => (self.entries, width),
            Role::Embedding { entries, width } => (entries, width),
            _ => self.module.linear_sizes().unwrap_or_default(),
        }
    }

    /// The same, of kinds that adapt linear layers alone.
    pub(super) fn linear_sizes(&self, config: &AdapterConfig) -> Result<(usize, usize), Error> {
        if self.is_embedding() {
            return Err(config.bad(format!(
                "target_modules: {} adapts linear layers, found the embedding {}. {WAY_OUT}",
                config.spec.name, self.module.path
            )));
        }
        Ok(self.sizes())
    }

    /// Refuses a layer whose weight lies the other way round, of kinds that peft does not put there.
    pub(super) fn refuse_conv1d(&self, config: &AdapterConfig) -> Result<(), Error> {
        match self.module.role {
            Role::Linear { transposed: true, .. } => Err(config.bad(format!(
                "target_modules: peft puts no {} on {}, whose weight lies the other way round (Conv1D). {WAY_OUT}",
                config.spec.name, self.module.path
            ))),
            _ => Ok(()),
        }
    }
}

impl Assignment<'_> {
    fn spec(&self) -> &'static crate::families::FamilySpec {
        self.base.config.spec
    }

    fn bad(&self, problem: String) -> Error {
        Error::input(self.file, problem)
    }

    fn bad_setting(&self, problem: String) -> Error {
        self.settings.bad(problem)
    }

    /// The names under which peft may store a parameter of the module at `path`: bare, or below a layer that wraps it.
    fn names(path: &str, parameter: &str) -> [String; 5] {
        [
            "",
            "base_layer.",
            "token_adapter.base_layer.",
            "modules_to_save.",
            "ln_tuning_layers.",
        ]
        .map(|wrapper| format!("{path}.{wrapper}{parameter}"))
    }

    /// Takes a parameter of the module at `path` out of the headers, whose copies must be the same.
    fn take(&mut self, path: &str, parameter: &str) -> Result<Option<Header>, Error> {
        let mut taken: Option<Header> = None;
        for name in Self::names(path, parameter) {
            let Some(found) = self.stored.headers.remove(&name) else {
                continue;
            };
            match &taken {
                None => taken = Some(found),
                Some(first) if first.equals(&found)? => {}
                Some(first) => {
                    return Err(self.bad(format!(
                        "tensor {}: expected the same numbers as in {}, found others. It is not clear which of them the \
                         adapter uses",
                        found.name, first.name
                    )));
                }
            }
        }
        // What the module was before training, which is not used.
        self.stored
            .headers
            .remove(&format!("{path}.original_module.{parameter}"));
        Ok(taken)
    }

    /// The tables that are stored whole: trained whole (`modules_to_save`), or saved along, as where tokens were added.
    fn take_tables(&mut self) -> Result<(), Error> {
        let spec = self.spec();
        let embedding = self.take(spec.input_embedding, "weight")?;
        let mut head = None;
        for module in spec.head_modules {
            head = head.or(self.take(module, "weight")?);
        }
        let tied = self.base.config.tied_head;
        let is_whole = |path: &str| {
            let whole = &self.settings.modules.whole_modules;
            whole.iter().any(|name| is_whole_by(path, name))
        };
        // Where peft keeps them tied all the same (`ensure_weight_tying`), it stores both.
        let unties =
            tied && (is_whole(spec.input_embedding) || spec.head_modules.iter().any(|head| is_whole(head)));
        if unties {
            self.assigned.untie = Untie::BeforeReplacing;
            self.assigned.config = self.assigned.config.clone().untied();
        }
        let rows = |header: &Option<Header>| header.as_ref().and_then(|header| header.shape.first().copied());
        let (embedding_rows, head_rows) = (rows(&embedding), rows(&head));
        self.entries = embedding_rows.or(head_rows).unwrap_or(self.entries);
        let shape = [self.entries, self.base.config.width];
        if tied && !unties {
            // Both are one table.
            if let (Some(embedding), Some(head)) = (&embedding, &head)
                && !embedding.equals(head)?
            {
                return Err(self.bad(format!(
                    "tensor {}: expected the same numbers as in {}, as the base ties them, found others. {WAY_OUT}",
                    head.name, embedding.name
                )));
            }
            if let Some(table) = embedding.or(head) {
                self.replace(spec.input_embedding, "weight", table, &shape)?;
            }
            return Ok(());
        }
        let grown = self.entries != self.base.config.vocabulary;
        for (table, path, what) in [
            (embedding, spec.input_embedding, "the input embedding"),
            (head, spec.head_modules[0], "the LM head"),
        ] {
            match table {
                Some(table) => self.replace(path, "weight", table, &shape)?,
                None if grown => {
                    return Err(self.bad(format!(
                        "tensor {PREFIX}{path}.weight: expected {} rows of {what}, as many as the other table has here and {} more \
                         than in the base, found no such tensor: what the model knows of the added tokens is not stored. Save the \
                         adapter again with peft's save_pretrained(..., save_embedding_layers=True) while the trained model is at \
                         hand. {WAY_OUT}",
                        self.entries,
                        self.entries as i64 - self.base.config.vocabulary as i64
                    )));
                }
                None => {}
            }
        }
        Ok(())
    }

    fn replace(&mut self, path: &str, parameter: &str, header: Header, shape: &[usize]) -> Result<(), Error> {
        header.check(&header.name, shape)?;
        self.assigned.replacements.push(Replacement {
            parameter: format!("{path}.{parameter}"),
            tensor: header.name,
        });
        Ok(())
    }

    /// Rows of single tokens.
    fn take_rows(&mut self) -> Result<(), Error> {
        for rows in &self.settings.token_rows {
            let (table, paths) = self.table(rows)?;
            let found = self.take_row_values(table, &paths)?;
            let shape = [rows.tokens.len(), self.base.config.width];
            let Some(header) = found else {
                return Err(self.bad(format!(
                    "tensor {PREFIX}{}.token_adapter.trainable_tokens_delta: expected shape {shape:?}, found no such tensor",
                    paths[0]
                )));
            };
            header.check(&header.name, &shape)?;
            if let Some(token) = rows.tokens.iter().find(|&&token| token >= self.entries) {
                return Err(self.bad_setting(format!(
                    "trainable_token_indices: expected tokens below {}, the rows of the table, found {token}",
                    self.entries
                )));
            }
            self.assigned.rows.push(NewRows {
                table,
                tokens: rows.tokens.clone(),
                tensor: header.name,
            });
        }
        Ok(())
    }

    /// Takes the rows of a table out of the headers; of a tied LM head its copy too, which must be the same.
    fn take_row_values(&mut self, table: Table, paths: &[String]) -> Result<Option<Header>, Error> {
        let is_tied = table == Table::Embedding && self.base.config.tied_head;
        let heads = self.spec().head_modules.iter().filter(|_| is_tied);
        let paths: Vec<String> = paths
            .iter()
            .cloned()
            .chain(heads.map(|&head| head.to_owned()))
            .collect();
        let mut taken: Option<Header> = None;
        for path in &paths {
            for name in [
                "token_adapter.trainable_tokens_delta",
                "token_adapter.trainable_tokens_delta.weight",
                "trainable_tokens_delta",
            ] {
                let Some(found) = self.stored.headers.remove(&format!("{path}.{name}")) else {
                    continue;
                };
                match &taken {
                    None => taken = Some(found),
                    Some(first) if first.equals(&found)? => {}
                    Some(first) => {
                        return Err(self.bad(format!(
                            "tensor {}: expected the same numbers as in {}, as the base ties the tables, found others. {WAY_OUT}",
                            found.name, first.name
                        )));
                    }
                }
            }
        }
        Ok(taken)
    }

    fn table(&self, rows: &TokenRows) -> Result<(Table, Vec<String>), Error> {
        let spec = self.spec();
        let name = &rows.table;
        if name.is_empty() || ends(spec.input_embedding, name) {
            return Ok((Table::Embedding, vec![spec.input_embedding.to_owned()]));
        }
        if spec.head_modules.iter().any(|head| ends(head, name)) {
            let heads = spec.head_modules.iter().map(|&head| head.to_owned()).collect();
            return Ok((Table::Head, heads));
        }
        Err(self.bad_setting(format!(
            "trainable_token_indices: expected {} or {}, found {name}",
            spec.input_embedding, spec.head_modules[0]
        )))
    }

    /// What is done to every module that the settings choose.
    fn take_updates(&mut self) -> Result<(), Error> {
        let chosen = self.chosen()?;
        let config = self.base.config.clone();
        let is_by_changes = self.settings.spec.stores == Stores::Changes;
        if is_by_changes && chosen.is_empty() && self.settings.modules.whole_modules.is_empty() {
            let linears = self.base.modules().iter();
            let paths: Vec<&str> = linears
                .filter(|module| matches!(module.role, Role::Linear { .. }))
                .map(|module| module.path.as_str())
                .collect();
            return Err(Error::Configuration(format!(
                "they match no linear layer of this model; it has {}",
                paths.join(", ")
            )));
        }
        let adapts_table = |module: &Chosen| module.is_head() || module.is_input;
        if config.tied_head && self.assigned.config.tied_head && chosen.iter().any(adapts_table) {
            // Each is adapted for itself, by the tensors that are stored.
            self.assigned.untie = Untie::AfterReplacing;
            self.assigned.config = self.assigned.config.clone().untied();
        }
        let changes = self
            .settings
            .kind
            .changes(self.settings, &chosen, &mut self.stored)?;
        let updates = chosen.into_iter().zip(changes).map(|(chosen, change)| Update {
            is_embedding: chosen.is_embedding(),
            is_head: chosen.is_head(),
            path: chosen.module.path,
            change,
        });
        self.assigned.updates.extend(updates);
        Ok(())
    }

    /// The modules that the settings choose.
    fn chosen(&self) -> Result<Vec<Chosen>, Error> {
        let config = &self.base.config;
        let choice = &self.settings.modules;
        let mut chosen = Vec::new();
        if self.settings.spec.stores != Stores::Changes {
            return Ok(chosen);
        }
        for module in self.base.modules() {
            let is_chosen = match module.role {
                Role::Linear { .. } => choice.chooses(&module.path, config)?,
                Role::Embedding { .. } => self.is_named(&module.path)?,
                Role::Norm { .. } | Role::Head { .. } => false,
            };
            if is_chosen {
                chosen.push(self.choose(module.clone(), module.path.clone()));
            }
        }
        // The head goes by several names, of which the file has one.
        let mut heads = Vec::new();
        for &name in config.spec.head_modules {
            // Where the settings tie both, peft adapts the head with the embedding; it stores its factors, and names it nowhere.
            let follows = self.settings.keeps_tie && self.stored.has_any_of(name);
            if follows || self.is_named(name)? {
                heads.push(name);
            }
        }
        let mut stored = heads.iter().filter(|name| self.stored.has_any_of(name));
        if let Some(&name) = stored.next().or(heads.first()) {
            let module = Module {
                path: config.spec.head_modules[0].to_owned(),
                role: Role::Head {
                    entries: self.entries,
                    width: config.width,
                },
                bias: false,
            };
            chosen.push(self.choose(module, name.to_owned()));
        }
        Ok(chosen)
    }

    fn choose(&self, module: Module, stored_path: String) -> Chosen {
        let weight = format!("{}.weight", module.path);
        let mut replacements = self.assigned.replacements.iter();
        Chosen {
            is_replaced: replacements.any(|replacement| replacement.parameter == weight),
            is_input: module.path == self.spec().input_embedding,
            entries: self.entries,
            module,
            stored_path,
        }
    }

    /// Whether an embedding or the head is chosen: "all-linear" and the family's own choice leave them out.
    fn is_named(&self, path: &str) -> Result<bool, Error> {
        use crate::LoraTargets::{AllLinear, FamilyDefault};
        let choice = &self.settings.modules;
        let is_by_name = !matches!(choice.targets, AllLinear | FamilyDefault);
        Ok(is_by_name && choice.chooses(path, &self.base.config)?)
    }

    /// What stands before every text.
    fn take_prompt(&mut self) -> Result<(), Error> {
        let base = &self.base.config;
        self.assigned.prompt = self.settings.kind.prompt(self.settings, base, &mut self.stored)?;
        if let Some(prompt) = &self.assigned.prompt {
            self.assigned.config.context -= prompt.tokens;
        }
        Ok(())
    }

    /// The modules that are stored as training left them, of a kind that stores nothing else.
    fn take_modules(&mut self) -> Result<(), Error> {
        if self.settings.spec.stores != Stores::Modules {
            return Ok(());
        }
        let mut found = false;
        let base = self.base;
        for module in base.modules() {
            if !self.settings.modules.chooses(&module.path, &base.config)? {
                continue;
            }
            if matches!(module.role, Role::Embedding { .. } | Role::Head { .. }) {
                return Err(self.bad_setting(format!(
                    "target_modules: {} is read for norms and layers, found the table {}. {WAY_OUT}",
                    self.settings.spec.name, module.path
                )));
            }
            found = true;
            for (name, shape) in module.tensors() {
                let Some((path, parameter)) = name.rsplit_once('.') else {
                    continue;
                };
                let Some(header) = self.take(path, parameter)? else {
                    return Err(self.bad(format!(
                        "tensor {PREFIX}{path}.ln_tuning_layers.{parameter}: expected shape {shape:?}, found no such tensor"
                    )));
                };
                self.replace(path, parameter, header, &shape)?;
            }
        }
        if found {
            return Ok(());
        }
        let paths: Vec<&str> = base.modules().iter().map(|module| module.path.as_str()).collect();
        Err(self.bad_setting(format!(
            "target_modules: they match no module of this model; it has {}",
            paths.join(", ")
        )))
    }

    /// Other parameters that are stored whole: biases, and modules trained whole.
    fn take_parameters(&mut self) -> Result<(), Error> {
        let base = self.base;
        for module in base.modules() {
            let whole = &self.settings.modules.whole_modules;
            let is_whole = whole.iter().any(|name| is_whole_by(&module.path, name));
            for (name, shape) in module.tensors() {
                let Some((path, parameter)) = name.rsplit_once('.') else {
                    continue;
                };
                let is_bias = parameter == "bias" && self.settings.bias == BiasMode::Stored;
                if !(is_whole || is_bias) {
                    continue;
                }
                if let Some(header) = self.take(path, parameter)? {
                    self.replace(path, parameter, header, &shape)?;
                }
            }
        }
        for name in &self.settings.modules.whole_modules {
            let is_stored = self.assigned.replacements.iter().any(|replacement| {
                let (path, _) = replacement.parameter.rsplit_once('.').unwrap_or_default();
                let heads = self.spec().head_modules;
                let is_head = heads.contains(&path) && heads.iter().any(|head| ends(head, name));
                is_head || is_whole_by(path, name)
            });
            if !is_stored {
                return Err(self.bad_setting(format!(
                    "modules_to_save: {name}: expected its tensors in {}, found none",
                    super::ADAPTER_WEIGHTS
                )));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Assigned, Error> {
        if let Some((name, _)) = self.stored.headers.iter().next() {
            return Err(self.bad(format!(
                "tensor {}: belongs to no layer that {ADAPTER_CONFIG} adapts. {WAY_OUT}",
                full_name(name)
            )));
        }
        let mut assigned = self.assigned;
        if self.entries != assigned.config.vocabulary {
            assigned.config = assigned.config.with_vocabulary(self.entries);
        }
        Ok(assigned)
    }
}

/// Whether `modules_to_save` with this name takes the module at `path`: peft takes every module whose path ends so, be it with a
/// part of a word, and with it what is below.
fn is_whole_by(path: &str, name: &str) -> bool {
    let ends = path.match_indices('.').map(|(dot, _)| dot).chain([path.len()]);
    ends.into_iter().any(|end| path[..end].ends_with(name))
}

/// The name that a tensor has in the file, by its name here.
fn full_name(name: &str) -> String {
    if name.starts_with("base_model.") || !name.contains('.') {
        name.to_owned()
    } else {
        format!("{PREFIX}{name}")
    }
}
