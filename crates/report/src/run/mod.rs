//! A run folder as the stages left it: which files there are, and what they hold.
//!
//! Finding and reading are two steps, because the digests of the files found decide whether reading them is needed at
//! all.

mod cell;
mod corpus;
mod files;

use std::collections::{BTreeMap, BTreeSet};

use contract::{Cell, Error};

pub use cell::{CellData, JudgedSample, RankScores};
pub use corpus::{Corpus, CorpusDocument};
pub use files::{CellFiles, CorpusFiles, RunFiles};

/// The contents of a run.
#[derive(Debug)]
pub struct Run {
    /// The cells, by name.
    pub cells: Vec<CellData>,
    /// The corpora, by the name of their folder.
    pub corpora: BTreeMap<String, Corpus>,
}

impl Run {
    /// Reads all the files.
    ///
    /// # Errors
    /// [`Error::Input`] for a damaged file, for files that do not belong together (a sample without verdict, a document
    /// that the corpus lacks), and for offsets that cut no passage.
    pub fn load(files: &RunFiles) -> Result<Self, Error> {
        let cells = files
            .cells
            .iter()
            .map(CellData::load)
            .collect::<Result<Vec<_>, _>>()?;
        let mut corpora = BTreeMap::new();
        for (name, corpus_files) in &files.corpora {
            let mut wanted: BTreeSet<&str> = BTreeSet::new();
            for cell in cells.iter().filter(|cell| &cell.cell.corpus == name) {
                wanted.extend(cell.documents());
            }
            corpora.insert(name.clone(), Corpus::load(corpus_files, &wanted)?);
        }
        for (cell, cell_files) in cells.iter().zip(&files.cells) {
            cell.check(cell_files, &corpora[&cell.cell.corpus])?;
        }
        Ok(Self { cells, corpora })
    }

    /// The corpus that a cell stands on.
    pub fn corpus_of(&self, cell: &Cell) -> &Corpus {
        &self.corpora[&cell.corpus]
    }
}
