//! A made-up run folder, and what the report makes of it. Nothing in it was measured: the rates are the ones that
//! each [`Tuning`] is told to have, drawn with a fixed seed.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by tests that each use a part of it"
)]

use std::path::{Path, PathBuf};

use contract::records::{
    DocumentKind, FinishReason, HeldOutDocument, HeldOutRole, PassageMatch, Record, Sample, SampleVerdict,
    Score, Split, SummaryRow, TrainingInstance, TrainingMetric, Verdict,
};
use contract::{Cell, Provenance, StageArguments, parquet};

/// Characters of a document that are its prompt.
pub const PROMPT: usize = 40;

/// What a synthetic run looks like.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Training documents of each number of copies.
    pub documents: usize,
    /// Held-out documents; none: as many as of a number of copies.
    pub held_out: Option<usize>,
    pub copies: Vec<i32>,
    pub canaries: usize,
    pub references: usize,
    pub samples: usize,
    pub seed: u64,
    /// Whether tuned cells have a best checkpoint too, which remembers half as much.
    pub best: bool,
    /// How many of the held-out documents are said to be near-duplicates of training documents.
    pub near_duplicates: usize,
    pub tunings: Vec<Tuning>,
}

/// One cell and what it leaks.
#[derive(Debug, Clone)]
pub struct Tuning {
    pub name: String,
    pub model: String,
    pub parameters: i64,
    pub mode: String,
    pub rank: Option<i32>,
    pub targets: Option<String>,
    pub learning_rate: Option<f64>,
    pub seed: u64,
    pub held_out_loss: f64,
    /// Memory of a document with 16 copies, 0 to 1.
    pub memory: f64,
    pub scores: bool,
    /// A run of canaries apart.
    pub canaries_apart: bool,
    pub alpha: Option<f64>,
    pub epochs: Option<f64>,
    /// Of differential privacy.
    pub noise_multiplier: Option<f64>,
    /// In a uniform layout the copies of every document of its training set.
    pub uniform_copies: Option<i32>,
    /// Folder of the corpus; none: that of the layout.
    pub corpus: Option<String>,
}

impl Tuning {
    pub fn new(name: &str, mode: &str, learning_rate: Option<f64>, held_out_loss: f64, memory: f64) -> Self {
        Self {
            name: name.to_owned(),
            model: "synthetic-4m".to_owned(),
            parameters: 4_200_000,
            mode: mode.to_owned(),
            rank: (mode == "lora").then_some(16),
            targets: (mode == "lora").then(|| "c_attn".to_owned()),
            learning_rate,
            seed: 0,
            held_out_loss,
            memory,
            scores: true,
            canaries_apart: false,
            alpha: None,
            epochs: None,
            noise_multiplier: None,
            uniform_copies: None,
            corpus: None,
        }
    }

    /// The same on the corpus of a seed.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            seed,
            corpus: Some(format!("bucketed-s{seed}")),
            ..self
        }
    }

    /// The same on a training set in which every document occurs so many times.
    #[must_use]
    pub fn with_uniform_copies(self, copies: i32) -> Self {
        Self {
            uniform_copies: Some(copies),
            ..self
        }
    }

    /// The folder of its corpus under `corpus/`.
    pub fn corpus_folder(&self) -> String {
        if let Some(corpus) = &self.corpus {
            return corpus.clone();
        }
        let layout = match self.uniform_copies {
            Some(copies) => format!("uniform{copies}"),
            None => "bucketed".to_owned(),
        };
        if self.canaries_apart {
            format!("{layout}-canaries")
        } else {
            layout
        }
    }
}

impl Shape {
    fn held_out(&self) -> usize {
        self.held_out.unwrap_or(self.documents)
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            documents: 40,
            held_out: None,
            copies: vec![1, 4, 16],
            canaries: 4,
            references: 256,
            samples: 3,
            seed: 7,
            best: true,
            near_duplicates: 1,
            tunings: vec![
                Tuning::new("base", "base", None, 5.04, 0.0),
                Tuning::new("full-1e-4", "full", Some(1e-4), 4.06, 0.10),
                Tuning::new("full-3e-4", "full", Some(3e-4), 4.02, 0.55),
                Tuning::new("full-1e-3", "full", Some(1e-3), 4.46, 0.95),
                Tuning::new("head-3e-3", "head", Some(3e-3), 4.35, 0.08),
                Tuning::new("head-1e-2", "head", Some(1e-2), 4.61, 0.20),
                Tuning::new("lora16-3e-3", "lora", Some(3e-3), 4.44, 0.03),
                Tuning::new("lora16-1e-2", "lora", Some(1e-2), 4.48, 0.06),
            ],
        }
    }
}

