//! What is gathered about a generation before it is gathered, and over which sentences.

use std::collections::HashSet;
use std::fmt;

use contract::Error;
use contract::pipeline::{Candidates, Detection, SimilaritySearch};

use crate::alignment::Finding;
use crate::corpus::sentences::{SentenceTable, SplitText};
use crate::corpus::sources::{Document, Sources};
use crate::paraphrase::similarity::distinct;
use xxhash_rust::xxh3::xxh3_64;

/// Most distinct sentences of training and held-out documents that `detection.similarity = "auto"` compares with: a few
/// minutes of encoding on two cores, once a corpus.
pub const MAX_SENTENCES: usize = 50_000;

/// Documents read between two looks at how many sentences there are.
const TOGETHER: usize = 1024;

/// Which sentences generations are compared with by meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All sentences of the corpus.
    Exhaustive,
    /// For every generation one pair of sentences a side: the one that shares most words, of the sentences of the generation
    /// and those of its candidate documents. So similarities are lower bounds of the exhaustive ones, for training and
    /// held-out documents alike; and paraphrases that share no words with their source go unseen.
    Nominated,
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str(match self {
            Self::Exhaustive => "similarity with every sentence of the corpus",
            Self::Nominated => {
                "similarity with the sentences nominated from candidate documents: at least so much"
            }
        })
    }
}

/// What a generation shares with documents, and how near it comes to sentences.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What it has in common with single training documents, in the order of its candidates.
    pub training: Vec<Finding>,
    /// The same with held-out documents: the control.
    pub held_out: Vec<Finding>,
    /// Cosines of its sentences.
    pub similarity: Similarity,
}

/// The largest cosines of a generation's sentences, those that repeat the prompt aside; 1 where one occurs word for word. Nothing
/// for a generation without a sentence of [`MIN_WORDS`](crate::corpus::sentences::MIN_WORDS) words, and for a side without one.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Similarity {
    /// With sentences of the training set.
    pub training: Option<f32>,
    /// With sentences of the prompt's own continuation.
    pub own: Option<f32>,
    /// With sentences of the held-out set, over as many as `comparable`.
    pub held_out: Option<f32>,
    /// With as many sentences of the training set as of the held-out set.
    pub comparable: Option<f32>,
}

/// Documents of one side whose sentences stand for it beside the other, smaller or equal side.
#[derive(Debug, Clone, Default)]
pub struct Subset {
    /// The documents.
    pub documents: HashSet<usize>,
    /// Their distinct sentences by number, at most as many as the smaller side has.
    pub sentences: Vec<usize>,
}

/// As many sentences of either side: all of the side that has fewer, and of the other those of documents in an order that
/// depends on their identity alone.
pub fn subsets(sources: &Sources, sentences: &CorpusSentences) -> [Subset; 2] {
    let sides = [
        (&sources.training, &sentences.training),
        (&sources.held_out, &sentences.held_out),
    ];
    let most = sides.map(|(_, split)| distinct(split).len());
    let most = most[0].min(most[1]);
    sides.map(|(documents, split)| {
        let mut subset = Subset::default();
        let mut seen = HashSet::new();
        for document in by_digest(documents) {
            if seen.len() == most {
                break;
            }
            subset.documents.insert(document);
            for sentence in &split[document].sentences {
                if seen.len() < most {
                    seen.insert(sentence.number);
                }
            }
        }
        subset.sentences = seen.into_iter().collect();
        subset.sentences.sort_unstable();
        subset
    })
}

/// As many characters of either side, where its sentences are not counted.
pub fn subsets_by_length(sources: &Sources) -> [HashSet<usize>; 2] {
    let sides = [&sources.training, &sources.held_out];
    let length = |documents: &[Document]| {
        documents
            .iter()
            .map(|document| document.text.len())
            .sum::<usize>()
    };
    let most = length(sides[0]).min(length(sides[1]));
    sides.map(|documents| {
        let mut taken = 0;
        let mut order = by_digest(documents).into_iter();
        let mut next = || {
            let document = order.next().filter(|_| taken < most)?;
            taken += documents[document].text.len();
            Some(document)
        };
        std::iter::from_fn(&mut next).collect()
    })
}

/// Documents in the order of a digest of their identity.
fn by_digest(documents: &[Document]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..documents.len()).collect();
    order.sort_by_cached_key(|&document| xxh3_64(documents[document].doc_id.as_bytes()));
    order
}

/// All sentences of a corpus.
#[derive(Debug, Clone, Default)]
pub struct CorpusSentences {
    /// The distinct ones; those of training documents were numbered first.
    pub table: SentenceTable,
    /// Sentences of each training document.
    pub training: Vec<SplitText>,
    /// Sentences of each held-out document.
    pub held_out: Vec<SplitText>,
}

/// All sentences of the corpus where `detection` compares with all of them, and `None` where it doesn't.
///
/// `auto` does so up to [`MAX_SENTENCES`], and where candidates are asked for that only the nearest sentences give.
///
/// # Errors
/// [`Error::Configuration`] where the settings contradict each other.
pub fn exhaustive(detection: &Detection, sources: &Sources) -> Result<Option<CorpusSentences>, Error> {
    let asks_nearest = detection
        .candidates
        .as_ref()
        .is_some_and(|ways| ways.contains(&Candidates::Nearest));
    let most = match detection.similarity {
        SimilaritySearch::Candidates if asks_nearest => {
            return Err(Error::Configuration(
                "detection.candidates: nearest needs every sentence of the corpus, and detection.similarity = \"candidates\" \
                 compares with a few. Leave one of them out"
                    .to_owned(),
            ));
        }
        SimilaritySearch::Candidates => return Ok(None),
        SimilaritySearch::Auto if !asks_nearest => MAX_SENTENCES,
        SimilaritySearch::Auto | SimilaritySearch::Exhaustive => usize::MAX,
    };
    Ok(CorpusSentences::read(sources, most))
}

impl CorpusSentences {
    /// The sentences of all documents; `None` as soon as there are more than `most`.
    fn read(sources: &Sources, most: usize) -> Option<Self> {
        let mut sentences = Self::default();
        let (table, training, held_out) = (
            &mut sentences.table,
            &mut sentences.training,
            &mut sentences.held_out,
        );
        for (documents, split) in [(&sources.training, training), (&sources.held_out, held_out)] {
            for together in documents.chunks(TOGETHER) {
                split.extend(table.read(&texts(together)));
                if table.texts().len() > most {
                    return None;
                }
            }
        }
        Some(sentences)
    }
}

fn texts(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| &*document.text).collect()
}
