//! What anybody can tell without the model: are training and held-out documents of different kinds?
//!
//! Membership inference compares training documents with held-out ones. Where the two differ by their subject or their date, a score that
//! distinguishes them need not have found membership (Duan et al. 2024, arXiv 2402.07841; Meeus et al. 2024, arXiv 2406.17975). So the
//! same documents are distinguished by their words alone, by naive Bayes, and no membership is claimed that does not go beyond that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contract::records::Split;

use super::membership::is_non_member;
use crate::read::{CellData, Corpus};

/// Parts that documents are divided into; each is scored by what the others say.
const PARTS: usize = 5;

/// The scores of the members and non-members of a corpus that any of its cells scored whole.
pub(super) fn of_corpus<'run>(
    cells: impl Iterator<Item = &'run CellData>,
    corpus: &'run Corpus,
) -> BTreeMap<&'run str, f64> {
    let scored = cells.flat_map(|cell| cell.scores.iter().flatten());
    let mut sides = [BTreeMap::new(), BTreeMap::new()];
    for score in scored.filter(|score| score.is_whole_document()) {
        let Some(document) = corpus.documents.get(&score.doc_id) else {
            continue;
        };
        if score.split == Split::Train {
            sides[0].insert(score.doc_id.as_str(), document.text.as_str());
        } else if is_non_member(score, corpus) {
            sides[1].insert(score.doc_id.as_str(), document.text.as_str());
        }
    }
    let [trained, held_out] = &sides;
    scores(trained, held_out)
}

/// For each document how much more its words are those of held-out than of training documents, lower = more likely a training document:
/// the mean over its distinct words of ln p(word | held out) − ln p(word | trained), with p(word | side) = (documents of the side that
/// hold it + 1) / (documents of the side + 2). A document's own part of [`PARTS`] is not counted. Empty where a side has fewer documents
/// than parts; a document without words has no score.
fn scores<'a>(
    trained: &BTreeMap<&'a str, &'a str>,
    held_out: &BTreeMap<&'a str, &'a str>,
) -> BTreeMap<&'a str, f64> {
    if trained.len().min(held_out.len()) < PARTS {
        return BTreeMap::new();
    }
    let sides = [trained, held_out].map(|side| {
        let texts = side.iter().enumerate();
        texts
            .map(|(number, (id, text))| (*id, number % PARTS, words(text)))
            .collect::<Vec<_>>()
    });
    // Documents that hold a word, of each side, in all and in each part.
    let mut holders: HashMap<&str, [[u32; PARTS]; 2]> = HashMap::new();
    let mut documents = [[0_u32; PARTS]; 2];
    for (side, texts) in sides.iter().enumerate() {
        for (_, part, words) in texts {
            documents[side][*part] += 1;
            for word in words {
                holders.entry(word).or_default()[side][*part] += 1;
            }
        }
    }
    let log_probability = |counts: &[[u32; PARTS]; 2], side: usize, part: usize| {
        let elsewhere = |of: &[u32; PARTS]| f64::from(of.iter().sum::<u32>() - of[part]);
        ((elsewhere(&counts[side]) + 1.0) / (elsewhere(&documents[side]) + 2.0)).ln()
    };
    let mut scores = BTreeMap::new();
    for (id, part, words) in sides.iter().flatten() {
        let sum: f64 = words
            .iter()
            .map(|word| {
                let counts = &holders[word.as_str()];
                log_probability(counts, 1, *part) - log_probability(counts, 0, *part)
            })
            .sum();
        if !words.is_empty() {
            scores.insert(*id, sum / words.len() as f64);
        }
    }
    scores
}

/// The distinct words of a text in lower case: runs of letters and digits, and each character of a script that is written without blanks.
fn words(text: &str) -> BTreeSet<String> {
    let lower = text.to_lowercase();
    let runs = lower.split(|character: char| !character.is_alphanumeric());
    let mut words = BTreeSet::new();
    for run in runs {
        for word in run.split_inclusive(is_alone) {
            // The character that ends a part is alone, what is before it a run.
            match word.char_indices().next_back() {
                Some((end, character)) if is_alone(character) => {
                    words.insert(word[..end].to_owned());
                    words.insert(word[end..].to_owned());
                }
                _ => {
                    words.insert(word.to_owned());
                }
            }
        }
    }
    words.remove("");
    words
}

/// Whether a character is of a script that is written without blanks between words: Thai, Lao, Burmese, Khmer, Chinese, Japanese, Korean.
fn is_alone(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
        || character >= '\u{2e80}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_runs_and_single_characters_of_scripts_without_blanks() {
        let found = words("The cat, THE 3rd; 猫cat犬\u{1F600}");
        let expected = ["3rd", "cat", "the", "犬", "猫"];
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_document_is_scored_by_the_words_of_the_other_parts() {
        let ids: Vec<String> = (0..10).map(|number| format!("d{number}")).collect();
        let side = |range: std::ops::Range<usize>, text: &'static str| {
            ids[range]
                .iter()
                .map(|id| (id.as_str(), text))
                .collect::<BTreeMap<_, _>>()
        };
        let (trained, held_out) = (side(0..5, "red"), side(5..10, "blue"));
        let scores = scores(&trained, &held_out);
        // Four other training documents hold "red", and none of four held-out ones: ln(1/6) − ln(5/6).
        assert!((scores["d0"] - (1.0_f64 / 5.0).ln()).abs() < 1e-12);
        assert!((scores["d9"] - 5.0_f64.ln()).abs() < 1e-12);
        assert_eq!(scores.len(), 10);
    }

    #[test]
    fn few_documents_say_nothing() {
        let few = BTreeMap::from([("a", "red")]);
        assert!(scores(&few, &few).is_empty());
    }
}
