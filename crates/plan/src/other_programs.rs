//! Programs in place of this project's stages (EXTRACTOR="python3 mine.py"): what they are to read is not refused here.

use std::path::Path;

use contract::Error;

/// The environment variable that make exports, with the command of the extraction stage.
const EXTRACTOR: &str = "EXTRACTOR";

/// What was opened; where it could not be, and EXTRACTOR names another program, nothing, since that may be able to.
///
/// # Errors
/// What was wrong, where the extractor of this project would have to read it.
pub(crate) fn left_to_extractor<T>(opened: Result<T, Error>) -> Result<Option<T>, Error> {
    match opened {
        Ok(opened) => Ok(Some(opened)),
        Err(error @ Error::Input { .. }) if is_other_extractor() => {
            tracing::warn!(
                "{error}. It is left to {EXTRACTOR}, which names a program of its own; nothing is checked before it runs"
            );
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Whether extraction is done by a program that is not this project's.
fn is_other_extractor() -> bool {
    let command = std::env::var(EXTRACTOR).unwrap_or_default();
    let program = command.split_whitespace().next().map(Path::new);
    program.is_some_and(|program| program.file_stem().is_none_or(|name| name != "extractor"))
}
