use crate::EmbedError;

/// Sentence vectors, one row per sentence, each of length 1: the dot product of two rows is their cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    values: Vec<f32>,
    dimensions: usize,
}

impl Embeddings {
    /// Rows of `dimensions` values each, one after the other. They are taken as they are, so they should have length 1.
    ///
    /// # Errors
    /// [`EmbedError::Dimensions`] if `values` are no whole number of rows, or `dimensions` is 0.
    pub fn from_rows(values: Vec<f32>, dimensions: usize) -> Result<Self, EmbedError> {
        if dimensions == 0 || !values.len().is_multiple_of(dimensions) {
            return Err(EmbedError::Dimensions {
                expected: dimensions,
                found: values.len(),
            });
        }
        Ok(Self { values, dimensions })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.values.len() / self.dimensions
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Values per row.
    pub fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// All rows, one after the other.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The rows in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimensions)
    }

    /// The vector of sentence `index`, or `None` if there are fewer sentences.
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        self.rows().nth(index)
    }
}
