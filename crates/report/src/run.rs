//! A run folder as the stages left it: which files there are, and what they hold.
//!
//! Finding and reading are two steps, because the digests of the files found decide whether reading them is needed at
//! all.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use contract::records::{
    DocumentKind, HeldOutDocument, PassageMatch, Sample, SampleVerdict, Score, Split, TrainingInstance,
    TrainingMetric,
};
use contract::{Cell, Error, Provenance, parquet};

use crate::scores::DocumentScore;

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

/// The contents of a run.
#[derive(Debug)]
pub struct Run {
    /// The cells, by name.
    pub cells: Vec<CellData>,
    /// The corpora, by the name of their folder.
    pub corpora: BTreeMap<String, Corpus>,
}

/// What was measured in one cell.
#[derive(Debug)]
pub struct CellData {
    /// What the cell is.
    pub cell: Cell,
    /// The generations, each with its verdict, in the order of their numbers.
    pub samples: Vec<JudgedSample>,
    /// What the scoring pass found, per document and prefix.
    pub scores: Option<Vec<DocumentScore>>,
    /// The training log.
    pub metrics: Option<Vec<TrainingMetric>>,
    /// Where the samples, scores and verdicts came from, by file name.
    pub origins: BTreeMap<String, Provenance>,
}

/// A generation with its verdict and the passages that it shares with documents.
#[derive(Debug, Clone)]
pub struct JudgedSample {
    /// Number of the sample.
    pub id: i64,
    /// The prompt's document.
    pub doc_id: Option<String>,
    /// Where that document stands.
    pub split: Split,
    /// Its copies in the training set.
    pub copies: i32,
    /// Name of the decoding strategy.
    pub strategy: String,
    /// Whether the strategy takes the most probable token.
    pub greedy: bool,
    /// The prompt.
    pub prompt: String,
    /// What the model wrote.
    pub generation: String,
    /// What the detector says.
    pub verdict: SampleVerdict,
    /// Aligned passages, in the order of the file.
    pub matches: Vec<PassageMatch>,
}

/// The documents of a corpus that the cells speak of, and how many there are in all.
#[derive(Debug, Default)]
pub struct Corpus {
    /// Documents by identity.
    pub documents: BTreeMap<String, CorpusDocument>,
    /// Distinct training documents, canaries aside, by number of copies.
    pub training_documents: BTreeMap<i32, usize>,
    /// Planted canaries.
    pub canaries: usize,
    /// Documents kept back.
    pub held_out_documents: usize,
}

/// One document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorpusDocument {
    /// The whole text.
    pub text: String,
    /// Document, canary, or reference of a canary.
    pub kind: DocumentKind,
    /// Where it stands.
    pub split: Split,
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

impl CellData {
    fn load(files: &CellFiles) -> Result<Self, Error> {
        let origin = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            Some((name?, parquet::provenance(path)?))
        };
        let parquet_files = [
            Some(&files.samples),
            files.scores.as_ref(),
            Some(&files.verdicts),
            files.metrics.as_ref(),
        ];
        Ok(Self {
            cell: files.cell.clone(),
            samples: judged_samples(files)?,
            scores: files.scores.as_deref().map(read_scores).transpose()?,
            metrics: files.metrics.as_deref().map(parquet::read_all).transpose()?,
            origins: parquet_files.into_iter().flatten().filter_map(origin).collect(),
        })
    }

    /// The identities of all documents that the cell's files name.
    fn documents(&self) -> impl Iterator<Item = &str> {
        let of_samples = self.samples.iter().flat_map(|sample| {
            sample
                .doc_id
                .as_deref()
                .into_iter()
                .chain(sample.matches.iter().map(|found| found.doc_id.as_str()))
        });
        let of_scores = self.scores.iter().flatten().map(|score| score.doc_id.as_str());
        of_samples.chain(of_scores)
    }

    fn check(&self, files: &CellFiles, corpus: &Corpus) -> Result<(), Error> {
        let unknown = |file: &Path, what: String, doc_id: &str| {
            Err(Error::input(
                file,
                format!(
                    "{what}: document {doc_id} is in neither train.parquet nor heldout.parquet of corpus {}. \
                     The files come from different corpora; `make run` makes them again",
                    self.cell.corpus
                ),
            ))
        };
        for sample in &self.samples {
            if let Some(doc_id) = sample
                .doc_id
                .as_deref()
                .filter(|&doc_id| !corpus.documents.contains_key(doc_id))
            {
                return unknown(&files.samples, format!("sample {}", sample.id), doc_id);
            }
            let generation = sample.generation.chars().count();
            for found in &sample.matches {
                let Some(document) = corpus.documents.get(&found.doc_id) else {
                    return unknown(&files.matches, format!("sample {}", sample.id), &found.doc_id);
                };
                let sides = [
                    ("generation", found.gen_start, found.gen_end, generation),
                    (
                        "document",
                        found.doc_start,
                        found.doc_end,
                        document.text.chars().count(),
                    ),
                ];
                for (side, start, end, length) in sides {
                    if start < 0 || start > end || usize::try_from(end).is_ok_and(|end| end > length) {
                        return Err(Error::input(
                            &files.matches,
                            format!(
                                "sample {}: passage {start}..{end} does not lie in the {side} of {length} characters",
                                sample.id
                            ),
                        ));
                    }
                }
            }
        }
        for score in self.scores.iter().flatten() {
            if let (false, Some(file)) = (corpus.documents.contains_key(&score.doc_id), &files.scores) {
                return unknown(file, "a score".to_owned(), &score.doc_id);
            }
        }
        Ok(())
    }
}

