//! A Parquet file that may be made to bring programs down, as the library may read it.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use ::parquet::errors::Result as ParquetResult;
use ::parquet::file::reader::{ChunkReader, Length};
use bytes::Bytes;

use super::footer::check_footer;
use crate::Error;

/// How often a reader may ask for more at the end of the file. Each list of a page's header asks once
/// for what it has no bytes left for.
const MAX_READS_AT_END: u32 = 64;

/// A file whose footer the library can read, and which says no more than so often that it has ended:
/// passing over elements of a list, the library takes its end for as many bytes as it likes, so that a
/// page's header may claim 2³¹ of them.
#[derive(Debug)]
pub struct ParquetFile(File);

impl ParquetFile {
    /// Looks at the footer of an opened file.
    ///
    /// # Errors
    /// [`Error::Input`] for columns that are nested too deep and lists that no footer has. What else is
    /// wrong with it is left to the library.
    pub fn new(path: &Path, file: File) -> Result<Self, Error> {
        check_footer(path, &file)?;
        Ok(Self(file))
    }
}

impl Length for ParquetFile {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl ChunkReader for ParquetFile {
    type T = EndingReader<BufReader<File>>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        let inner = self.0.get_read(start)?;
        Ok(EndingReader { inner, at_end: 0 })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.0.get_bytes(start, length)
    }
}

/// A reader that fails where it is asked for more at its end again and again.
#[derive(Debug)]
pub struct EndingReader<R> {
    inner: R,
    at_end: u32,
}

impl<R: Read> Read for EndingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if read == 0 && !buffer.is_empty() {
            self.at_end += 1;
            if self.at_end > MAX_READS_AT_END {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::{EndingReader, MAX_READS_AT_END};

    #[test]
    fn an_end_is_told_so_often_and_no_more() {
        let mut reader = EndingReader {
            inner: &b"abc"[..],
            at_end: 0,
        };
        let mut buffer = [0; 2];
        let mut read = || reader.read(&mut buffer).map_err(|error| error.kind());
        assert_eq!((read(), read()), (Ok(2), Ok(1)));
        for _ in 0..MAX_READS_AT_END {
            assert_eq!(read(), Ok(0));
        }
        assert_eq!(read(), Err(std::io::ErrorKind::UnexpectedEof));
    }
}
