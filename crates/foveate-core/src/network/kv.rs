//! What a request keeps in the network between steps: rows of keys and values for every layer.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use foveate_kernels::{Backend, Dtype, Heads, Into, RowMap};

use crate::error::Result;

/// A [`Store`] of whichever backend made it. A copy shares the memory until one of the two is used.
#[derive(Clone, Debug, Default)]
pub(crate) struct KvHandle {
    store: Option<Arc<dyn Any + Send + Sync>>,
    bytes: usize,
}

impl KvHandle {
    pub(crate) fn is_empty(&self) -> bool {
        self.store.is_none()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// What a pass wants to borrow for one lane.
#[derive(Debug)]
pub(crate) struct KvCheckout {
    pub(crate) handle: KvHandle,
    /// Rows of the lane's sequence.
    pub(crate) rows: usize,
    /// Rows at its end of which outputs are kept besides keys and values.
    pub(crate) outputs: usize,
    /// Whether the inputs of all rows are kept too.
    pub(crate) inputs: bool,
    /// How keys and values are kept.
    pub(crate) dtype: Dtype,
}

/// The packed rows of one lane, which read a checked-out store and renew it.
#[derive(Clone, Debug)]
pub(crate) struct KvWrite {
    /// Index among the checked-out stores.
    pub(crate) store: usize,
    /// Packed rows.
    pub(crate) rows: Range<usize>,
    /// The store's row of each.
    pub(crate) slots: Vec<u32>,
    /// The last of the rows, if their outputs are kept.
    pub(crate) outputs: Option<Outputs>,
    /// Whether the layer's inputs are kept.
    pub(crate) inputs: bool,
}

/// Rows of a checked-out store that come back into the stream.
#[derive(Clone, Debug)]
pub(crate) struct ReturningRows {
    /// Index among the checked-out stores.
    pub(crate) store: usize,
    /// The store's rows.
    pub(crate) from: Vec<u32>,
    /// The packed row of each.
    pub(crate) to: Vec<u32>,
}

/// Packed rows whose outputs are kept.
#[derive(Clone, Debug)]
pub(crate) struct Outputs {
    pub(crate) rows: Range<usize>,
    /// How many of them each layer computes: all, or those least like what is kept.
    pub(crate) count: usize,
}

impl KvWrite {
    /// Keeps the keys and values of all its rows.
    pub(super) fn keep<B: Backend>(
        &self,
        backend: &mut B,
        kv: &B::Buf,
        kept: &mut B::KvRows,
    ) -> Result<()> {
        Ok(backend.write_kv(kv, &self.packed(), &self.slots, kept)?)
    }

    /// Keeps the inputs of all its rows.
    pub(super) fn keep_input<B: Backend>(
        &self,
        backend: &mut B,
        x: &B::Buf,
        kept: &mut B::Buf,
    ) -> Result<()> {
        Ok(backend.scatter(x, &self.packed(), &self.slots, Into::Store, kept)?)
    }

    fn packed(&self) -> Vec<u32> {
        self.rows.clone().map(|r| r as u32).collect()
    }

    /// The store's row of packed row `row`.
    pub(super) fn slot(&self, row: u32) -> u32 {
        self.slots[row as usize - self.rows.start]
    }
}

/// One row per row of the sequence, in every layer.
pub(crate) struct Store<B: Backend> {
    pub(crate) layers: Vec<LayerKv<B>>,
    rows: usize,
    /// Rows of outputs, the last of the sequence.
    outputs: usize,
    /// Rows of inputs: all or none.
    inputs: usize,
    /// How keys and values are kept.
    dtype: Dtype,
}

/// One layer of a [`Store`].
pub(crate) struct LayerKv<B: Backend> {
    /// Keys before rotation, and values.
    pub(crate) kv: B::KvRows,
    /// What attention and MLP added to the residual stream, each `[outputs, hidden]`.
    pub(crate) outputs: [B::Buf; 2],
    /// The layer's input, `[inputs, hidden]`.
    pub(crate) input: B::Buf,
}

/// Widths of a store's rows.
#[derive(Clone, Copy)]
pub(crate) struct Widths {
    pub(crate) layers: usize,
    pub(crate) heads: Heads,
    pub(crate) hidden: usize,
}

impl<B: Backend> Store<B> {
    /// The store of a checkout, or zeros for all its rows.
    pub(crate) fn open(backend: &mut B, checkout: KvCheckout, widths: Widths) -> Result<Self> {
        let shared = checkout
            .handle
            .store
            .and_then(|s| s.downcast::<Self>().ok());
        match shared.map(Arc::try_unwrap) {
            Some(Ok(store)) => Ok(store),
            Some(Err(shared)) => shared.copy(backend, widths),
            None => {
                let inputs = if checkout.inputs { checkout.rows } else { 0 };
                let counts = [checkout.rows, checkout.outputs, inputs];
                Self::new(backend, counts, widths, checkout.dtype)
            }
        }
    }

    fn new(
        backend: &B,
        [rows, outputs, inputs]: [usize; 3],
        widths: Widths,
        dtype: Dtype,
    ) -> Result<Self> {
        let layer = |_| {
            let output = || backend.buf(outputs, widths.hidden);
            Ok(LayerKv {
                kv: backend.kv_rows(rows, &widths.heads, dtype)?,
                outputs: [output()?, output()?],
                input: backend.buf(inputs, widths.hidden)?,
            })
        };
        let layers = (0..widths.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self {
            layers,
            rows,
            outputs,
            inputs,
            dtype,
        })
    }

    fn copy(&self, backend: &mut B, widths: Widths) -> Result<Self> {
        let counts = [0, self.outputs, self.inputs];
        let mut new = Self::new(backend, counts, widths, self.dtype)?;
        new.rows = self.rows;
        let rows: Vec<u32> = (0..self.rows as u32).collect();
        let [outputs, inputs] = [self.outputs, self.inputs].map(RowMap::identity);
        for (from, to) in self.layers.iter().zip(&mut new.layers) {
            to.kv = backend.gather_kv(&from.kv, &rows)?;
            backend.combine(&from.input, &inputs, &mut to.input, 0)?;
            for (from, to) in from.outputs.iter().zip(&mut to.outputs) {
                backend.combine(from, &outputs, to, 0)?;
            }
        }
        Ok(new)
    }

    /// Where the outputs of the store's row `slot` are kept.
    pub(crate) fn output(&self, slot: u32) -> u32 {
        slot - (self.rows - self.outputs) as u32
    }

    /// Drops every row but these; the memory of the others is given back. Rows with outputs stay.
    pub(crate) fn retain(&mut self, backend: &mut B, rows: &[u32], widths: Widths) -> Result<()> {
        let map = RowMap::gather(rows);
        for kept in &mut self.layers {
            kept.kv = backend.gather_kv(&kept.kv, rows)?;
            if self.inputs > 0 {
                let mut less = backend.buf(rows.len(), widths.hidden)?;
                backend.combine(&kept.input, &map, &mut less, 0)?;
                kept.input = less;
            }
        }
        self.inputs = self.inputs.min(rows.len());
        self.rows = rows.len();
        Ok(())
    }

    /// Back to whoever lent it.
    pub(crate) fn close(self, widths: Widths) -> KvHandle {
        let others = 2 * self.outputs + self.inputs;
        let kv = self.rows * self.dtype.row_bytes(widths.heads.kv_width());
        let layer = kv + Dtype::F32.row_bytes(others * widths.hidden);
        KvHandle {
            bytes: self.layers.len() * layer,
            store: Some(Arc::new(self)),
        }
    }
}
