/// The words of a text: maximal runs of alphanumeric characters (Unicode), lower-cased.
///
/// On ASCII text these are the tokens of the ROUGE package of Google Research without stemming. Scripts
/// written without spaces come out as one word per run; compare those by characters or token ids.
pub fn words(text: &str) -> Vec<String> {
    text.split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_lower_case_runs_of_letters_and_digits() {
        let cases: [(&str, &[&str]); 5] = [
            ("", &[]),
            (" … — ! ", &[]),
            ("The cat, the CAT.", &["the", "cat", "the", "cat"]),
            (
                "Don't e-mail snake_case 3.14",
                &["don", "t", "e", "mail", "snake", "case", "3", "14"],
            ),
            ("Éva über Straße", &["éva", "über", "straße"]),
        ];
        for (text, expected) in cases {
            assert_eq!(words(text), expected, "{text:?}");
        }
    }
}
