//! A run folder as the stages left it: which files there are, and what they hold.
//!
//! Finding and reading are two steps, because the digests of the files found decide whether reading them is needed at
//! all.

mod cell;
mod corpus;
mod files;
mod scores;

use std::collections::{BTreeMap, BTreeSet};

use contract::progress::Progress;
use contract::{Cell, Error};

pub use cell::{CellData, ENOUGH_CHARS, JudgedSample, RankScores};
pub use corpus::{Corpus, CorpusDocument, HeldOutCounts, TextSizes, TrainingDocuments};
pub use files::{CellFiles, CorpusFiles, RunFiles, WhichCheckpoint};
pub use scores::{DocumentScore, whole_continuations};

/// The contents of a run.
#[derive(Debug)]
pub struct Run {
    /// The checkpoints that were asked, in the order of [`RunFiles::cells`].
    pub cells: Vec<CellData>,
    /// Of each of them the number of the untuned model's on the same training set, or else on another one of the same text; none of
    /// the untuned models themselves, and where there is none.
    pub untuned: Vec<Option<usize>>,
    /// The corpora, by the name of their folder.
    pub corpora: BTreeMap<String, Corpus>,
}

impl Run {
    /// Reads all the files. Generations whose prompt was a canary are left out: canaries are no documents, and are measured by
    /// their exposure.
    ///
    /// # Errors
    /// [`Error::Input`] for a damaged file, for files that do not belong together (a sample without verdict, a document
    /// that the corpus lacks), and for offsets that cut no passage.
    pub fn load(files: &RunFiles) -> Result<Self, Error> {
        let untuned: Vec<Option<usize>> = (0..files.cells.len())
            .map(|index| untuned_of(&files.cells, index))
            .collect();
        let mut tokens = BTreeMap::new();
        for index in untuned.iter().flatten() {
            if !tokens.contains_key(index) {
                tokens.insert(*index, cell::tokens_by_document(&files.cells[*index])?);
            }
        }
        let mut progress = Progress::new("reading", files.cells.len() as u64, "cells");
        let mut cells = Vec::new();
        for (cell, untuned) in files.cells.iter().zip(&untuned) {
            let tokens = untuned.and_then(|index| tokens.get(&index));
            cells.push(CellData::load(cell, tokens)?);
            progress.advance(1, "");
        }
        drop(tokens);
        drop(progress);
        let mut corpora = BTreeMap::new();
        for (name, corpus_files) in &files.corpora {
            let mut wanted: BTreeSet<&str> = BTreeSet::new();
            for cell in cells.iter().filter(|cell| &cell.cell.corpus == name) {
                wanted.extend(cell.documents());
            }
            corpora.insert(name.clone(), Corpus::load(corpus_files, &wanted)?);
        }
        for (cell, cell_files) in cells.iter_mut().zip(&files.cells) {
            let corpus = &corpora[&cell.cell.corpus];
            cell.check(cell_files, corpus)?;
            cell.leave_out_canary_prompts(corpus);
        }
        Ok(Self {
            cells,
            untuned,
            corpora,
        })
    }

    /// The corpus that a cell stands on.
    pub fn corpus_of(&self, cell: &Cell) -> &Corpus {
        &self.corpora[&cell.corpus]
    }
}

fn untuned_of(cells: &[CellFiles], index: usize) -> Option<usize> {
    let cell = &cells[index].cell;
    if cell.mode == "base" {
        return None;
    }
    let candidates = || {
        (0..cells.len()).filter(|&other| {
            let other = &cells[other].cell;
            other.mode == "base" && other.model == cell.model && other.corpus_name == cell.corpus_name
        })
    };
    candidates()
        .find(|&other| cells[other].cell.corpus == cell.corpus)
        .or_else(|| candidates().next())
}
