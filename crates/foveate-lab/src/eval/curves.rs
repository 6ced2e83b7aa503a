//! A finished evaluation as a picture: accuracy against speed, or against the layer where tokens leave.

use super::page::Page;
use crate::chart::{Chart, Joined, Point};
use crate::report::point;
use crate::sweep::{Combination, label};

/// The flag of the layer at which tokens leave.
const LAYER: &str = "prune-layer";

/// What rows have in common, and the score at each layer.
type Curve = (String, Vec<(usize, f64)>);

impl Page<'_> {
    /// Rows that differ in nothing but the layer at which tokens leave: what they share, and each layer with
    /// its score.
    pub(super) fn by_layer(&self) -> Vec<Curve> {
        let mut groups: Vec<Curve> = Vec::new();
        for (row, summary) in self.measured() {
            let (layer, others): (Combination, Combination) = {
                let flags = row.setup.combination.iter().cloned();
                flags.partition(|(flag, _)| flag == LAYER)
            };
            let [(_, layer)] = layer.as_slice() else {
                continue;
            };
            let Ok(layer) = layer.parse() else {
                continue;
            };
            let name = if others.is_empty() {
                "score".to_owned()
            } else {
                label(&others)
            };
            let point = (layer, summary.score.mean);
            match groups.iter_mut().find(|(known, _)| *known == name) {
                Some((_, points)) => points.push(point),
                None => groups.push((name, vec![point])),
            }
        }
        groups
    }

    /// Accuracy against speed, or against the layer where that is swept.
    pub(super) fn chart(&self) -> Chart {
        if self.about.sweeps.iter().any(|sweep| sweep.flag == LAYER) {
            return self.layer_chart();
        }
        let points = self.measured().map(|(row, summary)| {
            let score = 100.0 * summary.score.mean;
            point(&row.setup.combination, self.times_faster(summary), score)
        });
        Chart {
            title: format!("{}: accuracy against speed", self.about.model),
            x_title: "times faster than the baseline".into(),
            y_title: format!("score on {}, %", self.about.questions.name),
            points: points.collect(),
            joined: Joined::Front,
        }
    }

    fn layer_chart(&self) -> Chart {
        let points = self.by_layer().into_iter().flat_map(|(name, points)| {
            points.into_iter().map(move |(layer, score)| Point {
                label: name.clone(),
                group: name.clone(),
                x: layer as f64,
                y: 100.0 * score,
            })
        });
        Chart {
            title: format!(
                "{}: accuracy by the layer at which tokens leave",
                self.about.model
            ),
            x_title: "layer".into(),
            y_title: format!("score on {}, %", self.about.questions.name),
            points: points.collect(),
            joined: Joined::Groups,
        }
    }
}
