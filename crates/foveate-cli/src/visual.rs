//! The answer appearing on the terminal: one frame per step, drawn over the one before.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use console::{Term, measure_text_width};
use foveate::text::{Piece, so_far};
use foveate::{Observer, Result};
use foveate_core::{Denoiser, Engine, Options, Step};
use foveate_lab::exit::note;

/// Small models finish in a blink; a frame stays at least this long on a terminal.
const FRAME: Duration = Duration::from_millis(50);
/// DEC private mode 2026: the terminal shows what lies between these two at once.
const BEGIN_UPDATE: &str = "\x1b[?2026h";
const END_UPDATE: &str = "\x1b[?2026l";
const DIM: &str = "\x1b[2m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";
/// What a masked position looks like.
const MASK: &str = "░";

/// Draws the canvas after every step on standard error.
pub(crate) struct Frames<'e> {
    engine: &'e Engine,
    term: Term,
    steps: usize,
    blocks: usize,
    visual_tokens: usize,
    /// Lines of the frame that is on the screen.
    drawn: usize,
}

impl<'e> Frames<'e> {
    pub(crate) fn new(engine: &'e Engine, options: &Options, visual_tokens: usize) -> Result<Self> {
        Ok(Self {
            engine,
            term: Term::stderr(),
            steps: options.most_steps()?,
            blocks: options.gen_length / options.block_length.max(1),
            visual_tokens,
            drawn: 0,
        })
    }

    fn header(&self, step: &Step, kept: usize) -> String {
        let mut header = format!("step {}/{}", step.step, self.steps);
        if self.blocks > 1 {
            header = format!("{header}  block {}/{}", step.block, self.blocks);
        }
        if self.visual_tokens > 0 {
            header = format!("{header}  kept {kept}/{}", self.visual_tokens);
        }
        header
    }

    fn redraw(&mut self, header: &str, pieces: &[Piece]) -> io::Result<()> {
        let (rows, columns) = self.term.size();
        // The cursor's own line stays free, or the terminal would scroll.
        let room = usize::from(rows).saturating_sub(1).max(1);
        let mut lines = vec![format!("{DIM}{}{PLAIN}", clip(header, columns.into()))];
        lines.extend(wrap(pieces, columns.into()));
        // The end of a long answer moves; its beginning was read already.
        if lines.len() > room {
            lines.drain(1..=lines.len() - room);
            lines.truncate(room);
        }
        let mut frame = String::from(BEGIN_UPDATE);
        frame.push_str(&rewind(self.drawn.min(room)));
        for line in &lines {
            frame.push_str(line);
            frame.push('\n');
        }
        frame.push_str(END_UPDATE);
        self.drawn = lines.len();
        let mut err = io::stderr().lock();
        err.write_all(frame.as_bytes())?;
        err.flush()
    }
}

impl Observer for Frames<'_> {
    fn layer(&mut self, _layer: usize, _of: usize) {}

    fn step(&mut self, denoiser: &Denoiser, step: &Step) -> Result<()> {
        let header = self.header(step, denoiser.outcome().visual_tokens_kept);
        let pieces = so_far(self.engine, denoiser, step)?;
        if self.term.is_term() {
            self.redraw(&header, &pieces)?;
            thread::sleep(FRAME);
        } else {
            let text: String = pieces.iter().map(|piece| styled(piece).1).collect();
            note(&format!("{header}  {}", harmless(&text).replace('\n', "↵")));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.drawn > 0 {
            let mut err = io::stderr().lock();
            err.write_all(rewind(self.drawn).as_bytes())?;
            err.flush()?;
        }
        Ok(())
    }
}

/// How a piece looks, and what it says.
fn styled(piece: &Piece) -> (&'static str, &str) {
    match piece {
        Piece::Mask => (DIM, MASK),
        Piece::Settled(text) => (PLAIN, text),
        Piece::Fresh(text) => (BOLD, text),
    }
}

/// Text without control characters, which a terminal would obey; line breaks and tabs stay.
pub(crate) fn harmless(text: &str) -> String {
    let obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    let shown = |c| {
        if obeyed(c) {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

/// Cursor to the start of the last `lines` lines, which are cleared.
fn rewind(lines: usize) -> String {
    match lines {
        0 => String::new(),
        _ => format!("\x1b[{lines}A\r\x1b[0J"),
    }
}

/// The first `columns` columns of a line.
fn clip(line: &str, columns: usize) -> String {
    let mut width = 0;
    line.chars()
        .take_while(|c| {
            width += columns_of(*c);
            width <= columns
        })
        .collect()
}

/// Styled pieces as lines of at most `columns` columns.
fn wrap(pieces: &[Piece], columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut line, mut width) = (String::new(), 0);
    for (style, text) in pieces.iter().map(styled) {
        line.push_str(style);
        for c in harmless(text).replace('\t', "    ").chars() {
            let wide = columns_of(c);
            if c == '\n' || width + wide > columns {
                line.push_str(PLAIN);
                lines.push(std::mem::replace(&mut line, style.to_owned()));
                width = 0;
            }
            if c != '\n' {
                line.push(c);
                width += wide;
            }
        }
        line.push_str(PLAIN);
    }
    lines.push(line);
    lines
}

fn columns_of(c: char) -> usize {
    measure_text_width(c.encode_utf8(&mut [0; 4]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> Vec<String> {
        let lines = wrap(&[Piece::Settled(text.into())], 4);
        lines.iter().map(|line| line.replace(PLAIN, "")).collect()
    }

    #[test]
    fn lines_never_exceed_the_terminal() {
        assert_eq!(plain("abcdef\ng"), ["abcd", "ef", "g"]);
        assert_eq!(plain("日本語"), ["日本", "語"]);
        assert_eq!(clip("step 1/16", 6), "step 1");
    }

    #[test]
    fn an_answer_cannot_command_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\u{9b}c\n"), "a\u{fffd}[2Jb\u{fffd}c\n");
        let lines = wrap(&[Piece::Fresh("\x1b]0;x\x07".into())], 80);
        assert!(lines.iter().all(|line| !line.contains("\x1b]")));
    }
}
