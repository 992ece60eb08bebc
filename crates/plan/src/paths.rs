//! Paths: written so that they still resolve from another folder, and checked for what make can carry.

use std::path::{Component, Path, PathBuf};

use contract::Error;

/// Removes `.` and `name/..` by the letters alone, without asking the file system.
pub(crate) fn normalized(path: &Path) -> PathBuf {
    let mut parts: Vec<Component> = Vec::new();
    for part in path.components() {
        match (part, parts.last()) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    if parts.is_empty() {
        PathBuf::from(".")
    } else {
        parts.iter().collect()
    }
}

/// The way from `folder` to `target`, both absolute and without links above them.
pub(crate) fn relative(folder: &Path, target: &Path) -> PathBuf {
    let (folder, target) = (normalized(folder), normalized(target));
    let from: Vec<Component> = folder.components().collect();
    let to: Vec<Component> = target.components().collect();
    let shared = from
        .iter()
        .zip(&to)
        .take_while(|(first, second)| first == second)
        .count();
    let up = from[shared..].iter().map(|_| Component::ParentDir);
    normalized(&up.chain(to[shared..].iter().copied()).collect::<PathBuf>())
}

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
    fn relative_paths_lead_back_to_their_target() {
        for (folder, target, expected) in [
            ("/a/runs/demo", "/a/data/x.jsonl", "../../data/x.jsonl"),
            ("/a/runs", "/a/runs/x", "x"),
            ("/a/runs/../data", "/a/data", "."),
            ("/", "/x", "x"),
            ("/a/b", "/", "../.."),
        ] {
            let path = relative(Path::new(folder), Path::new(target));
            assert_eq!(path, Path::new(expected), "{folder} → {target}");
            assert_eq!(
                normalized(&Path::new(folder).join(path)),
                normalized(Path::new(target))
            );
        }
    }

    #[test]
    fn normalized_keeps_what_leads_out() {
        for (path, expected) in [
            ("pipelines/../data/x", "data/x"),
            ("../../x", "../../x"),
            ("./", "."),
            ("/../x", "/x"),
        ] {
            assert_eq!(normalized(Path::new(path)), Path::new(expected), "{path}");
        }
    }

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
