//! Whether a layer's attention has moved since the step before.

/// The watched row of each layer of one lane.
#[derive(Clone, Debug, Default)]
pub(crate) struct AttentionDrift {
    layers: Vec<Watched>,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    /// Row of the sequence.
    row: Option<u32>,
    /// Its attention to every row in the last step, averaged over the heads.
    seen: Option<Vec<f32>>,
}

impl AttentionDrift {
    /// All watched rows.
    pub(crate) fn rows(&self) -> impl Iterator<Item = u32> {
        self.layers.iter().filter_map(|w| w.row)
    }

    /// The watched row of layer `layer` (from 0).
    pub(crate) fn row(&self, layer: usize) -> Option<u32> {
        self.layers.get(layer)?.row
    }

    /// Takes what layer `layer` looked at: `mass` is the answer's attention to the prompt's rows, `seen` that of
    /// the watched row to all rows. The first call chooses the row to watch. `true` if it is less like the last step's than `similarity`.
    pub(crate) fn moved(
        &mut self,
        layer: usize,
        mass: &[f32],
        seen: Option<&[f32]>,
        similarity: f64,
    ) -> bool {
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, Watched::default);
        }
        let watched = &mut self.layers[layer];
        let Some(seen) = seen else {
            *watched = Watched {
                row: highest(mass),
                seen: None,
            };
            return false;
        };
        let before = watched.seen.replace(seen.to_vec());
        before.is_some_and(|before| cosine(&before, seen) < similarity)
    }

    /// Only these rows are left. A layer whose watched row is gone chooses another one.
    pub(crate) fn retain(&mut self, survivors: &[u32]) {
        for watched in &mut self.layers {
            let index = |row: u32| survivors.binary_search(&row).ok().map(|i| i as u32);
            watched.row = watched.row.and_then(index);
            let left = |seen: Vec<f32>| survivors.iter().map(|&r| seen[r as usize]).collect();
            watched.seen = watched
                .seen
                .take()
                .filter(|_| watched.row.is_some())
                .map(left);
        }
    }

    /// The layers from `layer` on are computed anew: their watched rows are chosen again.
    pub(crate) fn forget(&mut self, layer: usize) {
        self.layers.truncate(layer);
    }
}

/// The index of the highest value; the lowest among equals.
fn highest(values: &[f32]) -> Option<u32> {
    let best = (0..values.len()).reduce(|a, b| if values[b] > values[a] { b } else { a });
    best.map(|i| i as u32)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::AttentionDrift;

    #[test]
    fn the_most_attended_row_is_watched_and_compared_with_the_step_before() {
        let mut drift = AttentionDrift::default();
        assert!(!drift.moved(1, &[0.1, 0.7, 0.2], None, 0.9));
        assert_eq!((drift.row(0), drift.row(1)), (None, Some(1)));
        assert!(!drift.moved(1, &[1.0, 0.0, 0.0], Some(&[0.5, 0.5, 0.0]), 0.9));
        assert!(!drift.moved(1, &[1.0, 0.0, 0.0], Some(&[0.5, 0.4, 0.1]), 0.9));
        assert!(drift.moved(1, &[1.0, 0.0, 0.0], Some(&[0.0, 0.4, 0.6]), 0.9));
        assert_eq!(drift.row(1), Some(1));
        drift.retain(&[1, 2]);
        assert_eq!(drift.row(1), Some(0));
        assert!(!drift.moved(1, &[0.0, 0.0], Some(&[0.4, 0.6]), 0.999));
        drift.forget(1);
        assert_eq!(drift.rows().count(), 0);
    }
}
