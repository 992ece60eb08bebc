//! Answers of several authors to one question: on one subject, and yet independent of each other.

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::path::Path;

use contract::parquet;
use contract::pipeline::{Detection, DetectorPreset};
use contract::records::{Column, ColumnType, Record, Verdict};
use plagiarism::IndexCache;
use plagiarism::alignment::{DetectorPolicy, PairDetector, Side};
use plagiarism::candidates::exact::ExactSearch;
use plagiarism::corpus::sentences::{SentenceTable, SplitText};
use plagiarism::corpus::sources::Document;
use plagiarism::paraphrase::confirm::Confirmer;
use plagiarism::paraphrase::encoder;
use plagiarism::paraphrase::similarity::Vectors;
use serde::{Deserialize, Serialize};
use text_align::sentences::split;
use unicode_segmentation::UnicodeSegmentation;

/// Shorter answers say too little to be alike.
const MIN_WORDS: usize = 60;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct QuestionAndAnswer {
    doc_id: String,
    question: String,
    answer: String,
}

impl Record for QuestionAndAnswer {
    const COLUMNS: &'static [Column] = &[column("doc_id"), column("question"), column("answer")];
}

const fn column(name: &'static str) -> Column {
    Column {
        name,
        kind: ColumnType::Text,
        nullable: false,
    }
}

/// Two answers to one question, by their places.
struct AnswerPair {
    left: usize,
    right: usize,
    group: Group,
}

/// By the longest run of words that two answers share, whatever their case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    /// No run of five.
    Independent,
    /// One of five to seven: a set phrase, or a trace of a common source.
    SetPhrase,
    /// One of eight or more: copied, from each other or from a third.
    Copied,
}

impl Group {
    fn of(left: &str, right: &str) -> Self {
        let shares = |length: usize| !runs(left, length).is_disjoint(&runs(right, length));
        match (shares(5), shares(8)) {
            (false, _) => Self::Independent,
            (true, false) => Self::SetPhrase,
            (true, true) => Self::Copied,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Independent => "no run of 5 words in common",
            Self::SetPhrase => "runs of 5 to 7 words",
            Self::Copied => "a run of 8 words or more",
        }
    }
}

/// Prints the share of pairs in which each preset finds anything, and which classes. A pair is two answers of different sources
/// (what `doc_id` has before its first slash) to one question, each cut after the last sentence that ends within `max_words`.
pub(crate) fn score(
    file: &Path,
    max_words: usize,
    encoder_folder: &Path,
    presets: &[(&str, DetectorPreset)],
) -> Result<(), Box<dyn Error>> {
    let mut texts = Vec::new();
    let mut by_question: BTreeMap<String, Vec<(String, usize)>> = BTreeMap::new();
    for answer in parquet::read_all::<QuestionAndAnswer>(file)? {
        let text = cut(&answer.answer, max_words);
        if text.unicode_words().count() >= MIN_WORDS {
            let source = answer.doc_id.split('/').next().unwrap_or_default().to_owned();
            let question = answer.question.trim().to_lowercase();
            by_question
                .entry(question)
                .or_default()
                .push((source, texts.len()));
            texts.push(text);
        }
    }
    let mut pairs = Vec::new();
    for answers in by_question.values() {
        for (place, (source, left)) in answers.iter().enumerate() {
            for (other, right) in &answers[place + 1..] {
                if source != other {
                    let group = Group::of(&texts[*left], &texts[*right]);
                    pairs.push(AnswerPair {
                        left: *left,
                        right: *right,
                        group,
                    });
                }
            }
        }
    }
    let compared: HashSet<usize> = pairs.iter().flat_map(|pair| [pair.left, pair.right]).collect();
    let mut table = SentenceTable::default();
    let of_text = |(number, text): (usize, &String)| {
        if compared.contains(&number) {
            table.read_one(text)
        } else {
            SplitText::default()
        }
    };
    let split: Vec<SplitText> = texts.iter().enumerate().map(of_text).collect();
    let vectors = encoder::encode(encoder_folder, table.texts())?;

    println!(
        "\n{}: {} pairs of answers of at most {max_words} words to one question\n",
        file.display(),
        pairs.len()
    );
    println!(
        "| preset | answers with | pairs | found | verbatim | paraphrase | idea |\n|---|---|---|---|---|---|---|"
    );
    for &(name, preset) in presets {
        let classes = classes(preset, &pairs, &texts, &split, &table, &vectors)?;
        for group in [Group::Independent, Group::SetPhrase, Group::Copied] {
            let of_group: Vec<Verdict> = pairs
                .iter()
                .zip(&classes)
                .filter(|(pair, _)| pair.group == group)
                .map(|(_, class)| *class)
                .collect();
            let count = |class: Verdict| of_group.iter().filter(|&&found| found == class).count();
            let found = of_group.len() - count(Verdict::None);
            println!(
                "| {name} | {} | {} | {:.1}% | {} | {} | {} |",
                group.name(),
                of_group.len(),
                100.0 * found as f64 / of_group.len().max(1) as f64,
                count(Verdict::Verbatim),
                count(Verdict::Paraphrase),
                count(Verdict::Idea)
            );
        }
    }
    Ok(())
}

