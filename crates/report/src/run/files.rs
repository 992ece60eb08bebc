//! Which files a run folder has, and the command that makes one that is missing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use contract::{Cell, Error};

/// The files of a run, checked to be there.
#[derive(Debug)]
pub struct RunFiles {
    /// The run folder.
    pub folder: PathBuf,
    /// The cells, by name.
    pub cells: Vec<CellFiles>,
    /// The corpora that the cells stand on, by the name of their folder.
    pub corpora: BTreeMap<String, CorpusFiles>,
}

/// The files of one cell.
#[derive(Debug)]
pub struct CellFiles {
    /// What the cell is.
    pub cell: Cell,
    /// Where that is written.
    pub facts: PathBuf,
    /// The generations.
    pub samples: PathBuf,
    /// The aligned passages.
    pub matches: PathBuf,
    /// The class of each generation.
    pub verdicts: PathBuf,
    /// The scored continuations, where scoring was asked for.
    pub scores: Option<PathBuf>,
    /// The training log; the base model has none.
    pub metrics: Option<PathBuf>,
    /// What the checkpoints that were kept remember, where there are any.
    pub course: Option<PathBuf>,
}

/// The files of one corpus.
#[derive(Debug)]
pub struct CorpusFiles {
    /// The training instances.
    pub train: PathBuf,
    /// The documents kept back.
    pub held_out: PathBuf,
}

impl RunFiles {
    /// Looks for every `cells/*/cell.toml` and the files that belong to it.
    ///
    /// # Errors
    /// [`Error::Input`] for a folder without cells, and for a missing file; the message names the command that makes it.
    pub fn find(folder: &Path) -> Result<Self, Error> {
        let cells = cell_folders(folder)?
            .iter()
            .map(|cell| CellFiles::find(folder, cell))
            .collect::<Result<Vec<_>, _>>()?;
        let mut corpora = BTreeMap::new();
        for cell in &cells {
            let name = &cell.cell.corpus;
            let corpus = folder.join("corpus").join(name);
            let files = CorpusFiles {
                train: corpus.join("train.parquet"),
                held_out: corpus.join("heldout.parquet"),
            };
            let command = format!("dupgen --config {0}/dupgen.toml --out {0}", corpus.display());
            require(&files.train, &command)?;
            require(&files.held_out, &command)?;
            corpora.insert(name.clone(), files);
        }
        Ok(Self {
            folder: folder.to_path_buf(),
            cells,
            corpora,
        })
    }

    /// Every file, with its role: the path inside the run folder.
    pub fn inputs(&self) -> Vec<(String, &Path)> {
        let corpora = self
            .corpora
            .values()
            .flat_map(|corpus| [&corpus.train, &corpus.held_out]);
        let cells = self.cells.iter().flat_map(|cell| {
            [&cell.facts, &cell.samples, &cell.matches, &cell.verdicts]
                .into_iter()
                .chain(&cell.scores)
                .chain(&cell.metrics)
                .chain(&cell.course)
        });
        corpora
            .chain(cells)
            .map(|path| {
                let inside = path.strip_prefix(&self.folder).unwrap_or(path);
                (inside.to_string_lossy().into_owned(), path.as_path())
            })
            .collect()
    }
}

impl CellFiles {
    fn find(run: &Path, folder: &Path) -> Result<Self, Error> {
        let facts = folder.join("cell.toml");
        let cell = Cell::load(&facts)?;
        let file = |name: &str| folder.join(name);
        let present = |name: &str| Some(file(name)).filter(|path| path.exists());
        let corpus = run.join("corpus").join(&cell.corpus);
        let (here, corpus) = (folder.display(), corpus.display());
        require(
            &file("samples.parquet"),
            &format!(
                "extractor --config {here}/extractor.toml --in {corpus} --checkpoint {here}/checkpoint --out {here}"
            ),
        )?;
        let judge = format!(
            "plagiarism --config {here}/plagiarism.toml --in {corpus} --samples {here}/samples.parquet --out {here}"
        );
        require(&file("verdicts.parquet"), &judge)?;
        require(&file("matches.parquet"), &judge)?;
        Ok(Self {
            samples: file("samples.parquet"),
            matches: file("matches.parquet"),
            verdicts: file("verdicts.parquet"),
            scores: present("scores.parquet"),
            metrics: present("metrics.parquet"),
            course: present("course.parquet"),
            facts,
            cell,
        })
    }
}

fn cell_folders(run: &Path) -> Result<Vec<PathBuf>, Error> {
    let cells = run.join("cells");
    let entries = std::fs::read_dir(&cells)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| {
            Error::input(
                &cells,
                format!(
                    "cannot be read: {error}. `plan --config FILE.toml --out {}` makes it",
                    run.display()
                ),
            )
        })?;
    let mut folders: Vec<PathBuf> = entries
        .iter()
        .map(std::fs::DirEntry::path)
        .filter(|path| path.join("cell.toml").exists())
        .collect();
    if folders.is_empty() {
        return Err(Error::input(
            &cells,
            format!(
                "expected a folder with a cell.toml for each cell, found none. `plan --config FILE.toml --out {}` makes them",
                run.display()
            ),
        ));
    }
    folders.sort();
    Ok(folders)
}

fn require(file: &Path, command: &str) -> Result<(), Error> {
    if file.exists() {
        return Ok(());
    }
    Err(Error::input(
        file,
        format!("is missing. Make it with `{command}`, or everything with `make run`"),
    ))
}
