//! Ranked candidates: BM25 over words, by tantivy.

use std::collections::BTreeMap;

use tantivy::collector::TopDocs;
use tantivy::directory::RamDirectory;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::tokenizer::TextAnalyzer;
use tantivy::{Index, IndexReader, ReloadPolicy, Searcher, TantivyDocument, Term};

use crate::IndexError;
use crate::stop_words::is_stop_word;

/// Room for tantivy's first hash tables, bytes. They grow with the corpus.
const WRITER_MEMORY: usize = 15_000_000;

/// A document that a text may come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Index of the document.
    pub document: usize,
    /// BM25 score, over 0; comparable only within one query.
    pub score: f32,
}

/// Ranks the documents of a corpus by how well their words agree with a text.
///
/// Words are runs of letters and digits, lower case, not stemmed; words of 40 bytes or more are left out. The score is
/// BM25 with k₁ = 1.2 and b = 0.75:
///
/// ```text
/// score(d) = Σ over words w of the text, stop words left out, repetitions counted:
///            ln(1 + (N − df + 0.5) / (df + 0.5)) · tf · (k₁ + 1) / (tf + k₁ · (1 − b + b · |d| / mean |d|))
/// ```
///
/// with N documents, df of them holding w, tf times in d, and |d| the words of d, which tantivy rounds down by at most an
/// eighth (exact up to 40).
pub struct CandidateIndex {
    searcher: Searcher,
    analyzer: TextAnalyzer,
    text: Field,
}

impl CandidateIndex {
    /// Indexes `documents`, in memory.
    ///
    /// # Errors
    /// [`IndexError::Candidates`] if tantivy fails.
    pub fn build(documents: &[&str]) -> Result<Self, IndexError> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs);
        let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));

        // One segment, written on this thread: tantivy's own document numbers then are the indices of `documents`, and ties
        // cannot depend on how threads and merges happened to fall.
        let mut writer = Index::builder()
            .schema(schema.build())
            .single_segment_index_writer::<TantivyDocument>(RamDirectory::create(), WRITER_MEMORY)?;
        for document in documents {
            let mut row = TantivyDocument::new();
            row.add_text(text, document);
            writer.add_document(row)?;
        }
        let index = writer.finalize()?;

        let analyzer = index.tokenizer_for_field(text)?;
        let reader: IndexReader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()?;
        Ok(Self {
            searcher: reader.searcher(),
            analyzer,
            text,
        })
    }

    /// The best `limit` documents for `text`, best first, equal scores by index. Documents that share no word with it other
    /// than stop words are not among them, so there may be fewer, or none. Any text is a valid query: it has no syntax.
    ///
    /// # Errors
    /// [`IndexError::Candidates`] if tantivy fails.
    pub fn candidates(&self, text: &str, limit: usize) -> Result<Vec<Candidate>, IndexError> {
        let words = self.query_words(text);
        if words.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let clauses = words
            .iter()
            .map(|(word, &repetitions)| (Occur::Should, self.clause(word, repetitions)));
        let query = BooleanQuery::new(clauses.collect());
        let best = self
            .searcher
            .search(&query, &TopDocs::with_limit(limit).order_by_score())?;
        let mut candidates: Vec<Candidate> = best
            .into_iter()
            .map(|(score, address)| Candidate {
                document: address.doc_id as usize,
                score,
            })
            .collect();
        candidates.sort_by(|left, right| {
            right
                .score
                .total_cmp(&left.score)
                .then(left.document.cmp(&right.document))
        });
        Ok(candidates)
    }

    /// The words of `text` without stop words, and how often each stands there.
    fn query_words(&self, text: &str) -> BTreeMap<String, u16> {
        let mut words = BTreeMap::new();
        self.analyzer.clone().token_stream(text).process(&mut |token| {
            if !is_stop_word(&token.text) {
                let repetitions: &mut u16 = words.entry(token.text.clone()).or_default();
                *repetitions = repetitions.saturating_add(1);
            }
        });
        words
    }

    fn clause(&self, word: &str, repetitions: u16) -> Box<dyn Query> {
        let query = TermQuery::new(
            Term::from_field_text(self.text, word),
            IndexRecordOption::WithFreqs,
        );
        Box::new(BoostQuery::new(Box::new(query), f32::from(repetitions)))
    }
}