/// The class of each pair, the first answer being the generation and the second one the document.
fn classes(
    preset: DetectorPreset,
    pairs: &[AnswerPair],
    texts: &[String],
    split: &[SplitText],
    table: &SentenceTable,
    vectors: &Vectors,
) -> Result<Vec<Verdict>, Box<dyn Error>> {
    let detection = Detection {
        preset,
        ..Detection::default()
    };
    let policy = DetectorPolicy::of(&detection);
    let detector = PairDetector::new(&detection, Confirmer::new(&detection, table, vectors))?;
    let class = |pair: &AnswerPair| -> Result<Verdict, Box<dyn Error>> {
        let (generation, document) = (&texts[pair.left], &texts[pair.right]);
        if policy.strongest_over_all && has_copy(generation, document, policy.parameters.verbatim_minimum)? {
            return Ok(Verdict::Verbatim);
        }
        let prepared = (
            split[pair.left].prepare(generation)?,
            split[pair.right].prepare(document)?,
        );
        let generation = Side {
            text: generation,
            prepared: &prepared.0,
            split: &split[pair.left],
        };
        let document = Side {
            text: document,
            prepared: &prepared.1,
            split: &split[pair.right],
        };
        let finding = detector.compare(generation, 0, document);
        Ok(finding.map_or(Verdict::None, |finding| finding.class))
    };
    pairs.iter().map(class).collect()
}

/// Whether a passage of the verbatim length occurs in both texts letter for letter.
fn has_copy(generation: &str, document: &str, minimum: usize) -> Result<bool, Box<dyn Error>> {
    let documents = [Document {
        doc_id: String::new(),
        text: document.to_owned(),
    }];
    let search = ExactSearch::new(&documents, &IndexCache::default())?;
    let shared = search.shared(generation, minimum);
    Ok(!shared.passages(None, minimum).is_empty())
}

/// The first sentences of a text, as many as have `max_words` words together, and the first one in any case.
fn cut(text: &str, max_words: usize) -> String {
    let (mut words, mut end) = (0, 0);
    for sentence in split(text) {
        let sentence_words = sentence.cut(text).unwrap_or_default().unicode_words().count();
        if end > 0 && words + sentence_words > max_words {
            break;
        }
        words += sentence_words;
        end = sentence.end;
    }
    text.chars().take(end).collect()
}

fn runs(text: &str, length: usize) -> HashSet<Vec<String>> {
    let words: Vec<String> = text.unicode_words().map(str::to_lowercase).collect();
    words.windows(length).map(<[String]>::to_vec).collect()
}
