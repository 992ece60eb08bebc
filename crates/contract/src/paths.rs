//! Paths that still resolve when they are seen from another folder.

use std::path::{Component, Path, PathBuf};

/// Removes `.` and `name/..` by the letters alone, without asking the file system.
pub fn normalized(path: &Path) -> PathBuf {
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
pub fn relative(folder: &Path, target: &Path) -> PathBuf {
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
}
