//! A chart of points, drawn once as a list of marks and written as SVG or PNG.

mod axis;
mod groups;
mod numbered;
mod png;
mod svg;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::exit::usage;
use crate::output_file;
use axis::Axis;

/// Points with two axes and a legend.
pub(crate) struct Chart {
    pub(crate) title: String,
    pub(crate) x_title: String,
    pub(crate) y_title: String,
    pub(crate) points: Vec<Point>,
    pub(crate) joined: Joined,
}

/// Which points lines go through, and what the legend names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    /// The points that no other beats in both directions; every point has a number.
    Front,
    /// The points of each group, in order; groups have names.
    Groups,
}

/// One point; those of a group share a colour.
pub(crate) struct Point {
    pub(crate) label: String,
    pub(crate) group: String,
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// A line of usual size.
fn text(at: Place, anchor: Anchor, colour: Colour, text: String) -> Mark {
    Mark::Text {
        at,
        anchor,
        size: TEXT,
        colour,
        text,
    }
}

/// Red, green, blue.
type Colour = [u8; 3];

/// A place in pixels from the top left corner.
type Place = (f64, f64);

/// What a chart is made of.
enum Mark {
    Line {
        from: Place,
        to: Place,
        width: f64,
        colour: Colour,
    },
    Dot {
        at: Place,
        radius: f64,
        colour: Colour,
    },
    /// `at` is the middle of the line's height at its anchor.
    Text {
        at: Place,
        anchor: Anchor,
        size: f64,
        colour: Colour,
        text: String,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Anchor {
    Start,
    Middle,
    End,
}

/// Everything to draw, in order.
struct Drawing {
    width: u32,
    height: u32,
    marks: Vec<Mark>,
}

/// Okabe and Ito's colours, which colour-blind readers can tell apart.
const PALETTE: [Colour; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [90, 90, 90],
];
const INK: Colour = [40, 44, 52];
const QUIET: Colour = [110, 116, 126];
const GRID: Colour = [225, 228, 232];

const LEFT: f64 = 64.0;
const TOP: f64 = 84.0;
const WIDTH: f64 = 600.0;
/// The plot grows with the legend, up to a shape that is still read easily.
const HEIGHTS: (f64, f64) = (380.0, 720.0);
const LEGEND: f64 = LEFT + WIDTH + 36.0;
const LINE: f64 = 20.0;
const TEXT: f64 = 12.0;
/// Width of a character at `TEXT`: 6 in the PNG, a little more on average in the SVG.
const CHARACTER: f64 = 7.0;

/// Refuses a chart that `flag` names and that could only fail after the measurement.
pub(crate) fn check(flag: &str, path: &Path) -> Result<()> {
    format(path).with_context(|| flag.to_owned())?;
    output_file::check(flag, path)
}

enum Format {
    Svg,
    Png,
}

fn format(path: &Path) -> Result<Format> {
    let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
    match extension.to_str() {
        Some("svg") => Ok(Format::Svg),
        Some("png") => Ok(Format::Png),
        _ => Err(usage(format!(
            "a chart is written as SVG or PNG; name the file {0}.svg or {0}.png",
            path.display()
        ))),
    }
}

impl Chart {
    /// Writes the file that the extension asks for.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        let drawing = self.draw();
        let bytes = match format(path)? {
            Format::Svg => svg::write(&drawing).into_bytes(),
            Format::Png => png::write(&drawing)?,
        };
        Ok(fs::write(path, bytes)?)
    }

    fn draw(&self) -> Drawing {
        // A comparison with a baseline shows where that is.
        let (on_x, on_y): (&[f64], &[f64]) = match self.joined {
            Joined::Front => (&[0.0, 1.0], &[100.0]),
            Joined::Groups => (&[], &[]),
        };
        let (xs, ys) = (
            self.points.iter().map(|p| p.x),
            self.points.iter().map(|p| p.y),
        );
        let x_axis = Axis::new(xs.chain(on_x.iter().copied()));
        let y_axis = Axis::new(ys.chain(on_y.iter().copied()));
        let entries = match self.joined {
            Joined::Front => self.points.len(),
            Joined::Groups => self.groups().len(),
        };
        let lines = entries as f64 * LINE;
        let height = (lines - 60.0).clamp(HEIGHTS.0, HEIGHTS.1);
        let place = |x: f64, y: f64| {
            let (right, up) = (x_axis.share(x), y_axis.share(y));
            (LEFT + right * WIDTH, TOP + (1.0 - up) * height)
        };
        let mut marks = Vec::new();
        marks.push(Mark::Text {
            at: (LEFT, 24.0),
            anchor: Anchor::Start,
            size: TEXT * 1.25,
            colour: INK,
            text: self.title.clone(),
        });
        for tick in x_axis.ticks() {
            let at = place(tick, y_axis.low());
            marks.push(Mark::Line {
                from: at,
                to: (at.0, TOP),
                width: 1.0,
                colour: GRID,
            });
            let below = (at.0, at.1 + 16.0);
            marks.push(text(below, Anchor::Middle, QUIET, x_axis.written(tick)));
        }
        for tick in y_axis.ticks() {
            let at = place(x_axis.low(), tick);
            let to = (at.0 + WIDTH, at.1);
            marks.push(Mark::Line {
                from: at,
                to,
                width: 1.0,
                colour: GRID,
            });
            let beside = (at.0 - 8.0, at.1);
            marks.push(text(beside, Anchor::End, QUIET, y_axis.written(tick)));
        }
        let bottom = TOP + height;
        marks.push(text(
            (LEFT + WIDTH, bottom + 38.0),
            Anchor::End,
            INK,
            self.x_title.clone(),
        ));
        marks.push(text(
            (LEFT, TOP - 34.0),
            Anchor::Start,
            INK,
            self.y_title.clone(),
        ));

        let places: Vec<Place> = self
            .points
            .iter()
            .map(|point| place(point.x, point.y))
            .collect();
        marks.extend(match self.joined {
            Joined::Front => self.numbered(&places),
            Joined::Groups => self.lines(&places),
        });
        let longest = self
            .points
            .iter()
            .map(|point| point.label.chars().count())
            .max();
        Drawing {
            width: (LEGEND + 44.0 + longest.unwrap_or(0) as f64 * CHARACTER) as u32,
            height: (TOP + lines.max(height + 60.0)) as u32,
            marks,
        }
    }

    /// The groups in the order in which they first occur.
    fn groups(&self) -> Vec<&str> {
        let mut groups: Vec<&str> = Vec::new();
        for point in &self.points {
            if !groups.contains(&point.group.as_str()) {
                groups.push(&point.group);
            }
        }
        groups
    }

    fn colour(&self, group: &str) -> Colour {
        let index = self.groups().iter().position(|known| *known == group);
        PALETTE[index.unwrap_or(0) % PALETTE.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Chart {
        let point = |(index, (x, y)): (usize, &(f64, f64))| Point {
            label: format!("prune <{index}> & \"keep\""),
            group: if index == 0 {
                "baseline".into()
            } else {
                "redvtp".into()
            },
            x: *x,
            y: *y,
        };
        Chart {
            title: "a & b".into(),
            x_title: "times faster".into(),
            y_title: "agreement, %".into(),
            points: points.iter().enumerate().map(point).collect(),
            joined: Joined::Front,
        }
    }

    #[test]
    fn the_front_is_what_nothing_beats() {
        let chart = chart(&[(1.0, 100.0), (2.0, 90.0), (1.5, 80.0), (2.5, 90.0)]);
        let front: Vec<f64> = chart
            .front()
            .into_iter()
            .map(|i| chart.points[i].x)
            .collect();
        assert_eq!(front, [1.0, 2.5]);
    }

    #[test]
    fn marks_stay_on_the_drawing_whatever_the_numbers() {
        for points in [
            &[][..],
            &[(1.0, 100.0)],
            &[(1.0, 100.0), (1e6, 0.0)],
            &[(0.001, 3.0); 40],
        ] {
            for joined in [Joined::Front, Joined::Groups] {
                let drawing = Chart {
                    joined,
                    ..chart(points)
                }
                .draw();
                let inside = |(x, y): Place| {
                    (0.0..=f64::from(drawing.width)).contains(&x)
                        && (0.0..=f64::from(drawing.height)).contains(&y)
                };
                for mark in &drawing.marks {
                    assert!(match mark {
                        Mark::Line { from, to, .. } => inside(*from) && inside(*to),
                        Mark::Dot { at, .. } | Mark::Text { at, .. } => inside(*at),
                    });
                }
            }
        }
    }

    #[test]
    fn lines_go_through_the_points_of_a_group_and_not_from_one_group_to_another() {
        let points = [
            (1.0, 50.0),
            (2.0, 60.0),
            (1.0, 30.0),
            (2.0, 20.0),
            (3.0, 10.0),
        ];
        let mut chart = chart(&points);
        chart.joined = Joined::Groups;
        for (index, point) in chart.points.iter_mut().enumerate() {
            point.group = if index < 2 { "a" } else { "b" }.to_owned();
        }
        let drawing = chart.draw();
        let of = |colour: Colour| {
            let is_line =
                |mark: &&Mark| matches!(mark, Mark::Line { colour: c, .. } if *c == colour);
            drawing.marks.iter().filter(is_line).count()
        };
        assert_eq!((of(PALETTE[0]), of(PALETTE[1])), (1, 2));
        let svg = svg::write(&drawing);
        assert_eq!(
            svg.matches("<circle").count(),
            5 + 2,
            "points, and the legend's"
        );
    }

    #[test]
    fn svg_is_well_formed_and_png_is_a_picture() {
        let chart = chart(&[(1.0, 100.0), (2.0, 90.0)]);
        let svg = svg::write(&chart.draw());
        assert!(
            svg.contains("a &amp; b") && svg.contains("&lt;1&gt; &amp; &quot;keep&quot;"),
            "{svg}"
        );
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
        assert_eq!(svg.matches("<circle").count(), 4, "each with a rim");
        let png = png::write(&chart.draw()).expect("encoded");
        let picture = image::load_from_memory(&png).expect("a picture").to_rgb8();
        assert!(picture.pixels().any(|pixel| pixel.0 == PALETTE[1]));
    }

    #[test]
    fn only_svg_and_png_are_written() {
        assert!(
            check("--chart", Path::new("a.svg")).is_ok()
                && check("--chart", Path::new("b.PNG")).is_ok()
        );
        for name in ["a", "a.jpg", "/nowhere/a.svg"] {
            let refused = check("--step-chart", Path::new(name)).expect_err(name);
            assert!(
                format!("{refused:#}").starts_with("--step-chart: "),
                "{name}"
            );
        }
    }
}
