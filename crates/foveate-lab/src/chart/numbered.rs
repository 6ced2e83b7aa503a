//! Points with numbers and a legend of them, and a line through those that nothing beats.

use super::{Anchor, Chart, INK, LEGEND, LINE, Mark, Place, TOP, text};

impl Chart {
    /// Marks of the points at `dots` and of their legend.
    pub(super) fn numbered(&self, dots: &[Place]) -> Vec<Mark> {
        let mut marks = Vec::new();
        let front: Vec<Place> = self.front().into_iter().map(|index| dots[index]).collect();
        for pair in front.windows(2) {
            let (from, to) = (pair[0], pair[1]);
            marks.push(Mark::Line {
                from,
                to,
                width: 1.5,
                colour: [190, 195, 202],
            });
        }
        for (point, at) in self.points.iter().zip(dots) {
            // A white rim keeps neighbours apart.
            for (radius, colour) in [(6.5, [255; 3]), (5.0, self.colour(&point.group))] {
                marks.push(Mark::Dot {
                    at: *at,
                    radius,
                    colour,
                });
            }
        }
        let mut numbers: Vec<Place> = Vec::new();
        for (index, (point, at)) in self.points.iter().zip(dots).enumerate() {
            let colour = self.colour(&point.group);
            let number = free(*at, dots, &numbers);
            numbers.push(number);
            marks.push(text(
                number,
                Anchor::Middle,
                colour,
                (index + 1).to_string(),
            ));
            let line = TOP + index as f64 * LINE;
            marks.push(text(
                (LEGEND + 18.0, line),
                Anchor::End,
                colour,
                (index + 1).to_string(),
            ));
            marks.push(text(
                (LEGEND + 28.0, line),
                Anchor::Start,
                INK,
                point.label.clone(),
            ));
        }
        marks
    }

    /// The points that no other beats in both directions, from left to right.
    pub(super) fn front(&self) -> Vec<usize> {
        let points = &self.points;
        let beaten = |index: &usize| {
            let point = &points[*index];
            points.iter().any(|other| {
                other.x >= point.x && other.y >= point.y && (other.x > point.x || other.y > point.y)
            })
        };
        let mut front: Vec<usize> = (0..points.len()).filter(|index| !beaten(index)).collect();
        front.sort_by(|a, b| points[*a].x.total_cmp(&points[*b].x));
        front
    }
}

/// A place for a number beside its dot that neither a dot nor another number has.
fn free(at: Place, dots: &[Place], numbers: &[Place]) -> Place {
    let mut places = (1..=6).flat_map(|ring| {
        let far = 13.0 + 9.0 * f64::from(ring - 1);
        // Above first, then below, then round.
        [0, 8, 1, 15, 7, 9, 2, 14, 6, 10, 4, 12, 3, 13, 5, 11].map(|sixteenth| {
            let angle = f64::from(sixteenth) * std::f64::consts::PI / 8.0;
            (at.0 + angle.sin() * (far + 2.0), at.1 - angle.cos() * far)
        })
    });
    let near = |place: &Place, others: &[Place], across: f64, down: f64| {
        others
            .iter()
            .any(|other| (place.0 - other.0).abs() < across && (place.1 - other.1).abs() < down)
    };
    places
        .find(|place| !near(place, dots, 13.0, 11.0) && !near(place, numbers, 17.0, 11.0))
        .unwrap_or((at.0, at.1 - 13.0))
}