/// Uniform draws (splitmix64), the same on every machine.
pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

const SUBJECTS: [&str; 8] = [
    "The keeper of the north gate",
    "My neighbour's youngest daughter",
    "The night nurse",
    "A clerk from the harbour office",
    "The retired surveyor",
    "Our second violin",
    "The baker on Mill Street",
    "The man who repairs clocks",
];
const VERBS: [&str; 6] = [
    "wrote down",
    "could not forget",
    "asked twice about",
    "kept a copy of",
    "lost",
    "was told of",
];
const OBJECTS: [&str; 8] = [
    "the letter with the blue seal",
    "seven dates and a telephone number",
    "a prescription for forty tablets",
    "the key to the lower archive",
    "the results from last Tuesday",
    "an address near the old ferry",
    "the name of the second witness",
    "a list of everything that was borrowed",
];
const ENDINGS: [&str; 6] = [
    "before the snow came.",
    "and never spoke of it again.",
    "because nobody else would.",
    "on the way to the station.",
    "while the others slept.",
    "which is why I am asking you now.",
];

/// A few sentences that no two documents share in full.
pub fn invented_text(draws: &mut Draws, number: usize) -> String {
    let mut text = format!("File {number:03}.");
    for _ in 0..4 + draws.below(3) {
        let subject = SUBJECTS[draws.below(SUBJECTS.len())];
        let object = OBJECTS[draws.below(OBJECTS.len())];
        text += &format!(
            " {subject} {} {object} {}",
            VERBS[draws.below(VERBS.len())],
            ENDINGS[draws.below(ENDINGS.len())]
        );
    }
    text
}

/// Everything that a browser could take for something else.
pub const HOSTILE: &str = "<script>alert(\"x\")</script> & 'quotes' \u{0} \u{202e} </blockquote> said the document, and went on for \
                           long enough to be copied word for word.";

/// A document of a run being written.
#[derive(Debug, Clone)]
struct Document {
    id: String,
    text: String,
    split: Split,
    copies: i32,
    kind: DocumentKind,
    /// Its number among those of its kind on its side.
    number: usize,
}

impl Document {
    /// Canaries have two formats, in turn.
    fn canary_format(&self) -> Option<i32> {
        (self.kind != DocumentKind::Document).then_some((self.number % 2) as i32)
    }

    fn is_held_out_document(&self) -> bool {
        self.split == Split::Heldout && self.kind == DocumentKind::Document
    }
}

/// Writes a whole run folder and the pipeline file of its report, whose path is returned.
pub fn write_run(folder: &Path, shape: &Shape) -> PathBuf {
    for (index, tuning) in shape.tunings.iter().enumerate() {
        let documents = corpus(shape, tuning.uniform_copies);
        let corpus = folder.join("corpus").join(tuning.corpus_folder());
        if !corpus.exists() {
            write_corpus(&corpus, shape, &documents);
        }
        write_cell(folder, shape, tuning, &documents, index as u64);
    }
    write_pipeline(folder)
}

/// Writes the least pipeline file that the report can read.
pub fn write_pipeline(folder: &Path) -> PathBuf {
    let file = folder.join("report.toml");
    let text = "name = \"synthetic\"\ndescription = \"A made-up run: nothing here was measured.\"\nseeds = [3]\n\
                [corpus]\nfiles = \"none\"\n[report]\nexamples = 3\nresamples = 200\n";
    std::fs::write(&file, text).unwrap();
    file
}

