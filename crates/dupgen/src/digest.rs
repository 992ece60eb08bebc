//! The digest of a text, and the orders that are drawn from it.

use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128};

/// The xxh3-128 digest of a document's text. Two texts with the same digest count as the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u128);

/// What an order of documents is drawn for. Each purpose has an order of its own, independent of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Which documents are used at all.
    Selection,
    /// Which documents are held out.
    HoldingOut,
    /// Which documents get which number of copies.
    Copies,
    /// Which held-out documents choose checkpoint and learning rate.
    Validation,
    /// Which documents of the training side a seed trains on.
    Training,
}

impl Digest {
    /// The digest of `text`.
    pub fn of(text: &str) -> Self {
        Self(xxh3_128(text.as_bytes()))
    }

    /// Thirty-two hexadecimal digits: the identity of a document whose source gives it none.
    pub fn hexadecimal(self) -> String {
        format!("{:032x}", self.0)
    }

    /// The document's place in the order drawn for `purpose` with `seed`, uniform over all 64-bit numbers.
    pub(crate) fn rank(self, purpose: Purpose, seed: u64) -> u64 {
        let mut key = [0; 17];
        key[..16].copy_from_slice(&self.0.to_le_bytes());
        key[16] = purpose as u8;
        xxh3_64_with_seed(&key, seed)
    }
}
