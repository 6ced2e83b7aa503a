//! A line through the points of each group, and a legend of the groups.

use super::{Anchor, Chart, INK, LEGEND, LINE, Mark, Place, TOP, text};

impl Chart {
    /// Marks of the points at `places` and of their legend.
    pub(super) fn lines(&self, places: &[Place]) -> Vec<Mark> {
        let mut marks = Vec::new();
        for (index, group) in self.groups().into_iter().enumerate() {
            let colour = self.colour(group);
            let of_group = self.points.iter().zip(places);
            let of_group = of_group.filter(|(point, _)| point.group == group);
            let places: Vec<Place> = of_group.map(|(_, place)| *place).collect();
            for pair in places.windows(2) {
                marks.push(Mark::Line {
                    from: pair[0],
                    to: pair[1],
                    width: 2.0,
                    colour,
                });
            }
            let line = TOP + index as f64 * LINE;
            let dots = places.into_iter().chain([(LEGEND + 10.0, line)]);
            marks.extend(dots.map(|at| Mark::Dot {
                at,
                radius: 4.0,
                colour,
            }));
            let beside = (LEGEND + 28.0, line);
            marks.push(text(beside, Anchor::Start, INK, group.to_owned()));
        }
        marks
    }
}
