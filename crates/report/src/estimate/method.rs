//! What makes a way of tuning another one.

use contract::Cell;

/// A way of tuning: whatever differs in one of these settings is another method, and no other seed of the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Method {
    /// `base`, `full`, `head`, `lora`, `tuned`, or the name of another kind of adapter.
    pub mode: String,
    /// LoRA's rank.
    pub rank: Option<i32>,
    /// LoRA's alpha.
    pub alpha: Option<f64>,
    /// LoRA's target modules.
    pub targets: Option<String>,
    /// Share of LoRA's input dropped in training.
    pub dropout: Option<f64>,
    /// Whether it is DoRA.
    pub dora: Option<bool>,
    /// Whether it is rsLoRA.
    pub rslora: Option<bool>,
    /// Ranks and alphas of single modules, and other settings, as text.
    pub patterns: Option<String>,
    /// Passes over the training set that were asked for.
    pub epochs: Option<f64>,
    /// Learning rate; none for the untuned model, and where tuning happened elsewhere.
    pub learning_rate: Option<f64>,
}

/// The place of [`Method::patterns`] among the parts of a label.
const PATTERNS: usize = 6;

/// Modes in the order in which the page shows them.
const MODES: [&str; 4] = ["base", "full", "head", "lora"];

impl Method {
    /// The method of a cell.
    pub fn of(cell: &Cell) -> Self {
        Self {
            mode: cell.mode.clone(),
            rank: cell.rank,
            alpha: cell.alpha,
            targets: cell.targets.clone(),
            dropout: cell.dropout,
            dora: cell.dora,
            rslora: cell.rslora,
            patterns: cell.patterns.clone(),
            epochs: cell.epochs,
            learning_rate: cell.learning_rate,
        }
    }

    /// Whether nothing was tuned: the control.
    pub fn is_untuned(&self) -> bool {
        self.mode == "base"
    }

    /// Whether the two differ in their learning rate at most.
    pub fn is_same_but_for_rate(&self, other: &Self) -> bool {
        Self {
            learning_rate: None,
            ..self.clone()
        } == Self {
            learning_rate: None,
            ..other.clone()
        }
    }

    /// What it is sorted by: the mode, then each setting.
    pub(super) fn sort_key(&self) -> (usize, Vec<String>) {
        let known = MODES.iter().position(|mode| *mode == self.mode);
        // Positive numbers with as many digits before the point sort as they count.
        let number = |value: f64| format!("{value:020.9}");
        let settings = vec![
            self.mode.clone(),
            number(self.rank.map_or(0.0, f64::from)),
            self.targets.clone().unwrap_or_default(),
            number(self.alpha.unwrap_or(0.0)),
            number(self.dropout.unwrap_or(0.0)),
            format!("{:?} {:?}", self.dora, self.rslora),
            self.patterns.clone().unwrap_or_default(),
            number(self.epochs.unwrap_or(0.0)),
            number(self.learning_rate.unwrap_or(0.0)),
        ];
        (known.unwrap_or(MODES.len()), settings)
    }

    /// Each setting as a label says it, the learning rate aside; empty where there is none.
    fn parts(&self) -> [String; 8] {
        let flag = |flag: Option<bool>, yes: &str, no: &str| match flag {
            Some(true) => yes.to_owned(),
            Some(false) => no.to_owned(),
            None => String::new(),
        };
        let number =
            |name: &str, value: Option<f64>| value.map_or(String::new(), |value| format!("{name} {value}"));
        [
            self.rank.map_or(String::new(), |rank| format!("r{rank}")),
            self.targets.as_deref().map_or(String::new(), short_targets),
            number("alpha", self.alpha),
            number("dropout", self.dropout),
            flag(self.dora, "DoRA", "no DoRA"),
            flag(self.rslora, "rsLoRA", "no rsLoRA"),
            self.patterns.clone().unwrap_or_default(),
            self.epochs.map_or(String::new(), |epochs| {
                format!("{epochs} epoch{}", if epochs == 1.0 { "" } else { "s" })
            }),
        ]
    }

    /// Its name among `all`, the learning rate aside: the mode, those settings in which another of the mode differs, and what no plain
    /// tuning has, as a remedy.
    pub fn label(&self, all: &[&Self]) -> String {
        let mode = match self.mode.as_str() {
            "base" => "untuned",
            "head" => "head-only",
            "lora" => "LoRA",
            "tuned" => "audited model",
            other => other,
        };
        let own = self.parts();
        let others = all.iter().filter(|other| other.mode == self.mode);
        let others: Vec<[String; 8]> = others.map(|other| other.parts()).collect();
        let differs = |index: usize, part: &String| {
            index == PATTERNS || others.iter().any(|other| other[index] != *part)
        };
        let differing = own
            .iter()
            .enumerate()
            .filter(|(index, part)| !part.is_empty() && differs(*index, part));
        let named: Vec<&str> = differing.map(|(_, part)| part.as_str()).collect();
        match named.split_first() {
            None => mode.to_owned(),
            Some((first, [])) => format!("{mode} {first}"),
            Some((first, rest)) => format!("{mode} {first}, {}", rest.join(", ")),
        }
    }
}

/// Target modules in few letters: their names, or how many there are.
fn short_targets(targets: &str) -> String {
    match targets.split(',').count() {
        1 | 2 => targets.replace(',', "+"),
        count => format!("{count} modules"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lora(rank: i32, alpha: f64, targets: &str) -> Method {
        Method::of(&Cell {
            mode: "lora".to_owned(),
            rank: Some(rank),
            alpha: Some(alpha),
            targets: Some(targets.to_owned()),
            ..Cell::default()
        })
    }

    #[test]
    fn methods_are_named_by_what_differs() {
        let methods = [
            lora(16, 32.0, "c_attn"),
            lora(16, 64.0, "c_attn"),
            lora(16, 32.0, "c_attn,c_fc,c_proj"),
        ];
        let all: Vec<&Method> = methods.iter().collect();
        let labels: Vec<String> = methods.iter().map(|method| method.label(&all)).collect();
        assert_eq!(
            labels,
            [
                "LoRA c_attn, alpha 32",
                "LoRA c_attn, alpha 64",
                "LoRA 3 modules, alpha 32"
            ]
        );
        assert_eq!(methods[0].label(&[&methods[0]]), "LoRA");
    }

    #[test]
    fn adapters_of_another_kind_are_named_by_it() {
        let of = |mode: &str, targets: &str| {
            Method::of(&Cell {
                mode: mode.to_owned(),
                targets: Some(targets.to_owned()),
                ..Cell::default()
            })
        };
        let methods = [
            of("IA3", "c_attn"),
            of("IA3", "c_attn,c_fc"),
            of("AdaLoRA", "c_attn"),
        ];
        let all: Vec<&Method> = methods.iter().collect();
        let labels: Vec<String> = methods.iter().map(|method| method.label(&all)).collect();
        assert_eq!(labels, ["IA3 c_attn", "IA3 c_attn+c_fc", "AdaLoRA"]);
    }
}