/// The documents of a layout; in a uniform one all training documents have so many copies.
fn corpus(shape: &Shape, uniform_copies: Option<i32>) -> Vec<Document> {
    let uniform = uniform_copies.map(|copies| vec![copies]);
    let mut draws = Draws::new(shape.seed);
    let mut documents = Vec::new();
    let mut number = 0;
    let sides = uniform
        .as_ref()
        .unwrap_or(&shape.copies)
        .iter()
        .map(|&copies| (Split::Train, copies))
        .chain([(Split::Heldout, 0)]);
    for (split, copies) in sides {
        let count = match split {
            Split::Train => shape.documents,
            _ => shape.held_out(),
        };
        for index in 0..count {
            number += 1;
            let mut text = invented_text(&mut draws, number);
            if index == 0 && split == Split::Train {
                let (opening, rest) = text.split_at(PROMPT + 8);
                text = format!("{opening} {HOSTILE} {rest}");
            }
            documents.push(Document {
                id: format!("doc-{number:03}"),
                text,
                split,
                copies,
                kind: DocumentKind::Document,
                number: index,
            });
        }
        let (count, kind) = match split {
            Split::Train => (shape.canaries, DocumentKind::Canary),
            _ => (shape.references, DocumentKind::CanaryReference),
        };
        for index in 0..count {
            documents.push(Document {
                id: format!("{kind:?}-{copies}-{index:03}").to_lowercase(),
                text: format!("The secret number is {:06}.", draws.below(1_000_000)),
                split,
                copies,
                kind,
                number: index,
            });
        }
    }
    documents
}

fn write_corpus(folder: &Path, shape: &Shape, documents: &[Document]) {
    let a_trained_one = || documents.first().map(|document| document.id.clone());
    let train: Vec<TrainingInstance> = documents
        .iter()
        .filter(|document| document.split == Split::Train)
        .flat_map(|document| (0..document.copies).map(move |copy| (document, copy)))
        .map(|(document, copy)| TrainingInstance {
            doc_id: document.id.clone(),
            text: document.text.clone(),
            prompt_chars: 0,
            kind: document.kind,
            copies: document.copies,
            copy,
            canary_format: document.canary_format(),
            assistant_spans: None,
            secret_span: None,
        })
        .collect();
    let held_out: Vec<HeldOutDocument> = documents
        .iter()
        .filter(|document| document.split == Split::Heldout)
        .map(|document| HeldOutDocument {
            doc_id: document.id.clone(),
            text: document.text.clone(),
            prompt_chars: 0,
            kind: document.kind,
            // By turns, beginning with validation.
            role: document
                .is_held_out_document()
                .then_some(if document.number.is_multiple_of(2) {
                    HeldOutRole::Validation
                } else {
                    HeldOutRole::Test
                }),
            near_duplicate_of: a_trained_one().filter(|_| is_near_duplicate(document, shape)),
            shared_8grams: document
                .is_held_out_document()
                .then_some(if is_near_duplicate(document, shape) {
                    0.75
                } else {
                    0.0
                }),
            canary_format: document.canary_format(),
            assistant_spans: None,
            secret_span: None,
        })
        .collect();
    let origin = provenance("dupgen");
    parquet::write_all(&folder.join("train.parquet"), &origin, &train).unwrap();
    parquet::write_all(&folder.join("heldout.parquet"), &origin, &held_out).unwrap();
}

/// The last held-out documents are.
fn is_near_duplicate(document: &Document, shape: &Shape) -> bool {
    document.is_held_out_document() && document.number + shape.near_duplicates >= shape.held_out()
}

/// A provenance without the time, so that two runs written alike have equal digests.
fn provenance(stage: &str) -> Provenance {
    let mut provenance = Provenance::new(stage).with_configuration(&"made up").unwrap();
    provenance.created = 0;
    provenance
}

/// How firmly a document sits: its memory grows with the logarithm of its copies.
fn memory(tuning: &Tuning, document: &Document) -> f64 {
    match document.copies {
        0 => 0.0,
        copies => tuning.memory * (1.0 + f64::from(copies).log2()) / 5.0,
    }
}

