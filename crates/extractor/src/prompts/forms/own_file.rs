//! The lines of a file of the user's own.

use contract::Error;

use super::{Alone, Material};

pub(super) struct OwnFile;

impl Alone for OwnFile {
    fn prompts(&self, material: &Material<'_>) -> Result<Vec<Vec<i64>>, Error> {
        let lines = material.user_prompts.iter();
        lines.map(|line| material.tokenizer.encode(line)).collect()
    }
}
