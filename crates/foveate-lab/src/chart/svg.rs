//! Marks as SVG, with whatever sans-serif font the reader has.

use std::fmt::Write as _;

use super::{Anchor, Colour, Drawing, Mark};

pub(super) fn write(drawing: &Drawing) -> String {
    let (width, height) = (drawing.width, drawing.height);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"system-ui, sans-serif\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for mark in &drawing.marks {
        // Writing to a string cannot fail.
        let _ = match mark {
            Mark::Line {
                from,
                to,
                width,
                colour,
            } => writeln!(
                svg,
                "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{}\" stroke-width=\"{width}\"/>",
                from.0,
                from.1,
                to.0,
                to.1,
                hex(*colour)
            ),
            Mark::Dot { at, radius, colour } => writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius}\" fill=\"{}\"/>",
                at.0,
                at.1,
                hex(*colour)
            ),
            Mark::Text {
                at,
                anchor,
                size,
                colour,
                text,
            } => writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\" text-anchor=\"{}\" \
                 dominant-baseline=\"central\" fill=\"{}\">{}</text>",
                at.0,
                at.1,
                name(*anchor),
                hex(*colour),
                escaped(text)
            ),
        };
    }
    svg + "</svg>\n"
}

fn hex([red, green, blue]: Colour) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn name(anchor: Anchor) -> &'static str {
    match anchor {
        Anchor::Start => "start",
        Anchor::Middle => "middle",
        Anchor::End => "end",
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // Not allowed in XML, and nothing to see.
            control if control.is_control() => {}
            other => escaped.push(other),
        }
    }
    escaped
}