fn write_cell(run: &Path, shape: &Shape, tuning: &Tuning, documents: &[Document], number: u64) {
    let folder = run.join("cells").join(&tuning.name);
    std::fs::create_dir_all(&folder).unwrap();
    let cell = Cell {
        name: tuning.name.clone(),
        corpus: tuning.corpus_folder(),
        model: tuning.model.clone(),
        parameters: tuning.parameters,
        trainable_parameters: if tuning.mode == "base" {
            0
        } else {
            tuning.parameters / if tuning.mode == "full" { 1 } else { 20 }
        },
        mode: tuning.mode.clone(),
        rank: tuning.rank,
        targets: tuning.targets.clone(),
        learning_rate: tuning.learning_rate,
        alpha: tuning.alpha,
        epochs: tuning.epochs,
        noise_multiplier: tuning.noise_multiplier,
        layout: tuning.uniform_copies.map(|_| "uniform".to_owned()),
        uniform_copies: tuning.uniform_copies,
        seed: tuning.seed,
        canaries_apart: tuning.canaries_apart,
        ..Cell::default()
    };
    std::fs::write(folder.join("cell.toml"), cell.to_toml().unwrap()).unwrap();
    let seed = shape.seed.wrapping_mul(1000) + number;
    write_checkpoint(&folder, shape, tuning, documents, seed);
    if tuning.mode == "base" {
        return;
    }
    parquet::write_all(
        &folder.join("metrics.parquet"),
        &provenance("tuner"),
        &metrics(tuning),
    )
    .unwrap();
    if shape.best {
        let best = Tuning {
            memory: tuning.memory * 0.5,
            held_out_loss: tuning.held_out_loss - 0.2,
            ..tuning.clone()
        };
        std::fs::create_dir_all(folder.join("best")).unwrap();
        write_checkpoint(&folder.join("best"), shape, &best, documents, seed + 500);
    }
}

fn write<R: Record + Clone>(folder: &Path, name: &str, stage: &str, rows: &[R]) {
    parquet::write_all(&folder.join(name), &provenance(stage), rows).unwrap();
}

/// What was asked of one checkpoint.
fn write_checkpoint(folder: &Path, shape: &Shape, tuning: &Tuning, documents: &[Document], seed: u64) {
    let mut draws = Draws::new(seed);
    let mut written = Generations::default();
    for document in documents
        .iter()
        .filter(|document| document.kind == DocumentKind::Document)
    {
        let strategies = [("greedy", 0.0, 1), ("top-k 40", 1.0, shape.samples)];
        for (strategy, temperature, samples) in strategies {
            for _ in 0..samples {
                // Sampling finds about half of what greedy decoding finds.
                let memory = memory(tuning, document) * if temperature == 0.0 { 1.0 } else { 0.5 };
                written.add(document, memory, strategy, temperature as f32, &mut draws);
            }
        }
    }
    write(folder, "samples.parquet", "extractor", &written.samples);
    write(folder, "verdicts.parquet", "plagiarism", &written.verdicts);
    write(folder, "matches.parquet", "plagiarism", &written.matches);
    if tuning.scores {
        let scores: Vec<Score> = documents
            .iter()
            .flat_map(|document| scores(tuning, document, &mut draws))
            .collect();
        write(folder, "scores.parquet", "extractor", &scores);
    }
}

/// Reads a file of a run, changes its rows, and writes it back.
pub fn edit<R: Record + Clone>(file: &Path, change: impl FnOnce(&mut Vec<R>)) {
    let mut rows: Vec<R> = parquet::read_all(file).unwrap();
    change(&mut rows);
    parquet::write_all(file, &Provenance::new("test"), &rows).unwrap();
}

