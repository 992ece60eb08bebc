//! Hidden states of a body that does not change: computed once for each text, however many copies and epochs it has.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use causal_lm::{CausalLm, Error};
use tch::{Device, Kind, Tensor};

use crate::Rows;
use crate::rows::passes;

/// The hidden states of a set of rows at the positions whose prediction is learned.
#[derive(Debug)]
pub(crate) struct HiddenStates {
    /// Each row's first twin, under which its states are kept.
    twins: Vec<usize>,
    /// First state of each row that is its own first twin, and their number.
    places: Vec<(usize, usize)>,
    /// Rows that are computed together. Which these are depends on nothing that a resumed run could have done otherwise, so that
    /// it gets the same states to the last bit.
    groups: Vec<Vec<(usize, usize)>>,
    group_of: Vec<usize>,
    computed: Vec<bool>,
    store: Store,
    width: usize,
}

/// Where states are kept.
#[derive(Debug)]
enum Store {
    /// `[states, width]`.
    Memory(Tensor),
    /// Numbers as they stand in memory.
    File { file: File, path: PathBuf },
    /// Nowhere, since there is no room for them. Computed with other rows, they may differ in the last bits.
    Nowhere,
}

impl HiddenStates {
    /// Room for the states of `rows`, in memory up to `most_bytes` and else in a file in the folder `work`.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out; [`contract::Error::Output`] where there can be no such file.
    pub(crate) fn new(
        model: &CausalLm,
        rows: &Rows,
        (most_rows, most_tokens): (usize, usize),
        most_bytes: usize,
        work: &Path,
        name: &str,
    ) -> Result<Self, Error> {
        let twins = rows.twins();
        let (mut places, mut total) = (vec![(0, 0); rows.len()], 0);
        let firsts: Vec<(usize, usize)> = (0..rows.len())
            .filter(|&row| twins[row] == row)
            .map(|row| (row, 1))
            .collect();
        for &(row, _) in &firsts {
            let count = rows.learned_in(row);
            places[row] = (total, count);
            total += count;
        }
        let groups: Vec<Vec<(usize, usize)>> =
            passes(&firsts, most_rows, most_tokens, |row| rows.length(row))
                .into_iter()
                .map(<[_]>::to_vec)
                .collect();
        let mut group_of = vec![0; rows.len()];
        for (number, group) in groups.iter().enumerate() {
            for &(row, _) in group {
                group_of[row] = number;
            }
        }
        let (width, kind) = (model.config.width, model.compute());
        let bytes = total * width * kind.elt_size_in_bytes();
        let store = if bytes <= most_bytes {
            let shape = [total as i64, width as i64];
            Store::Memory(Tensor::f_empty(shape, (kind, model.device()))?)
        } else {
            let path = work.join(format!("{name}-hidden-states"));
            tracing::info!(
                "hidden states take {} MB and go to {}",
                bytes / 1_000_000,
                path.display()
            );
            let file = std::fs::create_dir_all(work).and_then(|()| {
                File::options()
                    .read(true)
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .open(&path)
            });
            let file = file.map_err(|error| contract::Error::output(&path, error))?;
            Store::File { file, path }
        };
        Ok(Self {
            twins,
            places,
            computed: vec![false; groups.len()],
            groups,
            group_of,
            store,
            width,
        })
    }

    /// States `[predictions, width]` of some rows, at the positions that are learned, row behind row.
    ///
    /// # Errors
    /// [`Error::Torch`] where memory runs out; [`contract::Error::Input`] for a file that cannot be read back.
    pub(crate) fn of(
        &mut self,
        model: &CausalLm,
        rows: &Rows,
        chosen: &[(usize, usize)],
    ) -> Result<Tensor, Error> {
        let _guard = tch::no_grad_guard();
        for &(row, _) in chosen {
            let group = self.group_of[self.twins[row]];
            if !matches!(self.store, Store::Nowhere) && !self.computed[group] {
                self.fill(model, rows, group)?;
                self.computed[group] = true;
            }
        }
        if let Store::Nowhere = self.store {
            return compute(model, rows, chosen);
        }
        let mut parts = Vec::with_capacity(chosen.len());
        for &(row, _) in chosen {
            let (first, count) = self.places[self.twins[row]];
            if count > 0 {
                parts.push(self.read(first, count, model)?);
            }
        }
        Ok(Tensor::f_cat(&parts, 0)?)
    }

    fn fill(&mut self, model: &CausalLm, rows: &Rows, group: usize) -> Result<(), Error> {
        let states = compute(model, rows, &self.groups[group])?;
        let first = self.groups[group]
            .first()
            .map_or(0, |&(row, _)| self.places[row].0);
        match &mut self.store {
            Store::Memory(all) => {
                all.f_narrow(0, first as i64, states.size2()?.0)?
                    .f_copy_(&states)?;
            }
            Store::File { file, path } => {
                let mut bytes = vec![0_u8; states.numel() * states.kind().elt_size_in_bytes()];
                let states = states.f_to_device(Device::Cpu)?.f_contiguous()?;
                states.f_copy_data_u8(&mut bytes, states.numel())?;
                let offset = (first * self.width * states.kind().elt_size_in_bytes()) as u64;
                if let Err(error) = file.write_all_at(&bytes, offset) {
                    tracing::warn!(
                        "{}: {error}; hidden states will be computed anew each time they are needed",
                        path.display()
                    );
                    // What is there already would be missing for checkpoints. If it cannot be removed, they will tell.
                    drop(std::fs::remove_file(&*path));
                    self.store = Store::Nowhere;
                }
            }
            Store::Nowhere => {}
        }
        Ok(())
    }

    fn read(&self, first: usize, count: usize, model: &CausalLm) -> Result<Tensor, Error> {
        match &self.store {
            Store::Memory(all) => Ok(all.f_narrow(0, first as i64, count as i64)?),
            Store::File { file, path } => {
                let kind = model.compute();
                let mut bytes = vec![0_u8; count * self.width * kind.elt_size_in_bytes()];
                let offset = (first * self.width * kind.elt_size_in_bytes()) as u64;
                file.read_exact_at(&mut bytes, offset)
                    .map_err(|error| contract::Error::input(path, error))?;
                let shape = [count as i64, self.width as i64];
                Ok(Tensor::f_from_data_size(&bytes, &shape, kind)?.f_to_device(model.device())?)
            }
            Store::Nowhere => Ok(Tensor::f_empty(
                [0, self.width as i64],
                (Kind::Float, model.device()),
            )?),
        }
    }
}

/// States of some rows at the positions that are learned, from the model itself.
pub(crate) fn compute(model: &CausalLm, rows: &Rows, chosen: &[(usize, usize)]) -> Result<Tensor, Error> {
    let batch = rows.batch(chosen, model.device(), model.path())?;
    let hidden = model
        .packed_forward(&batch.tokens, &batch.lengths, false)?
        .hidden()?;
    match &batch.target_positions {
        Some(positions) => Ok(hidden.f_index_select(0, positions)?),
        None => Ok(hidden),
    }
}
