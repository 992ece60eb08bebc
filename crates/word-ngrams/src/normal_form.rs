//! When two texts are the same text: when they differ in white space, case and Unicode normal form alone.
//!
//! A line end more, capitals, or another encoding of an accent make another string and no other text: a model that was tuned
//! on the one has seen the other, so the other is no control.

use unicode_normalization::UnicodeNormalization;

/// The form in which texts are compared: NFC, without case, each run of white space one space, none at the ends. The normal
/// form of a normal form is that form itself.
///
/// Lower case is taken of the upper case, so that `ß`, `ẞ` and `SS` agree, and `ς`, `σ` and `Σ`. Case is taken of the
/// decomposed text, as Unicode's canonical caseless matching has it (The Unicode Standard, D145): the upper case of the mark
/// U+0345 is a letter, and which marks come before that letter must not depend on what was composed.
pub fn normal_form(text: &str) -> String {
    let folded: String = if text.is_ascii() {
        text.to_ascii_lowercase()
    } else {
        text.nfd()
            .flat_map(char::to_lowercase)
            .flat_map(char::to_uppercase)
            .flat_map(char::to_lowercase)
            .nfc()
            .collect()
    };
    let mut normal = String::with_capacity(folded.len());
    for word in folded.split_whitespace() {
        if !normal.is_empty() {
            normal.push(' ');
        }
        normal.push_str(word);
    }
    normal
}