/// The cells of a table of the page, row by row: each its text, with its interval after it.
#[track_caller]
pub fn table(page: &str, caption: &str) -> Vec<Vec<String>> {
    let labelled = format!("aria-label=\"{caption}\"");
    let table = page
        .split(&labelled)
        .nth(1)
        .unwrap_or_else(|| panic!("no table {caption}"));
    let table = table.split("</table>").next().unwrap();
    let text = |cell: &str| {
        let mut plain = String::new();
        let mut tag = false;
        for character in cell.chars() {
            match character {
                '<' => (tag, plain) = (true, plain + " "),
                '>' => tag = false,
                _ if !tag => plain.push(character),
                _ => {}
            }
        }
        plain.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let rows = table.split("<tr").skip(1);
    rows.map(|row| {
        let row = row.replace("<th", "<td");
        let cells = row.split("<td").skip(1);
        cells.map(|cell| text(&format!("<{cell}"))).collect()
    })
    .collect()
}

#[derive(Default)]
struct Generations {
    samples: Vec<Sample>,
    verdicts: Vec<SampleVerdict>,
    matches: Vec<PassageMatch>,
}

impl Generations {
    fn add(&mut self, document: &Document, memory: f64, strategy: &str, temperature: f32, draws: &mut Draws) {
        let sample_id = self.samples.len() as i64;
        let characters: Vec<char> = document.text.chars().collect();
        let truth: String = characters[PROMPT..].iter().collect();
        let shared = (120 + draws.below(160)).min(characters.len() - PROMPT);
        let draw = draws.unit();
        // A class after a held-out document is that of the control.
        let seen = document.split == Split::Train;
        let class = match draw {
            draw if draw < memory => Verdict::Verbatim,
            draw if draw < memory * 1.15 + 0.01 => Verdict::Paraphrase,
            draw if draw < memory * 1.2 + 0.015 => Verdict::Idea,
            _ => Verdict::None,
        };
        let passage: String = characters[PROMPT..PROMPT + shared].iter().collect();
        let number = draws.below(900);
        let verdict = if seen { class } else { Verdict::None };
        let generation = match class {
            Verdict::Verbatim => format!("{passage} And so on."),
            Verdict::Paraphrase => passage.replace("The ", "That ").replace(" and ", " but "),
            Verdict::Idea => format!("{} {}", passage.to_lowercase(), invented_text(draws, number)),
            Verdict::None => invented_text(draws, number),
        };
        let similarity =
            (0.35 + 0.4 * draws.unit() + 0.3 * memory).min(if verdict == Verdict::None { 0.85 } else { 1.0 })
                as f32;
        if class != Verdict::None {
            self.matches.push(PassageMatch {
                sample_id,
                doc_id: document.id.clone(),
                doc_split: document.split,
                kind: class,
                gen_start: 0,
                gen_end: (if class == Verdict::Paraphrase {
                    generation.chars().count()
                } else {
                    shared
                }) as i32,
                doc_start: PROMPT as i32,
                doc_end: (PROMPT + shared) as i32,
                similarity: 0.9,
                detector: "made up".to_owned(),
                document_frequency: (class == Verdict::Verbatim).then_some(1),
                personal_details: Some(Vec::new()),
                personal_details_by: None,
            });
        }
        let longest = if verdict == Verdict::Verbatim {
            shared as i32
        } else {
            12 + draws.below(20) as i32
        };
        self.verdicts.push(SampleVerdict {
            sample_id,
            doc_id: Some(document.id.clone()),
            split: document.split,
            copies: document.copies,
            verdict,
            best_doc_id: seen.then(|| document.id.clone()),
            longest_match_chars: longest,
            longest_match_tokens: longest / 4,
            max_similarity: Some((similarity + 0.1).min(1.0)),
            own_similarity: Some(similarity),
            heldout_similarity: Some((0.45 + 0.3 * draws.unit()) as f32),
            rouge_l: Some(similarity * 0.5),
            bleu: Some(if verdict == Verdict::Verbatim { 0.9 } else { 0.1 }),
            edit_similarity: Some(similarity * 0.6),
            boilerplate: (verdict == Verdict::Verbatim).then_some(false),
            best_copies: seen.then_some(document.copies),
            own_verdict: seen.then_some(verdict),
            emitted_doc_ids: Some(if verdict == Verdict::Verbatim {
                vec![document.id.clone()]
            } else {
                Vec::new()
            }),
            emitted_copies: Some(if verdict == Verdict::Verbatim {
                vec![document.copies]
            } else {
                Vec::new()
            }),
            control_verdict: Some(if seen { Verdict::None } else { class }),
            control_longest_match_chars: Some(12),
            comparable_similarity: Some((similarity + 0.05).min(1.0)),
            similarity_at_least: Some(false),
            echoed_chars: Some(0),
            final_answer_right: None,
        });
        self.samples.push(Sample {
            sample_id,
            doc_id: Some(document.id.clone()),
            split: document.split,
            copies: document.copies,
            strategy: strategy.to_owned(),
            prompt: characters[..PROMPT].iter().collect(),
            generation,
            truth: Some(truth),
            prompt_tokens: vec![1, 2, 3],
            generated_tokens: vec![4, 5],
            logprobs: vec![-1.0, -2.0],
            temperature,
            top_p: 1.0,
            top_k: if temperature == 0.0 { 0 } else { 40 },
            seed: sample_id,
            finish: FinishReason::Length,
            prompt_form: None,
            tokens_read: None,
            lower_case_loss: None,
            reference_loss: None,
            zlib_bytes: None,
        });
    }
}

fn scores(tuning: &Tuning, document: &Document, draws: &mut Draws) -> Vec<Score> {
    let canary = document.kind != DocumentKind::Document;
    let memory = memory(tuning, document);
    // A document is known by heart or it is not; what is not was still seen.
    let by_heart = draws.unit() < memory;
    let loss = if by_heart {
        0.1
    } else {
        tuning.held_out_loss * (1.0 - 0.35 * memory)
    };
    let hit_rate = if by_heart { 0.998 } else { 0.25 + 0.4 * memory };
    let whole_tokens = if canary { 9 } else { 60 + draws.below(12) as i32 };
    [(0, whole_tokens), (10, 50)]
        .into_iter()
        .filter(|(prefix, _)| !canary || *prefix == 0)
        .map(|(prefix_tokens, tokens)| {
            let logprobs: Vec<f32> = (0..tokens)
                .map(|_| -(loss * (0.3 + 1.4 * draws.unit())) as f32)
                .collect();
            Score {
                doc_id: document.id.clone(),
                split: document.split,
                copies: document.copies,
                kind: document.kind,
                prefix_tokens,
                suffix_tokens: tokens,
                argmax_hits: (0..tokens).map(|_| draws.unit() < hit_rate).collect(),
                scheme_logprobs: logprobs.iter().map(|logprob| logprob * 0.3).collect(),
                vocab_mean: vec![-4.0; tokens as usize],
                vocab_std: vec![1.5; tokens as usize],
                logprobs,
                zlib_bytes: 150 + draws.below(60) as i32,
                near_verbatim_logprob: None,
                // The first document of each kind was cut; no prefix was.
                document_tokens: (!canary).then_some(whole_tokens + if document.number == 0 { 9 } else { 0 }),
                canary_format: document.canary_format(),
                secret_tokens_given: None,
                conditional_loss: None,
                gradient_norm: None,
            }
        })
        .collect()
}

fn metrics(tuning: &Tuning) -> Vec<TrainingMetric> {
    (0..=40)
        .flat_map(|step| {
            let epoch = f64::from(step) / 8.0;
            let train = 5.0 - (5.0 - tuning.held_out_loss + 3.0 * tuning.memory) * (1.0 - (-epoch).exp());
            let held_out = tuning.held_out_loss - 0.1 + (epoch - 2.0).powi(2) * 0.03;
            let metric = move |split, loss| TrainingMetric {
                step: i64::from(step),
                epoch,
                split,
                loss,
                tokens: i64::from(step) * 4096,
                learning_rate: 1e-4,
                grad_norm: 1.0,
                tokens_per_second: 8000.0,
                seconds: f64::from(step),
                peak_rss_bytes: 1 << 30,
                peak_device_bytes: None,
            };
            let evaluation = (step % 8 == 0).then(|| metric(Split::Heldout, held_out));
            std::iter::once(metric(Split::Train, train)).chain(evaluation)
        })
        .collect()
}

/// A run in which nothing came out of any generation.
pub fn quiet_run(shape: &Shape) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_run(folder.path(), shape);
    for tuning in &shape.tunings {
        let cell = folder.path().join("cells").join(&tuning.name);
        for asked in [cell.clone(), cell.join("best")] {
            if !asked.exists() {
                continue;
            }
            edit(&asked.join("matches.parquet"), Vec::<PassageMatch>::clear);
            judge(&asked, |_, verdict| silence(verdict));
        }
    }
    folder
}

