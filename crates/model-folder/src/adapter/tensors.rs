//! What each tensor of an adapter's file does to the base, found by names and shapes alone.

use std::collections::BTreeMap;
use std::path::Path;

use contract::Error;

use super::settings::{AdapterConfig, BiasMode, Init, TokenRows};
use super::{ADAPTER_CONFIG, PREFIX, WAY_OUT};
use crate::headers::Header;
use crate::lora::ends;
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

/// What was taken out of a weight before training began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residual {
    /// Nothing.
    Whole,
    /// Its part of the rank of the update with the largest singular values (PiSSA, Meng et al. 2024).
    Pissa,
    /// scale · Q·R of the first columns of its QR decomposition (OLoRA, Büyükakyüz 2024).
    Olora,
}

/// A low-rank update of a module, and the names of its tensors in the adapter's file.
#[derive(Debug, Clone, PartialEq)]
pub struct LowRank {
    /// Path of the module; of the LM head the name that it has in model files.
    pub path: String,
    /// Whether the module is an embedding, whose factors lie the other way round.
    pub is_embedding: bool,
    /// Whether the module is the LM head.
    pub is_head: bool,
    /// Rank of the update.
    pub rank: usize,
    /// The factor on B·A.
    pub scale: f64,
    /// A.
    pub a: String,
    /// B.
    pub b: String,
    /// The norms of DoRA.
    pub magnitude: Option<String>,
    /// The bias of B.
    pub bias: Option<String>,
    /// What was taken out of the weight.
    pub residual: Residual,
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
    pub(super) updates: Vec<LowRank>,
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
        headers: headers
            .into_iter()
            .map(|(name, header)| (name.strip_prefix(PREFIX).unwrap_or(&name).to_owned(), header))
            .collect(),
        entries: base.config.vocabulary,
        assigned: Assigned {
            untie: Untie::Never,
            config: base.config.clone(),
            replacements: Vec::new(),
            rows: Vec::new(),
            updates: Vec::new(),
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
    assignment.take_updates().map_err(in_settings)?;
    assignment.take_parameters()?;
    assignment.finish()
}

struct Assignment<'a> {
    file: &'a Path,
    settings: &'a AdapterConfig,
    base: &'a Model,
    /// Headers by their names without peft's prefix; what is assigned is taken out.
    headers: BTreeMap<String, Header>,
    /// Rows of the tables.
    entries: usize,
    assigned: Assigned,
}

