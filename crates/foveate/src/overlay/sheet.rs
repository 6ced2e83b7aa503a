//! The sheet: the finest map of tokens on the picture, the coarse views beside it, a legend below.

use foveate_core::Picture;
use image::imageops::replace;
use image::{Rgb, RgbImage};

use super::font;
use super::paint::{Panel, Token, faded, fill, heat, mixed};

const GROUND: Rgb<u8> = Rgb([18, 20, 24]);
const TEXT: Rgb<u8> = Rgb([225, 228, 232]);
const QUIET_TEXT: Rgb<u8> = Rgb([140, 146, 156]);
/// A leaf green that stands for any kept part of the picture in the legend.
const SAMPLE: Rgb<u8> = Rgb([96, 160, 92]);
const MARGIN: u32 = 24;
const GAP: u32 = 14;
/// Pixels per dot of the font.
const DOT: u32 = 2;
/// The longer side of the main panel is brought into these bounds.
const SIDE_PX: (u32, u32) = (800, 1280);
const INSET_PX: (u32, u32) = (260, 420);
const SWATCH_PX: u32 = 18;
const RAMP_PX: u32 = 160;

/// All that a sheet shows.
pub(super) struct Sheet<'a> {
    pub(super) picture: &'a Picture,
    /// Tokens of the view of the whole picture.
    pub(super) base: Vec<Token>,
    /// Tokens of the tiles; empty when the picture is one view.
    pub(super) tiles: Vec<Token>,
    pub(super) method: &'static str,
    /// Counts of the sequence, newline tokens included.
    pub(super) kept: usize,
    pub(super) of: usize,
}

/// A drawn panel with its title.
struct Titled {
    title: String,
    drawn: RgbImage,
}

impl Sheet<'_> {
    pub(super) fn draw(&self) -> RgbImage {
        let (finest, name) = if self.tiles.is_empty() {
            (&self.base, "whole view")
        } else {
            (&self.tiles, "tiles")
        };
        let panel = Panel::new(self.picture, self.main_width());
        let main = Titled {
            title: counted(name, finest),
            drawn: panel.tokens(finest),
        };
        let inset = Panel::new(self.picture, inset_width(&panel));
        let mut insets = Vec::new();
        if !self.tiles.is_empty() {
            insets.push(Titled {
                title: counted("base view", &self.base),
                drawn: inset.tokens(&self.base),
            });
        }
        if self.is_scored() {
            insets.push(Titled {
                title: "all scores".into(),
                drawn: inset.scores(finest),
            });
        }
        self.compose(&main, &insets)
    }

    fn is_scored(&self) -> bool {
        self.base.iter().any(|token| token.heat.is_some())
    }

    fn main_width(&self) -> u32 {
        let (w, h) = (self.picture.width(), self.picture.height());
        let longer = w.max(h);
        let wanted = longer.clamp(SIDE_PX.0, SIDE_PX.1);
        (u64::from(w) * u64::from(wanted) / u64::from(longer)).max(1) as u32
    }

    fn compose(&self, main: &Titled, insets: &[Titled]) -> RgbImage {
        let title = font::height(DOT) + GAP;
        let column = insets.iter().map(Titled::width).max();
        let width = 2 * MARGIN + main.width() + column.map_or(0, |column| column + MARGIN);
        let stacked: u32 = insets.iter().map(|i| i.drawn.height() + title + GAP).sum();
        let body = (main.drawn.height() + title).max(stacked.saturating_sub(GAP));
        let legend = self.legend(width - 2 * MARGIN);
        let height = 3 * MARGIN + body + legend.height();

        let mut sheet = RgbImage::from_pixel(width, height, GROUND);
        main.place(&mut sheet, (MARGIN, MARGIN));
        let left = MARGIN + main.width() + MARGIN;
        let mut top = MARGIN;
        for inset in insets {
            inset.place(&mut sheet, (left, top));
            top += inset.drawn.height() + title + GAP;
        }
        replace(
            &mut sheet,
            &legend,
            MARGIN.into(),
            (2 * MARGIN + body).into(),
        );
        sheet
    }

    /// What the colours mean, on as many lines as `width` needs.
    fn legend(&self, width: u32) -> RgbImage {
        let percent = 100.0 * self.kept as f64 / self.of.max(1) as f64;
        let mut items = vec![Item::Text(format!("{} kept", self.method))];
        items.push(Item::Swatch {
            colour: if self.is_scored() {
                mixed(SAMPLE, heat(0.6), 0.38)
            } else {
                SAMPLE
            },
            text: format!("{} of {} tokens {percent:.1}%", self.kept, self.of),
        });
        items.push(Item::Swatch {
            colour: faded(SAMPLE),
            text: format!("{} pruned", self.of - self.kept.min(self.of)),
        });
        if self.is_scored() {
            items.push(Item::Ramp);
        }
        let line = SWATCH_PX.max(font::height(DOT)) + GAP;
        let mut places = Vec::new();
        let (mut x, mut y) = (0, 0);
        for item in &items {
            if x > 0 && x + item.width() > width {
                (x, y) = (0, y + line);
            }
            places.push((x, y));
            x += item.width() + 2 * GAP;
        }
        let mut strip = RgbImage::from_pixel(width, y + line - GAP, GROUND);
        for (item, place) in items.iter().zip(places) {
            item.draw(&mut strip, place);
        }
        strip
    }
}