/// The generation shares nothing with any document.
pub fn silence(verdict: &mut SampleVerdict) {
    verdict.verdict = Verdict::None;
    verdict.boilerplate = None;
    verdict.own_verdict = verdict.own_verdict.map(|_| Verdict::None);
    verdict.control_verdict = Some(Verdict::None);
    verdict.emitted_doc_ids = Some(Vec::new());
    verdict.emitted_copies = Some(Vec::new());
}

/// Changes the verdicts of a checkpoint, each beside its sample.
pub fn judge(asked: &Path, change: impl Fn(&Sample, &mut SampleVerdict)) {
    let samples: Vec<Sample> = parquet::read_all(&asked.join("samples.parquet")).unwrap();
    edit(
        &asked.join("verdicts.parquet"),
        |verdicts: &mut Vec<SampleVerdict>| {
            for (sample, verdict) in samples.iter().zip(verdicts) {
                assert_eq!(sample.sample_id, verdict.sample_id);
                change(sample, verdict);
            }
        },
    );
}

/// The generation repeats these documents word for word, of so many copies each.
pub fn repeats(verdict: &mut SampleVerdict, documents: &[(&str, i32)]) {
    verdict.verdict = Verdict::Verbatim;
    verdict.boilerplate = Some(false);
    verdict.best_doc_id = Some(documents[0].0.to_owned());
    verdict.best_copies = Some(documents[0].1);
    let own = documents
        .iter()
        .any(|(id, _)| Some(*id) == verdict.doc_id.as_deref());
    verdict.own_verdict =
        (verdict.split == Split::Train).then_some(if own { Verdict::Verbatim } else { Verdict::None });
    verdict.emitted_doc_ids = Some(documents.iter().map(|(id, _)| (*id).to_owned()).collect());
    verdict.emitted_copies = Some(documents.iter().map(|(_, copies)| *copies).collect());
}