impl Assignment<'_> {
    fn spec(&self) -> &'static crate::families::FamilySpec {
        self.base.config.spec
    }

    fn bad(&self, problem: String) -> Error {
        Error::input(self.file, problem)
    }

    fn bad_setting(&self, problem: String) -> Error {
        Error::input(&self.settings.file, problem)
    }

    /// The names under which peft may store a parameter of the module at `path`: bare, or below a layer that wraps it.
    fn names(path: &str, parameter: &str) -> [String; 4] {
        ["", "base_layer.", "token_adapter.base_layer.", "modules_to_save."]
            .map(|wrapper| format!("{path}.{wrapper}{parameter}"))
    }

    /// Takes a parameter of the module at `path` out of the headers, whose copies must be the same.
    fn take(&mut self, path: &str, parameter: &str) -> Result<Option<Header>, Error> {
        let mut taken: Option<Header> = None;
        for name in Self::names(path, parameter) {
            let Some(found) = self.headers.remove(&name) else {
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
        self.headers
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
            let whole = &self.settings.lora.whole_modules;
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
            let mut found = None;
            for path in &paths {
                for name in ["trainable_tokens_delta", "trainable_tokens_delta.weight"] {
                    found = found.or(self.headers.remove(&format!("{path}.token_adapter.{name}")));
                }
            }
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

    /// Low-rank updates of every module that the settings choose.
    fn take_updates(&mut self) -> Result<(), Error> {
        let config = self.base.config.clone();
        let lora = &self.settings.lora;
        let mut chosen = Vec::new();
        for module in self.base.modules() {
            let is_chosen = match module.role {
                Role::Linear { .. } => lora.chooses(&module.path, &config)?,
                Role::Embedding { .. } => self.is_named(&module.path)?,
                Role::Norm { .. } | Role::Head { .. } => false,
            };
            if is_chosen {
                chosen.push((module.clone(), module.path.clone()));
            }
        }
        // The head goes by several names, of which the file has one.
        let mut heads = Vec::new();
        for name in config.spec.head_modules {
            // Where the settings tie both, peft adapts the head with the embedding; it stores its factors, and names it nowhere.
            let follows =
                self.settings.keeps_tie && self.headers.contains_key(&format!("{name}.lora_A.weight"));
            if follows || self.is_named(name)? {
                heads.push(*name);
            }
        }
        let stored = |name: &&&str| self.headers.contains_key(&format!("{name}.lora_A.weight"));
        let stored_head = heads.iter().find(stored).or(heads.first()).copied();
        if let Some(name) = stored_head {
            let module = Module {
                path: config.spec.head_modules[0].to_owned(),
                role: Role::Head {
                    entries: self.entries,
                    width: config.width,
                },
                bias: false,
            };
            chosen.push((module, name.to_owned()));
        }
        if chosen.is_empty() && self.settings.lora.whole_modules.is_empty() {
            let linears = self.base.modules().iter();
            let paths: Vec<&str> = linears
                .filter(|module| matches!(module.role, Role::Linear { .. }))
                .map(|module| module.path.as_str())
                .collect();
            return Err(Error::Configuration(format!(
                "LoRA targets match no linear layer of this model; it has {}",
                paths.join(", ")
            )));
        }
        let adapts_embedding = chosen
            .iter()
            .any(|(module, _)| module.path == config.spec.input_embedding);
        if config.tied_head && self.assigned.config.tied_head && (stored_head.is_some() || adapts_embedding) {
            // Each is adapted for itself, by the factors that are stored.
            self.assigned.untie = Untie::AfterReplacing;
            self.assigned.config = self.assigned.config.clone().untied();
        }
        for (module, stored_path) in chosen {
            let update = self.update(&module, &stored_path)?;
            self.assigned.updates.push(update);
        }
        Ok(())
    }

    /// Whether an embedding or the head is chosen: "all-linear" and the family's own choice leave them out.
    fn is_named(&self, path: &str) -> Result<bool, Error> {
        use crate::LoraTargets::{AllLinear, FamilyDefault};
        let lora = &self.settings.lora;
        Ok(!matches!(lora.targets, AllLinear | FamilyDefault) && lora.chooses(path, &self.base.config)?)
    }

    /// The update of one module, whose tensors must be there in the right shapes.
    fn update(&mut self, module: &Module, stored_path: &str) -> Result<LowRank, Error> {
        let (rank, scale) = self.settings.lora.size(stored_path)?;
        let is_head = matches!(module.role, Role::Head { .. });
        let (is_embedding, inputs, outputs) = match module.role {
            Role::Embedding { entries, width } => {
                let is_tokens = module.path == self.spec().input_embedding;
                (true, if is_tokens { self.entries } else { entries }, width)
            }
            _ => {
                let (inputs, outputs) = module.linear_sizes().unwrap_or_default();
                (false, inputs, outputs)
            }
        };
        let kind = if is_embedding {
            ["lora_embedding_A", "lora_embedding_B"]
        } else {
            ["lora_A.weight", "lora_B.weight"]
        };
        let [a, b] = kind.map(|kind| format!("{stored_path}.{kind}"));
        let a = self.expect(&a, &[rank, inputs])?;
        let b = self.expect(&b, &[outputs, rank])?;
        let magnitude = if self.settings.lora.magnitude {
            if is_embedding {
                return Err(self.bad_setting(format!(
                    "use_dora: not supported for the embedding {}. {WAY_OUT}",
                    module.path
                )));
            }
            let name = format!("{stored_path}.lora_magnitude_vector");
            let longer = format!("{name}.weight");
            let name = if self.headers.contains_key(&longer) {
                longer
            } else {
                name
            };
            Some(self.expect(&name, &[outputs])?)
        } else {
            None
        };
        let bias = if self.settings.lora_bias {
            if is_embedding || is_head {
                return Err(
                    self.bad_setting(format!("lora_bias: not supported for {}. {WAY_OUT}", module.path))
                );
            }
            Some(self.expect(&format!("{stored_path}.lora_B.bias"), &[outputs])?)
        } else {
            None
        };
        let weight = format!("{}.weight", module.path);
        // A weight that is stored along is stored as it was left.
        let is_stored = self
            .assigned
            .replacements
            .iter()
            .any(|replacement| replacement.parameter == weight);
        let residual = match self.settings.init {
            Init::Pissa if !is_stored && !is_embedding => Residual::Pissa,
            Init::Olora if !is_stored && !is_embedding => Residual::Olora,
            _ => Residual::Whole,
        };
        if residual == Residual::Olora
            && let Role::Linear { transposed: true, .. } = module.role
        {
            return Err(self.bad_setting(format!(
                "init_lora_weights: olora does not fit {}, whose weight lies the other way round (Conv1D): peft itself cannot load \
                 this adapter. {WAY_OUT}",
                module.path
            )));
        }
        Ok(LowRank {
            path: module.path.clone(),
            is_embedding,
            is_head,
            rank,
            scale,
            a,
            b,
            magnitude,
            bias,
            residual,
        })
    }

    /// Takes a tensor that must be there in this shape; returns its name in the file.
    fn expect(&mut self, name: &str, shape: &[usize]) -> Result<String, Error> {
        let found = match self.headers.remove(name) {
            Some(header) if header.shape == shape => {
                header.check(&header.name, shape)?;
                return Ok(header.name);
            }
            Some(header) => format!("{:?}", header.shape),
            None => "no such tensor".to_owned(),
        };
        Err(self.bad(format!(
            "tensor {PREFIX}{name}: expected shape {shape:?} by {ADAPTER_CONFIG} and the base {}, found {found}. Name the base that \
             the adapter was trained on with BASE= (or --base)",
            self.base.folder.display()
        )))
    }

    /// Other parameters that are stored whole: biases, and modules trained whole.
    fn take_parameters(&mut self) -> Result<(), Error> {
        let base = self.base;
        for module in base.modules() {
            let whole = &self.settings.lora.whole_modules;
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
        for name in &self.settings.lora.whole_modules {
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
        if let Some((name, _)) = self.headers.iter().next() {
            return Err(self.bad(format!(
                "tensor {PREFIX}{name}: belongs to no layer that {ADAPTER_CONFIG} adapts. {WAY_OUT}"
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
