//! Which files a run folder has, and the command that makes one that is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use contract::{Cell, Error};

/// The files of a run, checked to be there.
#[derive(Debug)]
pub struct RunFiles {
    /// The run folder.
    pub folder: PathBuf,
    /// The checkpoints that were asked, by the names of their cells; of a cell's two the best comes first.
    pub cells: Vec<CellFiles>,
    /// The corpora that the cells stand on, by the name of their folder.
    pub corpora: BTreeMap<String, CorpusFiles>,
}

/// Which checkpoint of a training run was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WhichCheckpoint {
    /// The one with the best held-out loss.
    Best,
    /// The end of training.
    Last,
    /// The end of training, which has the best held-out loss too, of this cell as of every other of the run.
    BestAndLast,
}

/// The name in `summary.parquet`, and on labels.
impl fmt::Display for WhichCheckpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Best => "best",
            Self::Last => "last",
            Self::BestAndLast => "best and last",
        })
    }
}

/// The files about one checkpoint of a cell.
#[derive(Debug)]
pub struct CellFiles {
    /// What the cell is.
    pub cell: Cell,
    /// Which of its checkpoints; none where there is only one.
    pub checkpoint: Option<WhichCheckpoint>,
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
    /// Personal details ranked among others; files of before there were any, and of other programs, are none.
    pub details: Option<PathBuf>,
    /// The training log, one for both checkpoints; the base model has none.
    pub metrics: Option<PathBuf>,
    /// What the checkpoints that were kept remember, where there are any.
    pub course: Option<PathBuf>,
    /// The loss of training documents in each form that was tried, where forms were tried.
    pub forms: Option<PathBuf>,
    /// The extractor's configuration, which says what training took loss on; other programs may have none.
    pub extraction: Option<PathBuf>,
}

/// The files of one corpus.
#[derive(Debug)]
pub struct CorpusFiles {
    /// The training instances.
    pub train: PathBuf,
    /// The documents kept back.
    pub held_out: PathBuf,
    /// What reading left out, guessed or changed; other programs' corpora may have none.
    pub facts: Option<PathBuf>,
}

impl RunFiles {
    /// Looks for every `cells/*/cell.toml` and the files that belong to it, those of the best checkpoint in `best/` included.
    ///
    /// # Errors
    /// [`Error::Input`] for a folder without cells, and for a missing file; the message names the command that makes it.
    pub fn find(folder: &Path) -> Result<Self, Error> {
        let mut cells = Vec::new();
        for cell in cell_folders(folder)? {
            cells.extend(CellFiles::find(folder, &cell)?);
        }
        join_best_and_last(&mut cells)?;
        let mut corpora = BTreeMap::new();
        for cell in &cells {
            let name = &cell.cell.corpus;
            let corpus = folder.join("corpus").join(name);
            let files = CorpusFiles {
                train: corpus.join("train.parquet"),
                held_out: corpus.join("heldout.parquet"),
                facts: present(corpus.join("corpus.parquet")),
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
            .flat_map(|corpus| [&corpus.train, &corpus.held_out].into_iter().chain(&corpus.facts));
        let cells = self.cells.iter().flat_map(|cell| {
            [&cell.facts, &cell.samples, &cell.matches, &cell.verdicts]
                .into_iter()
                .chain(&cell.scores)
                .chain(&cell.details)
                .chain(&cell.metrics)
                .chain(&cell.course)
                .chain(&cell.forms)
                .chain(&cell.extraction)
        });
        // The two checkpoints of a cell share some files.
        let files: BTreeSet<&Path> = corpora.chain(cells).map(PathBuf::as_path).collect();
        files
            .into_iter()
            .map(|path| {
                let inside = path.strip_prefix(&self.folder).unwrap_or(path);
                (inside.to_string_lossy().into_owned(), path)
            })
            .collect()
    }
}

impl CellFiles {
    /// The checkpoints of the cell that were asked: the last, and before it the best where `best/` holds any of its files.
    fn find(run: &Path, folder: &Path) -> Result<Vec<Self>, Error> {
        let best = folder.join("best");
        let has_best = ["samples", "scores", "matches", "verdicts"]
            .iter()
            .any(|name| best.join(format!("{name}.parquet")).exists());
        let mut found = Vec::new();
        if has_best {
            found.push(Self::of_checkpoint(
                run,
                folder,
                &best,
                Some(WhichCheckpoint::Best),
            )?);
        }
        let last = has_best.then_some(WhichCheckpoint::Last);
        found.push(Self::of_checkpoint(run, folder, folder, last)?);
        Ok(found)
    }

    /// Whether this checkpoint gave the very generations and scores that another gave, and was judged alike.
    fn says_the_same(&self, other: &Self) -> Result<bool, Error> {
        let answers = |files: &Self| {
            let judged = [&files.samples, &files.matches, &files.verdicts].map(Clone::clone);
            let all = judged.into_iter().chain(files.scores.clone());
            all.map(|path| contract::provenance::digest(&path))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(answers(self)? == answers(other)?)
    }

    /// The files of the checkpoint whose samples lie in `asked`, of the cell in `folder`.
    fn of_checkpoint(
        run: &Path,
        folder: &Path,
        asked: &Path,
        checkpoint: Option<WhichCheckpoint>,
    ) -> Result<Self, Error> {
        let facts = folder.join("cell.toml");
        let cell = Cell::load(&facts)?;
        let file = |name: &str| asked.join(name);
        let corpus = run.join("corpus").join(&cell.corpus);
        let best = match checkpoint {
            Some(WhichCheckpoint::Best) => format!(" --best {}", asked.join("checkpoint").display()),
            _ => String::new(),
        };
        let (here, asked, corpus) = (folder.display(), asked.display(), corpus.display());
        require(
            &file("samples.parquet"),
            &format!(
                "extractor --config {here}/extractor.toml --in {corpus} --checkpoint {here}/checkpoint{best} --out {here}"
            ),
        )?;
        let judge = format!(
            "plagiarism --config {here}/plagiarism.toml --in {corpus} --samples {asked}/samples.parquet --out {asked}"
        );
        require(&file("verdicts.parquet"), &judge)?;
        require(&file("matches.parquet"), &judge)?;
        Ok(Self {
            samples: file("samples.parquet"),
            matches: file("matches.parquet"),
            verdicts: file("verdicts.parquet"),
            scores: present(file("scores.parquet")),
            details: present(file("details.parquet")),
            metrics: present(folder.join("metrics.parquet")),
            course: present(folder.join("course.parquet")),
            forms: present(file("forms.parquet")),
            extraction: present(folder.join("extractor.toml")),
            facts,
            cell,
            checkpoint,
        })
    }
}

/// Where the best checkpoint of every cell is its last, one stands for both: the same figures twice would tell nothing.
fn join_best_and_last(cells: &mut Vec<CellFiles>) -> Result<(), Error> {
    for pair in cells.windows(2) {
        let [best, last] = pair else { continue };
        if best.checkpoint == Some(WhichCheckpoint::Best) && !best.says_the_same(last)? {
            return Ok(());
        }
    }
    cells.retain(|cell| cell.checkpoint != Some(WhichCheckpoint::Best));
    for cell in cells {
        if cell.checkpoint == Some(WhichCheckpoint::Last) {
            cell.checkpoint = Some(WhichCheckpoint::BestAndLast);
        }
    }
    Ok(())
}

fn present(path: PathBuf) -> Option<PathBuf> {
    Some(path).filter(|path| path.exists())
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
