//! Progress bars on standard error, hidden when nobody can see them move.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over the layers of a model.
pub fn layers(what: &'static str) -> ProgressBar {
    bar("{msg} {bar:32} layer {pos}/{len}").with_message(what)
}

/// A bar over the bytes of a file.
pub fn bytes(name: &str, size: u64) -> ProgressBar {
    let bar = bar("{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    bar.set_length(size);
    bar.with_message(name.to_owned())
}

/// A bar over bytes of a number that is known later.
pub fn written(what: &'static str) -> ProgressBar {
    bar("{msg} {bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}").with_message(what)
}

/// A bar over things of a known number.
pub fn counted(what: &'static str, of: usize) -> ProgressBar {
    let bar = bar("{msg} {bar:32} {pos}/{len}").with_message(what);
    bar.set_length(of as u64);
    bar
}

/// Moves a bar whose length is known only now.
pub fn set(bar: &ProgressBar, done: usize, of: usize) {
    bar.set_length(of as u64);
    bar.set_position(done as u64);
}

/// A bar of this template.
pub fn bar(template: &str) -> ProgressBar {
    // `stderr` hides the bar by itself when it is not a terminal.
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    bar.set_style(style);
    bar
}
