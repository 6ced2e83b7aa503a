//! The arithmetic of a forward pass, counted from its shape: two operations per multiply-add.
//!
//! Counted are linears, attention and the head; norms, rotations and softmax are left out, being
//! some per cent of time and less of arithmetic.

use std::ops::AddAssign;

use foveate_core::{DecoderShape, Step};

/// Floating-point operations by where they happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Flops {
    pub(crate) linears: f64,
    pub(crate) attention: f64,
    pub(crate) head: f64,
}

/// The rows of one pass, per sequence; guidance makes two sequences of the same rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rows {
    pub(crate) sequences: usize,
    /// Rows that enter each layer.
    pub(crate) entering: Vec<usize>,
    /// Rows that leave the last layer; every row leaves the others.
    pub(crate) leaving: usize,
    /// Pairs of query and key, over all layers and sequences.
    pub(crate) pairs: usize,
    /// Rows that the head reads, guidance mixed already.
    pub(crate) ranked: usize,
}

impl Rows {
    /// From what a step reports. `masked` is the number of masked positions before it.
    pub(crate) fn of(step: &Step, sequences: usize, layers: usize, masked: usize) -> Self {
        let (rows, computed) = (step.rows / sequences, step.rows_computed / sequences);
        let dropped: usize = step.pruned.iter().map(|p| p.of - p.kept.len()).sum();
        let after = rows - dropped.min(rows);
        let cut_inside = computed < rows * layers && after < rows;
        // computed = before · rows + (layers - before) · after
        let before = if cut_inside {
            ((computed - (layers * after).min(computed)) / (rows - after)).min(layers)
        } else {
            layers
        };
        let entering = (0..layers).map(|layer| if layer < before { rows } else { after });
        // A choice after the step watched the masked rows through the last layer.
        let watched = !step.pruned.is_empty() && !cut_inside;
        let ranked = step.drafts.len();
        Self {
            sequences,
            entering: entering.collect(),
            leaving: if watched { masked.max(ranked) } else { ranked },
            pairs: step.pairs,
            ranked,
        }
    }
}

impl Flops {
    /// Of one forward pass.
    pub(crate) fn of(shape: &DecoderShape, rows: &Rows) -> Self {
        let hidden = shape.hidden as f64;
        let width = (shape.heads.count * shape.heads.dim) as f64;
        let key_value = shape.heads.kv_width() as f64;
        let mut flops = Self::default();
        for (layer, entering) in rows.entering.iter().enumerate() {
            let last = layer + 1 == rows.entering.len();
            let leaving = if last { rows.leaving } else { *entering } as f64;
            let entering = *entering as f64;
            let projections = entering * hidden * key_value + leaving * 2.0 * hidden * width;
            let mlp = leaving * 3.0 * hidden * shape.mlp as f64;
            flops.linears += 2.0 * (projections + mlp);
        }
        flops.linears *= rows.sequences as f64;
        // Scores and the weighted sum of values.
        flops.attention = 4.0 * rows.pairs as f64 * width;
        flops.head = 2.0 * rows.ranked as f64 * hidden * shape.vocabulary as f64;
        flops
    }

    pub(crate) fn total(&self) -> f64 {
        self.linears + self.attention + self.head
    }

    /// `linears 83 %, attention 15 %, head 2 %`.
    pub(crate) fn shares(&self) -> String {
        let percent = |part: f64| 100.0 * part / self.total().max(1.0);
        format!(
            "linears {:.0} %, attention {:.0} %, head {:.0} %",
            percent(self.linears),
            percent(self.attention),
            percent(self.head)
        )
    }
}

impl AddAssign for Flops {
    fn add_assign(&mut self, other: Self) {
        self.linears += other.linears;
        self.attention += other.attention;
        self.head += other.head;
    }
}

#[cfg(test)]
mod tests {
    use foveate_core::{PhaseTimes, Pruned, SHAPES};

    use super::*;

    fn step(rows: usize, rows_computed: usize, pruned: Vec<Pruned>) -> Step {
        Step {
            step: 1,
            block: 1,
            commits: Vec::new(),
            revisions: Vec::new(),
            drafts: Vec::new(),
            pruned,
            rows,
            rows_computed,
            pairs: 0,
            cache_bytes: 0,
            times: PhaseTimes::default(),
        }
    }

    fn dropped(of: usize, kept: u32) -> Vec<Pruned> {
        vec![Pruned {
            image: 0,
            of,
            kept: (0..kept).collect(),
            scores: Vec::new(),
        }]
    }

    #[test]
    fn a_cut_inside_a_pass_is_found_from_its_rows() {
        let cut = step(100, 2 * 100 + 6 * 70, dropped(60, 30));
        assert_eq!(
            Rows::of(&cut, 1, 8, 0).entering,
            [100, 100, 70, 70, 70, 70, 70, 70]
        );
        let guided = step(200, 2 * (2 * 100 + 6 * 70), dropped(60, 30));
        assert_eq!(
            Rows::of(&guided, 2, 8, 0).entering,
            [100, 100, 70, 70, 70, 70, 70, 70]
        );
        let after = step(100, 800, dropped(60, 30));
        let rows = Rows::of(&after, 1, 8, 16);
        assert_eq!((rows.entering, rows.leaving), (vec![100; 8], 16));
    }

    #[test]
    fn one_layer_and_one_row_count_every_weight_twice() {
        let shape = DecoderShape {
            layers: 1,
            ..SHAPES[0].decoder
        };
        let one = Rows {
            sequences: 1,
            entering: vec![1],
            leaving: 1,
            pairs: 1,
            ranked: 1,
        };
        let flops = Flops::of(&shape, &one);
        let (hidden, mlp) = (shape.hidden, shape.mlp);
        let weights = 4 * hidden * hidden + 3 * hidden * mlp;
        assert!((flops.linears - 2.0 * weights as f64).abs() < 0.5);
        assert!((flops.head - 2.0 * (hidden * shape.vocabulary) as f64).abs() < 0.5);
        assert!((flops.attention - 4.0 * hidden as f64).abs() < 0.5);
    }
}
