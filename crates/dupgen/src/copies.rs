//! How often each document occurs in the training set, and in which order its instances come.

use std::path::PathBuf;

use contract::pipeline::{Budget, Duplication, Layout, OneOrMany, Shortage};
use contract::{Error, PipelineFile};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::digest::{Digest, Purpose};

/// The layout of one training set: either one number of copies for all documents, or a share of the documents for each.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyPlan {
    settings: Duplication,
    layout: Layout,
    pipeline_file: PathBuf,
}

/// A training document and the number of its copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Number of the document among the training documents.
    pub document: usize,
    /// How often it occurs in the training set.
    pub copies: u32,
}

impl CopyPlan {
    /// Takes the layout from the pipeline file, where `layout` and `copies` choose one of several.
    ///
    /// # Errors
    /// [`Error::Configuration`] where the choice is open or makes no sense.
    pub fn choose(
        pipeline: &PipelineFile,
        layout: Option<Layout>,
        copies: Option<u32>,
    ) -> Result<Self, Error> {
        let wrong = |problem: String| {
            Err(Error::Configuration(format!(
                "{}: {problem}",
                pipeline.path.display()
            )))
        };
        let mut settings = pipeline.duplication.clone();
        let ((Some(layout), _) | (None, &[layout])) = (layout, settings.layout.as_slice()) else {
            return wrong("duplication.layout: expected one layout. Choose it with --layout".to_owned());
        };
        match (layout, copies, settings.copies.as_slice()) {
            (Layout::Uniform, Some(copies), _) | (Layout::Uniform, None, &[copies]) => {
                settings.copies = vec![copies];
                settings.shares = Vec::new();
            }
            (Layout::Uniform, None, several) => {
                return wrong(format!(
                    "duplication.copies: the uniform layout makes one training set for each of {several:?}. Choose one with \
                     --copies"
                ));
            }
            (Layout::Bucketed | Layout::Found, Some(_), _) => {
                return wrong("--copies goes with the uniform layout; here the layout is another".to_owned());
            }
            (Layout::Bucketed | Layout::Found, None, _) => {}
        }
        if settings
            .copies
            .iter()
            .any(|&copies| i32::try_from(copies).is_err())
        {
            return wrong(format!(
                "duplication.copies: expected numbers of at most {}",
                i32::MAX
            ));
        }
        settings.layout = OneOrMany::One(layout);
        Ok(Self {
            settings,
            layout,
            pipeline_file: pipeline.path.clone(),
        })
    }

    /// The settings that apply, with one layout.
    pub fn settings(&self) -> &Duplication {
        &self.settings
    }

    /// The numbers of copies in this training set.
    pub fn copies(&self) -> &[u32] {
        &self.settings.copies
    }

    /// The layout of this training set.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Gives each training document its number of copies: in the layout `found` the number given in `found`.
    ///
    /// Documents are taken in an order drawn from their texts and `seed`, so neither the order of the files nor that of the
    /// documents in them matters. In the bucketed layout each number of copies gets its exact share of the documents (largest
    /// remainder). With a fixed budget only as many documents are used as make the number of instances asked for, canaries
    /// included; a remainder smaller than one more round of copies stays unused, for filling it would need another number of
    /// copies.
    ///
    /// # Errors
    /// [`Error::Input`] where there are too few documents, [`Error::Configuration`] for a budget with no room for any.
    pub fn lay_out(
        &self,
        documents: &[Digest],
        found: &[u32],
        canary_instances: usize,
        shortage: Shortage,
        seed: u64,
    ) -> Result<Vec<Placement>, Error> {
        if self.layout == Layout::Found {
            let placements = found.iter().enumerate();
            return Ok(placements
                .map(|(document, &copies)| Placement { document, copies })
                .collect());
        }
        let sizes = self.bucket_sizes(documents.len(), canary_instances, shortage)?;
        let mut order: Vec<usize> = (0..documents.len()).collect();
        order.sort_unstable_by_key(|&document| {
            (
                documents[document].rank(Purpose::Copies, seed),
                documents[document],
            )
        });
        let copies = self
            .copies()
            .iter()
            .zip(sizes)
            .flat_map(|(&copies, size)| std::iter::repeat_n(copies, size));
        Ok(order
            .into_iter()
            .zip(copies)
            .map(|(document, copies)| Placement { document, copies })
            .collect())
    }

