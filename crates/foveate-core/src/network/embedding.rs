//! Packed input rows: token embeddings and visual features, side by side.

use foveate_kernels::{Backend, Layout};

use super::{Input, Part, Source};
use crate::error::Result;

/// The token embedding table.
pub(crate) struct Embedding<B: Backend> {
    table: B::Weight,
    hidden: usize,
}

impl<B: Backend> Embedding<B> {
    /// Reads the first `vocabulary` rows of `name`, stored as `[stored, hidden]`.
    pub(crate) fn load(
        backend: &B,
        source: &Source<'_>,
        name: &str,
        [stored, hidden]: [usize; 2],
        vocabulary: usize,
    ) -> Result<Self> {
        let part = Part::Vocabulary;
        let tensor = source.take(name, &[stored, hidden], part)?;
        let table = tensor.view()?.head(vocabulary)?;
        let format = source.format(part);
        Ok(Self {
            table: backend.weight(&[table], &[], Layout::Table, format)?,
            hidden,
        })
    }

    /// Writes all inputs, in order, from row 0 on.
    pub(crate) fn fill(
        &self,
        backend: &mut B,
        inputs: &[Input<'_>],
        out: &mut B::Buf,
    ) -> Result<()> {
        let mut at = 0;
        for input in inputs {
            match input {
                Input::Tokens(ids) => {
                    backend.embed(&self.table, ids, out, at)?;
                    at += ids.len();
                }
                Input::Features(rows) => {
                    backend.write(rows, out, at)?;
                    at += rows.len() / self.hidden;
                }
            }
        }
        Ok(())
    }
}
