//! How a shard lies in its file.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{FileEntry, SectionReader, write_sections};
use crate::IndexError;
use crate::character_counts::{CharacterCounts, STRIDE};
use crate::shard::Shard;
use crate::suffix_array::{BLOCK, STEP, SuffixArray};
use crate::symbol::Symbol;

/// A shard as the header describes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShardEntry {
    /// Symbols of the joined text, one separator per document included.
    symbols: usize,
    documents: usize,
    file: FileEntry,
}

/// Writes the shard numbered `number` into `folder`.
pub(crate) fn write_shard<S: Symbol>(
    folder: &Path,
    number: usize,
    shard: &Shard<S>,
) -> Result<ShardEntry, IndexError> {
    let suffixes = &shard.suffixes;
    let file = write_sections(&path(folder, number), |writer| {
        writer.section(&suffixes.text)?;
        writer.section(&suffixes.positions)?;
        writer.section(&suffixes.first_in_block)?;
        writer.section(&suffixes.sampled_keys)?;
        writer.section(&shard.starts)?;
        writer.section(&shard.counts.before_stride)
    })?;
    Ok(ShardEntry {
        symbols: suffixes.text.len(),
        documents: shard.starts.len(),
        file,
    })
}

/// Opens the shard numbered `number`; `check` compares its digest. Its documents are numbered from
/// 0, until set otherwise.
pub(crate) fn open_shard<S: Symbol>(
    folder: &Path,
    number: usize,
    entry: &ShardEntry,
    check: bool,
) -> Result<Shard<S>, IndexError> {
    let mut reader = SectionReader::open(&path(folder, number), &entry.file, check)?;
    reader.expect_random_reads();
    Ok(Shard {
        suffixes: SuffixArray {
            text: reader.section(entry.symbols)?,
            positions: reader.section(entry.symbols)?,
            first_in_block: reader.section(entry.symbols.div_ceil(BLOCK))?,
            sampled_keys: reader.section(entry.symbols.div_ceil(STEP))?,
        },
        starts: reader.section(entry.documents)?,
        counts: CharacterCounts {
            before_stride: reader.section(entry.symbols.div_ceil(STRIDE))?,
        },
        first_document: 0,
    })
}

fn path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("shard-{number:05}"))
}

#[cfg(test)]
mod tests {
    use super::{open_shard, write_shard};
    use crate::IndexError;
    use crate::shard::{JoinedText, Shard};

    #[test]
    fn counts_beyond_the_file_are_damage() {
        let folder = tempfile::tempdir().unwrap();
        let joined = JoinedText {
            text: b"abc\xff".to_vec(),
            starts: vec![0],
        };
        let shard = Shard::build(joined, 0).unwrap();
        let entry = write_shard(folder.path(), 0, &shard).unwrap();
        assert!(open_shard::<u8>(folder.path(), 0, &entry, true).is_ok());
        for count in [1 << 20, 1 << 40, usize::MAX / 4, usize::MAX] {
            for (symbols, documents) in [(count, entry.documents), (entry.symbols, count)] {
                let mut wrong = entry.clone();
                (wrong.symbols, wrong.documents) = (symbols, documents);
                let opened = open_shard::<u8>(folder.path(), 0, &wrong, true);
                assert!(
                    matches!(opened.err(), Some(IndexError::Damaged { .. })),
                    "{symbols} symbols, {documents} documents"
                );
            }
        }
    }
}
