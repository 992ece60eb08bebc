//! The modules of a model: every name and shape that its file must have, in one list.

/// A module that holds parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Path of the module in the PyTorch `state_dict`, such as `model.layers.0.self_attn.q_proj`.
    pub path: String,
    /// What it is, with its sizes.
    pub role: Role,
    /// Whether it has a bias.
    pub bias: bool,
}

/// What a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A table `[entries, width]`.
    Embedding {
        /// Rows.
        entries: usize,
        /// Columns.
        width: usize,
    },
    /// A linear layer.
    Linear {
        /// Numbers that it reads.
        inputs: usize,
        /// Numbers that it writes.
        outputs: usize,
        /// Whether the weight lies `[inputs, outputs]`, as in GPT-2's `Conv1D`, and not `[outputs, inputs]`.
        transposed: bool,
    },
    /// A norm over `width` numbers.
    Norm {
        /// Numbers that it reads.
        width: usize,
    },
    /// An LM head `[entries, width]` of its own.
    Head {
        /// Rows.
        entries: usize,
        /// Columns.
        width: usize,
    },
}

impl Module {
    pub(crate) fn embedding(path: &str, entries: usize, width: usize) -> Self {
        Self {
            path: path.to_owned(),
            role: Role::Embedding { entries, width },
            bias: false,
        }
    }

    pub(crate) fn linear(path: String, (inputs, outputs): (usize, usize), bias: bool) -> Self {
        let role = Role::Linear {
            inputs,
            outputs,
            transposed: false,
        };
        Self { path, role, bias }
    }

    pub(crate) fn conv1d(path: String, (inputs, outputs): (usize, usize)) -> Self {
        let role = Role::Linear {
            inputs,
            outputs,
            transposed: true,
        };
        Self {
            path,
            role,
            bias: true,
        }
    }

    pub(crate) fn layer_norm(path: String, width: usize) -> Self {
        Self {
            path,
            role: Role::Norm { width },
            bias: true,
        }
    }

    pub(crate) fn rms_norm(path: String, width: usize) -> Self {
        Self {
            path,
            role: Role::Norm { width },
            bias: false,
        }
    }

    /// The shape of its weight as it is stored.
    pub fn weight_shape(&self) -> Vec<usize> {
        match self.role {
            Role::Embedding { entries, width } | Role::Head { entries, width } => vec![entries, width],
            Role::Linear {
                inputs,
                outputs,
                transposed: false,
            } => vec![outputs, inputs],
            Role::Linear { inputs, outputs, .. } => vec![inputs, outputs],
            Role::Norm { width } => vec![width],
        }
    }

    /// The numbers of its bias, where it has one.
    pub fn bias_width(&self) -> Option<usize> {
        self.bias.then_some(match self.role {
            Role::Linear { outputs, .. } => outputs,
            Role::Embedding { width, .. } | Role::Norm { width } => width,
            Role::Head { entries, .. } => entries,
        })
    }

    /// Its tensors: names and shapes.
    pub fn tensors(&self) -> impl Iterator<Item = (String, Vec<usize>)> {
        let weight = (format!("{}.weight", self.path), self.weight_shape());
        let bias = self
            .bias_width()
            .map(|width| (format!("{}.bias", self.path), vec![width]));
        std::iter::once(weight).chain(bias)
    }

    /// Numbers in it.
    pub fn parameters(&self) -> u64 {
        self.tensors()
            .map(|(_, shape)| shape.iter().product::<usize>() as u64)
            .sum()
    }

    /// Numbers that it reads and writes, where it is a linear layer or an LM head of its own.
    pub fn linear_sizes(&self) -> Option<(usize, usize)> {
        match self.role {
            Role::Linear { inputs, outputs, .. } => Some((inputs, outputs)),
            Role::Head { entries, width } => Some((width, entries)),
            Role::Embedding { .. } | Role::Norm { .. } => None,
        }
    }
}
