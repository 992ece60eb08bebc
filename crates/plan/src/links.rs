//! Paths as they occur in Make rules. A name that make or the shell would read as something else (blanks, brackets, colons) is
//! reached through a link in the run folder, so that users may name their files as they like.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use contract::Error;

use crate::paths::{fits_make, for_make};

/// The folder of the links, below the run folder.
const FOLDER: &str = "inputs";

/// The links that the rules of one run need.
#[derive(Debug)]
pub(crate) struct Links<'a> {
    run: &'a Path,
    /// Where each link leads, by its name.
    links: BTreeMap<String, PathBuf>,
}

impl<'a> Links<'a> {
    /// Links below the run folder `run`, which must itself have a name that make can carry.
    pub(crate) fn new(run: &'a Path) -> Self {
        Self {
            run,
            links: BTreeMap::new(),
        }
    }

    /// The path as it occurs in a rule: itself, or a link to it.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the run folder's own name cannot occur in a rule, [`Error::Input`] where the current folder is
    /// gone.
    pub(crate) fn for_make(&mut self, path: &Path) -> Result<String, Error> {
        if fits_make(path) {
            return for_make(path);
        }
        let target = std::path::absolute(path).map_err(|error| Error::input(path, error))?;
        let known = self.links.iter().find(|(_, known)| **known == target);
        let name = match known {
            Some((name, _)) => name.clone(),
            None => {
                let name = format!("{}-{}", self.links.len(), safe_name(path));
                self.links.insert(name.clone(), target);
                name
            }
        };
        for_make(&self.run.join(FOLDER).join(name))
    }

    /// The file that a path of a rule leads to: itself, or where its link leads.
    pub(crate) fn target(&self, path: &str) -> PathBuf {
        let path = PathBuf::from(path);
        let name = path.strip_prefix(self.run.join(FOLDER)).ok();
        let linked = name.and_then(|name| self.links.get(&*name.to_string_lossy()));
        linked.cloned().unwrap_or(path)
    }

    /// Makes the links, and removes those of earlier rules.
    ///
    /// # Errors
    /// [`Error::Output`] where one cannot be made.
    pub(crate) fn create(&self) -> Result<(), Error> {
        let folder = self.run.join(FOLDER);
        for old in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_current = self
                .links
                .get(&*old.file_name().to_string_lossy())
                .is_some_and(|target| fs::read_link(old.path()).is_ok_and(|found| found == *target));
            if !is_current {
                fs::remove_file(old.path()).map_err(|error| Error::output(old.path(), error))?;
            }
        }
        for (name, target) in &self.links {
            let link = folder.join(name);
            if fs::symlink_metadata(&link).is_err() {
                fs::create_dir_all(&folder).map_err(|error| Error::output(&folder, error))?;
                std::os::unix::fs::symlink(target, &link).map_err(|error| Error::output(&link, error))?;
            }
        }
        Ok(())
    }
}

/// Characters of a path's name that its link has: with its number it must be no longer than a name may be.
const MAX_NAME: usize = 100;

/// The last part of a path in letters that make carries, of a long one its end.
fn safe_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let left_out = name.chars().count().saturating_sub(MAX_NAME);
    name.chars()
        .skip(left_out)
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || "._-".contains(letter) {
                letter
            } else {
                '_'
            }
        })
        .collect()
}