impl Titled {
    fn width(&self) -> u32 {
        self.drawn.width().max(font::width(&self.title, DOT))
    }

    fn place(&self, sheet: &mut RgbImage, (left, top): (u32, u32)) {
        font::write(sheet, (left, top), &self.title, DOT, QUIET_TEXT);
        let below = top + font::height(DOT) + GAP;
        replace(sheet, &self.drawn, left.into(), below.into());
    }
}

/// One entry of the legend.
enum Item {
    Text(String),
    Swatch { colour: Rgb<u8>, text: String },
    Ramp,
}

const LOW: &str = "low score";
const HIGH: &str = "high";

impl Item {
    fn width(&self) -> u32 {
        match self {
            Self::Text(text) => font::width(text, DOT),
            Self::Swatch { text, .. } => SWATCH_PX + GAP / 2 + font::width(text, DOT),
            Self::Ramp => RAMP_PX + GAP + font::width(LOW, DOT) + font::width(HIGH, DOT),
        }
    }

    fn draw(&self, strip: &mut RgbImage, (left, top): (u32, u32)) {
        let baseline = top + (SWATCH_PX - font::height(DOT)) / 2;
        match self {
            Self::Text(text) => font::write(strip, (left, baseline), text, DOT, TEXT),
            Self::Swatch { colour, text } => {
                fill(strip, (left, top), (SWATCH_PX, SWATCH_PX), *colour);
                let after = left + SWATCH_PX + GAP / 2;
                font::write(strip, (after, baseline), text, DOT, TEXT);
            }
            Self::Ramp => {
                font::write(strip, (left, baseline), LOW, DOT, TEXT);
                let ramp = left + font::width(LOW, DOT) + GAP / 2 - DOT;
                for x in 0..RAMP_PX {
                    let colour = heat(x as f32 / (RAMP_PX - 1) as f32);
                    fill(strip, (ramp + x, top), (1, SWATCH_PX), colour);
                }
                let after = ramp + RAMP_PX + GAP / 2;
                font::write(strip, (after, baseline), HIGH, DOT, TEXT);
            }
        }
    }
}

/// Two insets of one width share the height of the main panel where that leaves them legible.
fn inset_width(main: &Panel) -> u32 {
    let (width, height) = main.size();
    let share = height.saturating_sub(2 * (font::height(DOT) + GAP)) / 2;
    let (narrowest, widest) = INSET_PX;
    let wanted = share * width / height.max(1);
    wanted.clamp(narrowest, widest).min(width)
}

/// `tiles 512 of 2187 kept`.
fn counted(name: &str, tokens: &[Token]) -> String {
    let kept = tokens.iter().filter(|token| token.kept).count();
    format!("{name} {kept} of {} kept", tokens.len())
}