    /// Number of documents for each number of copies, at least one for each.
    fn bucket_sizes(
        &self,
        documents: usize,
        canary_instances: usize,
        shortage: Shortage,
    ) -> Result<Vec<usize>, Error> {
        let used = match self.settings.budget {
            Budget::Epochs => documents,
            Budget::Fixed => self.documents_within_budget(documents, canary_instances, shortage)?,
        };
        let sizes = largest_remainder(used, &self.shares());
        match self.copies().iter().zip(&sizes).find(|&(_, &size)| size == 0) {
            None => Ok(sizes),
            Some((copies, _)) => Err(Error::input(
                &self.pipeline_file,
                format!(
                    "duplication: expected at least one document for each of {:?} copies, found none for {copies} with {used} \
                     training documents. Use more documents, fewer numbers of copies, or other duplication.shares",
                    self.copies()
                ),
            )),
        }
    }

    /// The most documents whose copies, with the canaries, make no more instances than asked for.
    fn documents_within_budget(
        &self,
        documents: usize,
        canary_instances: usize,
        shortage: Shortage,
    ) -> Result<usize, Error> {
        let asked = self.settings.instances.unwrap_or(documents);
        let budget = asked.saturating_sub(canary_instances);
        let shares = self.shares();
        let instances = |used: usize| -> usize {
            let sizes = largest_remainder(used, &shares);
            sizes
                .iter()
                .zip(self.copies())
                .map(|(size, &copies)| size * copies as usize)
                .sum()
        };
        let total: f64 = shares.iter().sum();
        let copies_of_a_document: f64 = shares
            .iter()
            .zip(self.copies())
            .map(|(share, &copies)| share / total * f64::from(copies))
            .sum();
        // Rounding the shares may let in some documents more than the average number of copies does.
        let max_documents = (budget as f64 / copies_of_a_document) as usize + self.copies().len();
        let used = (0..=max_documents)
            .rev()
            .find(|&used| instances(used) <= budget)
            .unwrap_or(0);
        if used < self.copies().len() {
            return Err(Error::Configuration(format!(
                "{}: duplication.instances: {asked} training instances, of which {canary_instances} are canaries, leave room for \
                 {used} documents; expected at least one for each of {:?} copies",
                self.pipeline_file.display(),
                self.copies()
            )));
        }
        if used > documents && shortage == Shortage::Error {
            return Err(Error::input(
                &self.pipeline_file,
                format!(
                    "duplication.instances: {asked} training instances with {:?} copies need {used} training documents, found \
                     {documents}. Ask for fewer instances, or set corpus.shortage = \"accept\"",
                    self.copies()
                ),
            ));
        }
        if used > documents {
            tracing::warn!(
                "duplication.instances = {asked} needs {used} documents; going on with the {documents} that there are"
            );
        }
        Ok(used.min(documents))
    }

    fn shares(&self) -> Vec<f64> {
        match self.layout {
            Layout::Bucketed if !self.settings.shares.is_empty() => self.settings.shares.clone(),
            _ => vec![1.0; self.copies().len()],
        }
    }
}

/// Divides `total` into whole numbers proportional to `shares` (Hamilton's method): each share rounded down, and what is left
/// to those with the largest remainders, the first of equals first.
pub fn largest_remainder(total: usize, shares: &[f64]) -> Vec<usize> {
    let sum: f64 = shares.iter().sum();
    let quotas: Vec<f64> = shares.iter().map(|share| total as f64 * share / sum).collect();
    let mut sizes: Vec<usize> = quotas.iter().map(|quota| *quota as usize).collect();
    let left = total.saturating_sub(sizes.iter().sum());
    let mut by_remainder: Vec<usize> = (0..shares.len()).collect();
    by_remainder.sort_by(|&first, &second| quotas[second].fract().total_cmp(&quotas[first].fract()));
    for &bucket in by_remainder.iter().cycle().take(left) {
        sizes[bucket] += 1;
    }
    sizes
}

/// The training order of the first epoch: for each instance, the index in `copies` of what it is an instance of, each as often
/// as `copies` says, shuffled by ChaCha8 with `seed`.
pub fn training_order(copies: &[u32], seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0u32..)
        .zip(copies)
        .flat_map(|(index, &copies)| std::iter::repeat_n(index, copies as usize))
        .collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    order
}
