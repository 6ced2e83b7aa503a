//! The decoder's input rows of one request, and the only code that drops rows.

use std::ops::Range;

use crate::prune::{Positions, Survivors};

/// What a row's input embedding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A prompt or suffix token.
    Text(u32),
    /// Visual token `token` of image `image`.
    Visual {
        /// Index in the request.
        image: u32,
        /// Index in the tokens the image began with.
        token: u32,
    },
    /// Response position.
    Response(u32),
    /// A mask that stands for a response position and does not see it. Only shadows see shadows.
    Shadow(u32),
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) origin: Origin,
    pub(crate) position: u32,
}

/// Rows in order: prompt with images, response, suffix, shadows of a block.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    rows: Vec<Row>,
}

impl Sequence {
    /// Numbers the rows from 0.
    pub(crate) fn new(origins: impl IntoIterator<Item = Origin>) -> Self {
        let rows = origins
            .into_iter()
            .enumerate()
            .map(|(position, origin)| Row {
                origin,
                position: position as u32,
            })
            .collect();
        Self { rows }
    }

    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Rows of image `image` that are still here; they are contiguous.
    pub(crate) fn image(&self, image: usize) -> Range<usize> {
        self.span(|o| matches!(o, Origin::Visual { image: i, .. } if *i as usize == image))
    }

    /// Rows of the response.
    pub(crate) fn response(&self) -> Range<usize> {
        self.span(|o| matches!(o, Origin::Response(_)))
    }

    /// Rows of the shadows; none for most policies.
    pub(crate) fn shadows(&self) -> Range<usize> {
        let is_shadow = |row: &&Row| matches!(row.origin, Origin::Shadow(_));
        let count = self.rows.iter().rev().take_while(is_shadow).count();
        self.rows.len() - count..self.rows.len()
    }

    /// Replaces the shadows by those of `positions` of the response.
    pub(crate) fn cast_shadows(&mut self, positions: Range<usize>) {
        let response = self.response().start;
        self.rows.truncate(self.shadows().start);
        let shadow = |p: usize| Row {
            origin: Origin::Shadow(p as u32),
            position: self.rows[response + p].position,
        };
        let shadows: Vec<Row> = positions.map(shadow).collect();
        self.rows.extend(shadows);
    }

    /// The row of a response position.
    pub(crate) fn row_of(&self, position: u32) -> usize {
        self.response().start + position as usize
    }

    /// The row of a response position's shadow, if it has one.
    pub(crate) fn shadow_of(&self, position: u32) -> Option<usize> {
        let mut shadows = self.shadows();
        shadows.find(|&r| self.rows[r].origin == Origin::Shadow(position))
    }

    fn span(&self, wanted: impl Fn(&Origin) -> bool) -> Range<usize> {
        let start = self
            .rows
            .iter()
            .position(|r| wanted(&r.origin))
            .unwrap_or(0);
        let length = self.rows[start..]
            .iter()
            .take_while(|r| wanted(&r.origin))
            .count();
        start..start + length
    }

    /// Drops every visual row of the images in `choices` that was not kept; returns the surviving rows.
    pub(crate) fn retain(
        &mut self,
        choices: &[(usize, Survivors)],
        positions: Positions,
    ) -> Vec<u32> {
        let survivors = survivors(self, choices);
        self.rows = survivors.iter().map(|&r| self.rows[r as usize]).collect();
        if positions == Positions::Compact {
            for (position, row) in self.rows.iter_mut().enumerate() {
                row.position = position as u32;
            }
        }
        for r in self.shadows() {
            if let Origin::Shadow(position) = self.rows[r].origin {
                self.rows[r].position = self.rows[self.row_of(position)].position;
            }
        }
        survivors
    }
}

/// Rows of `sequence` that outlive `choices`, ascending. Text and response rows always do.
fn survivors(sequence: &Sequence, choices: &[(usize, Survivors)]) -> Vec<u32> {
    let mut alive = vec![true; sequence.rows.len()];
    for (image, kept) in choices {
        let span = sequence.image(*image);
        alive[span.clone()].fill(false);
        for &k in kept.indices() {
            alive[span.start + k as usize] = true;
        }
    }
    (0..alive.len() as u32)
        .filter(|&r| alive[r as usize])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence() -> Sequence {
        let visual = |image, n| (0..n).map(move |token| Origin::Visual { image, token });
        Sequence::new(
            [Origin::Text(7)]
                .into_iter()
                .chain(visual(0, 4))
                .chain([Origin::Text(8)])
                .chain(visual(1, 3))
                .chain((0..2).map(Origin::Response)),
        )
    }

    #[test]
    fn each_image_loses_only_its_own_rows() {
        let mut s = sequence();
        let kept = Survivors::top(&[0.0, 1.0, 0.0, 2.0], 2).unwrap();
        let survivors = s.retain(&[(0, kept)], Positions::Original);
        assert_eq!(survivors, [0, 2, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(s.image(0), 1..3);
        assert_eq!(s.image(1), 4..7);
        assert_eq!(s.response(), 7..9);
        assert_eq!(s.rows()[1].position, 2);
    }

    #[test]
    fn shadows_stand_where_their_positions_do() {
        let mut s = sequence();
        s.cast_shadows(0..1);
        s.cast_shadows(1..2);
        assert_eq!(s.rows().len(), 12);
        assert_eq!((s.shadows(), s.shadow_of(0)), (11..12, None));
        assert_eq!(s.rows()[11].position, s.rows()[10].position);
        let kept = Survivors::top(&[1.0, 0.0, 0.0], 1).unwrap();
        s.retain(&[(1, kept)], Positions::Compact);
        assert_eq!(s.shadow_of(1), Some(9));
        assert_eq!(s.rows()[9].position, 8);
        assert_eq!(s.response(), 7..9);
    }

    #[test]
    fn compact_positions_have_no_gaps() {
        let mut s = sequence();
        s.retain(
            &[(1, Survivors::top(&[1.0, 0.0, 0.0], 1).unwrap())],
            Positions::Compact,
        );
        assert!(
            s.rows()
                .iter()
                .enumerate()
                .all(|(i, r)| r.position as usize == i)
        );
    }
}