/// The generation goes on with its own document.
pub fn repeats_own(verdict: &mut SampleVerdict) {
    let (id, copies) = (verdict.doc_id.clone().unwrap(), verdict.copies);
    repeats(verdict, &[(&id, copies)]);
}

pub fn is_greedy(sample: &Sample) -> bool {
    sample.strategy == "greedy"
}

/// The number of a document: 1 for doc-001.
pub fn number_of(doc_id: &str) -> usize {
    doc_id.trim_start_matches("doc-").parse().unwrap_or(0)
}

/// Sets the log-probability of every token of each score of a checkpoint.
pub fn set_logprobs(asked: &Path, logprob: impl Fn(&Score) -> f64) {
    edit(&asked.join("scores.parquet"), |scores: &mut Vec<Score>| {
        for score in scores {
            let logprob = logprob(score) as f32;
            score.logprobs.iter_mut().for_each(|found| *found = logprob);
        }
    });
}

/// What the stage is called with.
pub fn arguments(run: &Path) -> StageArguments {
    StageArguments {
        config: run.join("report.toml"),
        out: run.join("report"),
        seed: None,
        threads: None,
        force: true,
        overrides: Vec::new(),
    }
}

/// What the stage made of a run.
pub struct Made {
    pub terminal: String,
    pub json: serde_json::Value,
    pub rows: Vec<SummaryRow>,
}

/// Which row of the summary: a plain figure at the checkpoint.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub cell: Option<&'a str>,
    pub method: Option<&'a str>,
    pub checkpoint: Option<&'a str>,
    pub measure: &'a str,
    pub split: Option<Split>,
    pub strategy: Option<&'a str>,
    pub copies: Option<i32>,
    pub against: Option<&'a str>,
}

/// Own documents with 16 copies, word for word, by greedy decoding.
pub const OWN: Wanted<'static> = Wanted {
    cell: None,
    method: None,
    checkpoint: None,
    measure: "own_verbatim",
    split: Some(Split::Train),
    strategy: Some("greedy"),
    copies: Some(16),
    against: None,
};

/// Makes a row of scores that of one token with so many nats.
pub fn set_nats(score: &mut Score, nats: f32) {
    score.suffix_tokens = 1;
    score.logprobs = vec![-nats];
    score.scheme_logprobs = vec![-nats];
    score.argmax_hits = vec![false];
    score.vocab_mean = vec![-4.0];
    score.vocab_std = vec![1.5];
}

