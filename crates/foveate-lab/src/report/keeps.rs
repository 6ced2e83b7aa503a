//! `--keeps`: keep ratios at which choices of visual tokens are compared.

use anyhow::Result;

use crate::exit::usage;

/// The ratios.
#[derive(clap::Args, Debug)]
pub(crate) struct KeepsArgs {
    /// Keep ratios at which the choices of visual tokens are compared
    #[arg(
        long,
        env = "FOVEATE_KEEPS",
        value_name = "R,…",
        value_delimiter = ',',
        default_value = "0.5,0.25"
    )]
    keeps: Vec<f64>,
}

impl KeepsArgs {
    /// The ratios, each above 0 and at most 1.
    pub(crate) fn checked(&self) -> Result<&[f64]> {
        let possible = |keep: &f64| *keep > 0.0 && *keep <= 1.0;
        match self.keeps.iter().find(|keep| !possible(keep)) {
            Some(keep) => Err(usage(format!(
                "--keeps: expected shares above 0 and at most 1, got {keep}"
            ))),
            None => Ok(&self.keeps),
        }
    }
}
