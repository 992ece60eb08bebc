//! The words that candidates are ranked by.

use crate::stop_words::is_stop_word;

/// Longer words are left out, in bytes.
const MAX_WORD_BYTES: usize = 39;

/// Hands the words of `text` to `take`, in lower case, without those that are too long. Returns how
/// many there were; stop words count, but are not handed over.
pub(super) fn for_each_word(text: &str, mut take: impl FnMut(&str)) -> usize {
    let mut lower = String::new();
    let mut count = 0;
    let words = text.split(|character: char| !character.is_alphanumeric());
    for word in words.filter(|word| !word.is_empty() && word.len() <= MAX_WORD_BYTES) {
        lower.clear();
        if word.is_ascii() {
            lower.push_str(word);
            lower.make_ascii_lowercase();
        } else {
            lower.extend(word.chars().flat_map(char::to_lowercase));
        }
        count += 1;
        if !is_stop_word(&lower) {
            take(&lower);
        }
    }
    count
}
