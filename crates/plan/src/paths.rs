//! Paths that make can carry.

use std::path::Path;

use contract::Error;

/// The path as a Make rule has it.
///
/// # Errors
/// [`Error::Configuration`] where it holds a character that make or the shell would read as something else.
pub(crate) fn for_make(path: &Path) -> Result<String, Error> {
    let text = path.to_string_lossy();
    match text.chars().find(|&character| !is_carried(character)) {
        None => Ok(text.into_owned()),
        Some(character) => Err(Error::Configuration(format!(
            "{text}: the character {character:?} cannot be in a Make rule. Rename the file or folder, or make a link to it \
             under another name; letters, digits and / . _ - + @ , are possible"
        ))),
    }
}

/// Whether a path can occur in a Make rule as it is.
pub(crate) fn fits_make(path: &Path) -> bool {
    path.to_string_lossy().chars().all(is_carried)
}

fn is_carried(character: char) -> bool {
    character.is_alphanumeric() || "/._-+@,".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn make_takes_no_spaces_and_no_signs_of_its_own() {
        assert!(for_make(Path::new("data/übung+1/x_2.jsonl")).is_ok());
        for path in [
            "my corpus.jsonl",
            "a:b",
            "a$b",
            "a#b",
            "a%b",
            "a=b",
            "a'b",
            "a\nb",
            "a;b",
            "~a",
        ] {
            let message = for_make(Path::new(path)).unwrap_err().to_string();
            assert!(message.contains(path), "{message}");
        }
    }
}
