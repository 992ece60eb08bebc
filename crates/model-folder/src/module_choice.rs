//! Which modules an adapter changes, by the rules of peft 0.21.

use contract::Error;
use fancy_regex::Regex;

use crate::Config;

/// The modules that an adapter changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleChoice {
    /// The modules to adapt.
    pub targets: LoraTargets,
    /// Modules not to adapt, chosen as targets are.
    pub excluded: Option<LoraTargets>,
    /// Numbers of the blocks to adapt; all where there are none.
    pub blocks: Vec<usize>,
    /// Names of the lists that the numbers of blocks count in, as regular expressions (`layers`, `h`); any where there are none.
    pub block_lists: Vec<String>,
    /// Modules that were trained whole beside the adapter, by the ends of their paths; they get no update.
    pub whole_modules: Vec<String>,
}

/// Modules to adapt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LoraTargets {
    /// peft's own choice for LoRA in the family; for GPT-2 `c_attn`.
    #[default]
    FamilyDefault,
    /// Every linear layer but the LM head.
    AllLinear,
    /// Modules whose path is one of these or ends with a dot and one of these.
    Names(Vec<String>),
    /// Modules whose whole path fits a regular expression.
    Pattern(String),
}

impl ModuleChoice {
    /// The family's usual layers.
    pub fn new(targets: LoraTargets) -> Self {
        Self {
            targets,
            ..Self::default()
        }
    }

    /// The modules that a way of tuning with LoRA changes.
    pub fn of_mode(mode: &contract::pipeline::Mode) -> Self {
        Self {
            blocks: mode.layers.clone(),
            ..Self::new(LoraTargets::from_setting(mode.targets.as_ref()))
        }
    }

    /// Whether the module at `path` is changed.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a regular expression that is none.
    pub fn chooses(&self, path: &str, config: &Config) -> Result<bool, Error> {
        for module in &self.whole_modules {
            if is_match(&format!(r"\A(?:|.*\.)(?:{module})(?:\z|\..*)"), module, path)? {
                return Ok(false);
            }
        }
        if let Some(excluded) = &self.excluded
            && excluded.matches(path, config)?
        {
            return Ok(false);
        }
        // Blocks count where a name is the end of a path: not for a path that is named whole, nor for a regular expression.
        let is_whole = match &self.targets {
            LoraTargets::Names(names) => names.iter().any(|name| name == path),
            LoraTargets::Pattern(_) => true,
            LoraTargets::AllLinear | LoraTargets::FamilyDefault => false,
        };
        Ok((is_whole || self.is_in_block(path)?) && self.targets.matches(path, config)?)
    }

    fn is_in_block(&self, path: &str) -> Result<bool, Error> {
        if self.blocks.is_empty() {
            return Ok(true);
        }
        if self.block_lists.is_empty() {
            return Ok(self.is_listed(path, r"[^.]*")?.unwrap_or(false));
        }
        for list in &self.block_lists {
            if let Some(is_listed) = self.is_listed(path, list)? {
                return Ok(is_listed);
            }
        }
        Ok(false)
    }

    /// Whether the block in which `path` stands, counted in a list that fits the regular expression, is one of those to adapt;
    /// none where it stands in no such list.
    fn is_listed(&self, path: &str, list: &str) -> Result<Option<bool>, Error> {
        let wrong = |error: fancy_regex::Error| wrong(list, &error);
        let regex = Regex::new(&format!(r"\A(?:|.*?\.)(?:{list})\.(\d+)\.")).map_err(wrong)?;
        let found = regex.captures(path).map_err(wrong)?;
        let block = found.and_then(|found| found.get(found.len() - 1)?.as_str().parse().ok());
        Ok(block.map(|block: usize| self.blocks.contains(&block)))
    }
}

impl LoraTargets {
    /// Targets as a pipeline file gives them.
    pub fn from_setting(setting: Option<&contract::pipeline::Targets>) -> Self {
        setting.map_or(Self::FamilyDefault, |names| Self::from_names(names.as_slice()))
    }

    /// Targets by names, "all-linear", or one regular expression; a single word without any character that has a meaning in one
    /// is a name.
    pub(crate) fn from_names(names: &[String]) -> Self {
        match names {
            [all] if all == "all-linear" => Self::AllLinear,
            [pattern] if pattern.contains(['*', '+', '(', '[', '|', '\\', '^', '$', '?']) => {
                Self::Pattern(pattern.clone())
            }
            names => Self::Names(names.to_vec()),
        }
    }

    /// Whether a module is named. "all-linear" takes what it is asked about: whoever asks leaves out what is no linear layer.
    pub(crate) fn matches(&self, path: &str, config: &Config) -> Result<bool, Error> {
        Ok(match self {
            Self::AllLinear => true,
            Self::FamilyDefault => config.spec.lora_targets.iter().any(|name| ends(path, name)),
            Self::Names(names) => names.iter().any(|name| ends(path, name)),
            Self::Pattern(pattern) => is_whole_match(pattern, path)?,
        })
    }
}

/// The value of the first pattern that fits the end of `path`, beginning after a dot.
pub(crate) fn fitting<Value: Copy>(patterns: &[(String, Value)], path: &str) -> Result<Option<Value>, Error> {
    for (pattern, value) in patterns {
        if is_match(&format!(r"\A(?:.*\.)?(?:{pattern})\z"), pattern, path)? {
            return Ok(Some(*value));
        }
    }
    Ok(None)
}

/// Whether a regular expression fits the whole of `path`.
pub(crate) fn is_whole_match(pattern: &str, path: &str) -> Result<bool, Error> {
    is_match(&format!(r"\A(?:{pattern})\z"), pattern, path)
}

/// Whether `path` is `name`, or ends with a dot and `name`.
pub(crate) fn ends(path: &str, name: &str) -> bool {
    path.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

pub(crate) fn last_part(path: &str) -> &str {
    path.rsplit('.').next().unwrap_or(path)
}

fn is_match(anchored: &str, pattern: &str, path: &str) -> Result<bool, Error> {
    let wrong = |error: fancy_regex::Error| wrong(pattern, &error);
    let regex = Regex::new(anchored).map_err(wrong)?;
    regex.is_match(path).map_err(wrong)
}

fn wrong(pattern: &str, error: &fancy_regex::Error) -> Error {
    Error::Configuration(format!("the regular expression `{pattern}`: {error}"))
}
