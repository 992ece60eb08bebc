//! Words that can replace each other.

use std::collections::BTreeMap;

use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use crate::CaseError;

/// The table that comes with the crate: some three hundred words in common English use.
const BUILT_IN: &str = include_str!("synonyms.txt");

/// A table of synonyms: lower-case word forms, and for each the forms that can take its place.
#[derive(Debug, Clone)]
pub struct Synonyms {
    others: BTreeMap<String, Vec<String>>,
}

impl Synonyms {
    /// Reads a table: one group of interchangeable words a line, `noun: method approach`, `verb: use employ` or
    /// `other: big large`. Nouns and verbs are in their base form and inflect regularly. Empty lines and lines that begin
    /// with `#` don't count.
    ///
    /// # Errors
    /// [`CaseError::Synonyms`] for a line of another form.
    pub fn read(table: &str) -> Result<Self, CaseError> {
        let mut others = BTreeMap::<String, Vec<String>>::new();
        for (index, line) in table.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let forms = inflected_groups(line).ok_or_else(|| CaseError::Synonyms {
                line: index + 1,
                found: line.to_owned(),
            })?;
            for group in forms {
                for word in &group {
                    let entry = others.entry(word.clone()).or_default();
                    let fitting = group
                        .iter()
                        .filter(|&other| other != word && !entry.contains(other));
                    let fitting: Vec<String> = fitting.cloned().collect();
                    entry.extend(fitting);
                }
            }
        }
        Ok(Self { others })
    }

    /// How many word forms have a synonym.
    pub fn len(&self) -> usize {
        self.others.len()
    }

    /// Whether no word has one.
    pub fn is_empty(&self) -> bool {
        self.others.is_empty()
    }

    /// What can replace `word`, in lower case.
    pub fn of(&self, word: &str) -> &[String] {
        self.others.get(&word.to_lowercase()).map_or(&[], Vec::as_slice)
    }

    /// One of them, with a capital where `word` has one.
    pub(crate) fn draw(&self, word: &str, random: &mut ChaCha8Rng) -> Option<String> {
        let synonym = self.of(word).choose(random)?;
        Some(with_case_of(word, synonym))
    }
}

impl Default for Synonyms {
    /// The table of the crate.
    fn default() -> Self {
        Self::read(BUILT_IN).unwrap_or(Self {
            others: BTreeMap::new(),
        })
    }
}

/// `word` with a capital first letter if `pattern` has one.
pub(crate) fn with_case_of(pattern: &str, word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) if pattern.starts_with(char::is_uppercase) => {
            first.to_uppercase().chain(letters).collect()
        }
        _ => word.to_owned(),
    }
}

/// For each inflection the forms of a line's words; `None` where the line is no group.
fn inflected_groups(line: &str) -> Option<Vec<Vec<String>>> {
    let (part, words) = line.split_once(':')?;
    let words: Vec<&str> = words.split_whitespace().collect();
    if words.len() < 2 {
        return None;
    }
    let base = |word: &str| word.to_lowercase();
    let inflections: Vec<fn(&str) -> String> = match part.trim() {
        "noun" => vec![|word| word.to_owned(), with_s],
        "verb" => vec![|word| word.to_owned(), with_s, with_ed, with_ing],
        "other" => vec![|word| word.to_owned()],
        _ => return None,
    };
    let inflected = inflections
        .iter()
        .map(|inflect| words.iter().map(|word| inflect(&base(word))).collect());
    Some(inflected.collect())
}

fn ends_in_consonant_and_y(word: &str) -> Option<&str> {
    let stem = word.strip_suffix('y')?;
    (!stem.ends_with(['a', 'e', 'i', 'o', 'u'])).then_some(stem)
}

fn with_s(word: &str) -> String {
    if let Some(stem) = ends_in_consonant_and_y(word) {
        format!("{stem}ies")
    } else if ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end)) {
        format!("{word}es")
    } else {
        format!("{word}s")
    }
}

fn with_ed(word: &str) -> String {
    if let Some(stem) = ends_in_consonant_and_y(word) {
        format!("{stem}ied")
    } else if word.ends_with('e') {
        format!("{word}d")
    } else {
        format!("{word}ed")
    }
}

fn with_ing(word: &str) -> String {
    match word.strip_suffix('e') {
        Some(stem) if !word.ends_with("ee") => format!("{stem}ing"),
        _ => format!("{word}ing"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_inflect_by_part_of_speech() {
        let table =
            Synonyms::read("# a note\n\nverb: use employ try\nnoun: study box\nother: big large").unwrap();
        for (word, expected) in [
            ("use", vec!["employ", "try"]),
            ("Uses", vec!["employs", "tries"]),
            ("used", vec!["employed", "tried"]),
            ("using", vec!["employing", "trying"]),
            ("studies", vec!["boxes"]),
            ("BIG", vec!["large"]),
            ("bigs", vec![]),
        ] {
            assert_eq!(table.of(word), expected, "{word}");
        }
    }

    #[test]
    fn other_lines_are_refused_by_number() {
        for (table, line) in [("other: big", 1), ("noun: a b\nadverb: c d", 2), ("big large", 1)] {
            let error = Synonyms::read(table).unwrap_err();
            assert!(
                matches!(&error, CaseError::Synonyms { line: found, .. } if *found == line),
                "{error}"
            );
        }
    }

    #[test]
    fn the_built_in_table_reads_and_no_word_replaces_itself() {
        let table = Synonyms::read(BUILT_IN).unwrap();
        assert!(table.len() > 700, "{}", table.len());
        assert_eq!(Synonyms::default().len(), table.len());
        for (word, others) in &table.others {
            assert!(!others.is_empty() && !others.contains(word), "{word}");
        }
    }
}