fn judged_samples(files: &CellFiles) -> Result<Vec<JudgedSample>, Error> {
    let mut verdicts: BTreeMap<i64, SampleVerdict> = BTreeMap::new();
    for batch in parquet::Reader::<SampleVerdict>::open(&files.verdicts)? {
        verdicts.extend(batch?.into_iter().map(|verdict| (verdict.sample_id, verdict)));
    }
    let mut matches: BTreeMap<i64, Vec<PassageMatch>> = BTreeMap::new();
    for batch in parquet::Reader::<PassageMatch>::open(&files.matches)? {
        for found in batch? {
            matches.entry(found.sample_id).or_default().push(found);
        }
    }
    let apart = |problem: String| {
        Error::input(
            &files.verdicts,
            format!(
                "{problem}: the two files come from different runs. `plagiarism --force`, or `make run`, makes it again"
            ),
        )
    };
    let mut samples = Vec::new();
    for batch in parquet::Reader::<Sample>::open(&files.samples)? {
        for sample in batch? {
            let id = sample.sample_id;
            let Some(verdict) = verdicts.remove(&id) else {
                return Err(apart(format!("no verdict on sample {id} of samples.parquet")));
            };
            samples.push(JudgedSample {
                id,
                doc_id: sample.doc_id,
                split: sample.split,
                copies: sample.copies,
                greedy: sample.temperature == 0.0,
                strategy: sample.strategy,
                prompt: sample.prompt,
                generation: sample.generation,
                verdict,
                matches: matches.remove(&id).unwrap_or_default(),
            });
        }
    }
    if let Some(id) = verdicts.keys().chain(matches.keys()).next() {
        return Err(apart(format!(
            "samples.parquet has no sample {id} that a verdict or match is about"
        )));
    }
    samples.sort_by_key(|sample| sample.id);
    Ok(samples)
}

fn read_scores(path: &Path) -> Result<Vec<DocumentScore>, Error> {
    let mut scores = Vec::new();
    for batch in parquet::Reader::<Score>::open(path)? {
        for score in batch? {
            let reduced = DocumentScore::of(&score)
                .map_err(|error| Error::input(path, format!("document {}: {error}", score.doc_id)))?;
            scores.extend(reduced);
        }
    }
    Ok(scores)
}

impl Corpus {
    /// Streams the two files, keeping the text of the `wanted` documents only.
    fn load(files: &CorpusFiles, wanted: &BTreeSet<&str>) -> Result<Self, Error> {
        let mut corpus = Self::default();
        for batch in parquet::Reader::<TrainingInstance>::open(&files.train)? {
            for instance in batch?.into_iter().filter(|instance| instance.copy == 0) {
                match instance.kind {
                    DocumentKind::Document => {
                        *corpus.training_documents.entry(instance.copies).or_default() += 1;
                    }
                    DocumentKind::Canary | DocumentKind::CanaryReference => corpus.canaries += 1,
                }
                if wanted.contains(instance.doc_id.as_str()) {
                    let document = CorpusDocument {
                        text: instance.text,
                        kind: instance.kind,
                        split: Split::Train,
                    };
                    corpus.documents.insert(instance.doc_id, document);
                }
            }
        }
        for batch in parquet::Reader::<HeldOutDocument>::open(&files.held_out)? {
            for held_out in batch? {
                corpus.held_out_documents += usize::from(held_out.kind == DocumentKind::Document);
                if wanted.contains(held_out.doc_id.as_str()) {
                    let document = CorpusDocument {
                        text: held_out.text,
                        kind: held_out.kind,
                        split: Split::Heldout,
                    };
                    corpus.documents.insert(held_out.doc_id, document);
                }
            }
        }
        Ok(corpus)
    }
}
