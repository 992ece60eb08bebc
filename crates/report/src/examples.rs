//! Passages to look at: what the model wrote beside where it comes from.

use std::collections::BTreeSet;
use std::ops::Range;

use contract::records::{PassageMatch, Split, Verdict};

use crate::run::{CellData, Corpus, JudgedSample, WhichCheckpoint};

/// Characters of context kept on either side of the shared part.
const CONTEXT: usize = 160;

/// The longest shared part that is shown whole; of a longer one, this much from its start.
const LONGEST: usize = 900;

/// One shared passage with its surroundings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The cell's folder, down to that of the checkpoint.
    pub cell: String,
    /// Number of the sample in it.
    pub sample_id: i64,
    /// Name of the decoding strategy.
    pub strategy: String,
    /// The class.
    pub kind: Verdict,
    /// Where the prompt came from.
    pub prompt_split: Split,
    /// Whether the passage stands in the very document that the prompt was taken from.
    pub own_document: bool,
    /// The document in which the passage stands.
    pub doc_id: String,
    /// Training documents that hold the passage, where that was counted.
    pub document_frequency: Option<i32>,
    /// Kinds of personal details in it.
    pub personal_details: Vec<String>,
    /// Copies of the document in which the passage stands in the training set.
    pub copies: i32,
    /// The prompt.
    pub prompt: String,
    /// The generation, shared parts marked.
    pub generation: Excerpt,
    /// The document, shared parts marked.
    pub document: Excerpt,
}

/// A part of a text, in pieces that are shared or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// The pieces in order, each with whether it is shared.
    pub pieces: Vec<(String, bool)>,
    /// Whether text was left out before the first piece.
    pub cut_before: bool,
    /// Whether text was left out after the last.
    pub cut_after: bool,
}

/// The longest passages of a class in some cells: prompts from training documents first, no document twice.
pub fn examples<'a>(
    cells: impl IntoIterator<Item = (&'a CellData, &'a Corpus)>,
    kind: Verdict,
    limit: usize,
) -> Vec<Example> {
    let mut found: Vec<(&CellData, &Corpus, &JudgedSample, &PassageMatch)> = Vec::new();
    for (cell, corpus) in cells {
        for sample in cell
            .samples
            .iter()
            .filter(|sample| sample.verdict.verdict == kind)
        {
            let longest = sample.passages().max_by_key(|passage| {
                (
                    passage.gen_end - passage.gen_start,
                    std::cmp::Reverse(passage.gen_start),
                )
            });
            found.extend(longest.map(|passage| (cell, corpus, sample, passage)));
        }
    }
    found.sort_by_key(|(cell, _, sample, passage)| {
        let length = passage.gen_end - passage.gen_start;
        (
            sample.split != Split::Train,
            std::cmp::Reverse(length),
            cell.cell.name.clone(),
            sample.id,
        )
    });
    let mut documents = BTreeSet::new();
    found
        .into_iter()
        .filter(|(.., passage)| documents.insert(passage.doc_id.as_str()))
        .take(limit)
        .filter_map(|(cell, corpus, sample, passage)| example(cell, corpus, sample, passage))
        .collect()
}

fn example(
    cell: &CellData,
    corpus: &Corpus,
    sample: &JudgedSample,
    passage: &PassageMatch,
) -> Option<Example> {
    let document = corpus.documents.get(&passage.doc_id)?;
    let together: Vec<&PassageMatch> = sample
        .trained_passages()
        .filter(|other| other.doc_id == passage.doc_id && other.kind == passage.kind)
        .collect();
    let spans = |start: fn(&PassageMatch) -> i32, end: fn(&PassageMatch) -> i32| -> Vec<Range<usize>> {
        together
            .iter()
            .map(|passage| start(passage) as usize..end(passage) as usize)
            .collect()
    };
    let in_generation = spans(|passage| passage.gen_start, |passage| passage.gen_end);
    let in_document = spans(|passage| passage.doc_start, |passage| passage.doc_end);
    Some(Example {
        cell: match cell.checkpoint {
            Some(WhichCheckpoint::Best) => format!("{}/best", cell.cell.name),
            Some(WhichCheckpoint::Last) | None => cell.cell.name.clone(),
        },
        sample_id: sample.id,
        strategy: sample.strategy.clone(),
        kind: sample.verdict.verdict,
        prompt_split: sample.split,
        own_document: sample.doc_id.as_ref() == Some(&passage.doc_id),
        doc_id: passage.doc_id.clone(),
        document_frequency: passage.document_frequency,
        personal_details: passage.personal_details.clone().unwrap_or_default(),
        copies: document.copies,
        prompt: sample.prompt.clone(),
        generation: Excerpt::around(
            &sample.generation,
            passage.gen_start as usize..passage.gen_end as usize,
            &in_generation,
        ),
        document: Excerpt::around(
            &document.text,
            passage.doc_start as usize..passage.doc_end as usize,
            &in_document,
        ),
    })
}

impl Excerpt {
    /// The text around `focus`, with what lies in `shared` marked; ranges count characters.
    pub fn around(text: &str, focus: Range<usize>, shared: &[Range<usize>]) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let start = focus.start.saturating_sub(CONTEXT);
        let focus_end = focus.end.min(focus.start + LONGEST);
        let end = (focus_end + CONTEXT).min(characters.len());
        let mut pieces: Vec<(String, bool)> = Vec::new();
        for (index, &character) in characters.iter().enumerate().take(end).skip(start) {
            let marked = shared.iter().any(|span| span.contains(&index));
            match pieces.last_mut() {
                Some((piece, same)) if *same == marked => piece.push(character),
                _ => pieces.push((character.to_string(), marked)),
            }
        }
        Self {
            pieces,
            cut_before: start > 0,
            cut_after: end < characters.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_cut_the_passage_by_characters_not_bytes() {
        let excerpt = Excerpt::around("Ää—the fox—öß", 3..10, &[3..10]);
        let pieces: Vec<(&str, bool)> = excerpt
            .pieces
            .iter()
            .map(|(piece, marked)| (piece.as_str(), *marked))
            .collect();
        assert_eq!(pieces, [("Ää—", false), ("the fox", true), ("—öß", false)]);
        assert!(!excerpt.cut_before && !excerpt.cut_after);
    }

    #[test]
    fn far_text_is_cut_and_overlapping_marks_join() {
        let text = format!("{}SHARED{}", "a".repeat(200), "z".repeat(161));
        let excerpt = Excerpt::around(&text, 200..206, &[200..204, 202..206]);
        assert!(excerpt.cut_before && excerpt.cut_after);
        let lengths: Vec<(usize, bool)> = excerpt
            .pieces
            .iter()
            .map(|(piece, marked)| (piece.len(), *marked))
            .collect();
        assert_eq!(lengths, [(160, false), (6, true), (160, false)]);
        assert_eq!(excerpt.pieces[1].0, "SHARED");
    }
}