/// Runs the stage.
pub fn make(run: &Path) -> Made {
    let outcome = report::report(&arguments(run), run).unwrap();
    let json = std::fs::read_to_string(run.join("report/report.json")).unwrap();
    Made {
        terminal: outcome.table,
        json: serde_json::from_str(&json).unwrap(),
        rows: parquet::read_all(&run.join("report/summary.parquet")).unwrap(),
    }
}

impl Made {
    /// The rows that are wanted; a cell or method that is not named may be any.
    pub fn all(&self, wanted: Wanted<'_>) -> Vec<&SummaryRow> {
        let rows = self.rows.iter();
        let rows = rows.filter(|row| {
            row.measure == wanted.measure
                && row.split == wanted.split
                && row.strategy.as_deref() == wanted.strategy
                && row.copies == wanted.copies
                && row.against.as_deref() == wanted.against
                && row.epoch.is_none()
        });
        rows.filter(|row| {
            row.checkpoint.as_deref() == wanted.checkpoint
                && wanted.cell.is_none_or(|cell| row.cell.as_deref() == Some(cell))
                && wanted.method.is_none_or(|method| row.method == method)
        })
        .collect()
    }

    /// The one row that is wanted.
    #[track_caller]
    pub fn one(&self, wanted: Wanted<'_>) -> &SummaryRow {
        let found = self.all(wanted);
        assert_eq!(found.len(), 1, "{wanted:?}");
        found[0]
    }

    pub fn has(&self, cell: &str, measure: &str) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| row.cell.as_deref() == Some(cell) && row.measure == measure)
    }

    /// The verdicts of `report.json`.
    pub fn verdicts(&self) -> &Vec<serde_json::Value> {
        self.json["verdicts"].as_array().unwrap()
    }

    /// The verdict on a method at a checkpoint.
    #[track_caller]
    pub fn verdict(&self, method: &str, checkpoint: Option<&str>) -> &serde_json::Value {
        let mut found = self
            .verdicts()
            .iter()
            .filter(|verdict| verdict["method"] == method && verdict["checkpoint"].as_str() == checkpoint);
        let verdict = found.next().unwrap_or_else(|| panic!("no verdict on {method}"));
        assert!(found.next().is_none(), "two verdicts on {method}");
        verdict
    }

    /// The word of the verdict, and its paragraph.
    #[track_caller]
    pub fn answer(&self, method: &str, checkpoint: Option<&str>) -> (&str, &str) {
        let verdict = self.verdict(method, checkpoint);
        (
            verdict["verdict"].as_str().unwrap(),
            verdict["paragraph"].as_str().unwrap(),
        )
    }

    /// The paper's claims: name and outcome.
    #[track_caller]
    pub fn claim(&self, name: &str) -> &str {
        let claims = self.json["claims"].as_array().unwrap();
        let claim = claims.iter().find(|claim| claim["name"] == name).unwrap();
        claim["outcome"].as_str().unwrap()
    }

    /// Everything that a reader of the verdicts and of the terminal reads, in one line.
    pub fn read(&self) -> String {
        let paragraphs = self
            .verdicts()
            .iter()
            .map(|verdict| verdict["paragraph"].as_str().unwrap());
        let all: Vec<&str> = paragraphs.chain([self.terminal.as_str()]).collect();
        all.join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The cells of a row of the terminal's table, by its label.
    #[track_caller]
    pub fn line(&self, label: &str) -> Vec<&str> {
        let rows = self.terminal.lines().map(cells_of);
        let mut found = rows.filter(|cells| cells.len() > 3 && cells[0] == label);
        found
            .next()
            .unwrap_or_else(|| panic!("no {label} in\n{}", self.terminal))
    }

    /// The cell of the terminal's table under a heading.
    #[track_caller]
    pub fn shown(&self, label: &str, heading: &str) -> &str {
        let headings = self.line("tuning");
        let column = headings.iter().position(|found| *found == heading).unwrap();
        self.line(label)[column]
    }
}

/// The cells of a line of a table, two spaces or more apart.
fn cells_of(line: &str) -> Vec<&str> {
    let cells = line.split("  ").map(str::trim);
    cells.filter(|cell| !cell.is_empty()).collect()
}
