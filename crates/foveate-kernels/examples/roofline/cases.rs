//! What is measured: linears, the head and attentions at the sizes of real models.

use foveate_kernels::quant::encode_row;
use foveate_kernels::{
    Act, Ask, Backend, Cpu, Dtype, Format, Heads, Into, Layout, Pick, Plan, Qkv, Rank, Result,
    Rotation, Span, Sum, TensorView,
};

use crate::random::random;

/// Rows of activations.
type Buf = <Cpu as Backend>::Buf;
type Run = Box<dyn FnMut(&mut Cpu) -> Result<()>>;

/// Up to this many rows a weight costs as much to read as to multiply, so it must not lie in a cache.
const FEW_ROWS: usize = 32;
/// Bytes of weights that take turns where they must come from memory.
pub(crate) const BEYOND_CACHES: usize = 128 << 20;

/// Of all weights and activations.
const SEED: u64 = 1;

/// One call that is measured.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Floating-point operations of a call.
    pub(crate) flops: f64,
    /// Bytes of weights that a call reads.
    pub(crate) bytes: f64,
    pub(crate) run: Run,
}

fn buffer(cpu: &mut Cpu, rows: usize, width: usize) -> Result<Buf> {
    let mut buf = cpu.buf(rows, width)?;
    cpu.write(&random(rows * width, SEED), &mut buf, 0)?;
    Ok(buf)
}

fn weight(
    cpu: &Cpu,
    inputs: usize,
    outputs: usize,
    layout: Layout,
    format: Format,
    copies: usize,
) -> Result<Vec<<Cpu as Backend>::Weight>> {
    let dtype = match format {
        Format::Auto | Format::F32 => Dtype::F32,
        Format::Bf16 => Dtype::Bf16,
        Format::Q8 => Dtype::Q8,
        Format::Q4 => Dtype::Q4,
    };
    let mut stored = Vec::new();
    for row in random(inputs * outputs, SEED).chunks_exact(inputs) {
        encode_row(dtype, row, &mut stored);
    }
    let view = TensorView::new(dtype, outputs, inputs, &stored)?;
    let parts = match layout {
        Layout::Gated => vec![view, view],
        _ => vec![view],
    };
    (0..copies)
        .map(|_| cpu.weight(&parts, &[], layout, format))
        .collect()
}

/// The cases whose name contains `only`, or one of several such texts between commas.
pub(crate) fn cases(cpu: &mut Cpu, only: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for format in [Format::F32, Format::Bf16, Format::Q8, Format::Q4] {
        for rows in [1, 4, 16, 32, 64, 256, 1024] {
            cases.extend(linear(cpu, only, rows, 4096, 4096, Act::None, format)?);
        }
        cases.extend(linear(cpu, only, 256, 4096, 12_288, Act::None, format)?);
    }
    for rows in [64, 310, 857] {
        cases.extend(linear(cpu, only, rows, 512, 512, Act::None, Format::F32)?);
        cases.extend(linear(cpu, only, rows, 512, 1536, Act::None, Format::F32)?);
        cases.extend(linear(
            cpu,
            only,
            rows,
            512,
            1536,
            Act::SwiGlu,
            Format::F32,
        )?);
        cases.extend(linear(cpu, only, rows, 1536, 512, Act::None, Format::F32)?);
    }
    cases.extend(linear(
        cpu,
        only,
        729,
        1152,
        4304,
        Act::GeluTanh,
        Format::F32,
    )?);
    cases.extend(linear(cpu, only, 729, 4304, 1152, Act::None, Format::F32)?);
    cases.extend(head(cpu, only, 64, 512, 32_768)?);
    for (count, dim, queries, keys) in [
        (32, 128, 1024, 1024),
        (8, 64, 857, 857),
        (8, 64, 310, 310),
        (8, 64, 64, 857),
        (16, 72, 729, 729),
    ] {
        for probing in [None, Some(Sum::PerRow), Some(Sum::OverRows)] {
            let heads = Heads {
                count,
                kv_count: count,
                dim,
            };
            cases.extend(attention(cpu, only, heads, queries, keys, probing)?);
        }
    }
    Ok(cases)
}

fn wanted(name: &str, only: &str) -> bool {
    only.split(',').any(|part| name.contains(part))
}

fn linear(
    cpu: &mut Cpu,
    only: &str,
    rows: usize,
    inputs: usize,
    outputs: usize,
    act: Act,
    format: Format,
) -> Result<Option<Case>> {
    let name = format!("linear {rows}x{inputs}x{outputs} {act:?} {format:?}");
    if !wanted(&name, only) {
        return Ok(None);
    }
    let (layout, parts) = match act {
        Act::SwiGlu => (Layout::Gated, 2),
        _ => (Layout::Linear, 1),
    };
    let before = cpu.memory().weights;
    let mut weights = weight(cpu, inputs, outputs, layout, format, 1)?;
    let bytes = cpu.memory().weights - before;
    if rows <= FEW_ROWS {
        let copies = BEYOND_CACHES.div_ceil(bytes);
        weights = weight(cpu, inputs, outputs, layout, format, copies)?;
    }
    let x = buffer(cpu, rows, inputs)?;
    let mut out = cpu.buf(rows, outputs)?;
    let mut next = 0;
    Ok(Some(Case {
        name,
        flops: 2.0 * (rows * inputs * outputs * parts) as f64,
        bytes: bytes as f64,
        run: Box::new(move |cpu| {
            next = (next + 1) % weights.len();
            cpu.linear(&x, &weights[next], act, Into::Store, &mut out)
        }),
    }))
}

fn head(
    cpu: &mut Cpu,
    only: &str,
    rows: usize,
    inputs: usize,
    outputs: usize,
) -> Result<Option<Case>> {
    let name = format!("rank {rows}x{inputs}x{outputs}");
    if !wanted(&name, only) {
        return Ok(None);
    }
    let w = weight(cpu, inputs, outputs, Layout::Linear, Format::F32, 1)?.remove(0);
    let x = buffer(cpu, rows, inputs)?;
    Ok(Some(Case {
        name,
        flops: 2.0 * (rows * inputs * outputs) as f64,
        bytes: 4.0 * (inputs * outputs) as f64,
        run: Box::new(move |cpu| {
            let rank = Rank {
                forbidden: &[7],
                picks: &vec![Pick::Greedy; rows],
            };
            cpu.rank(&x, &w, &rank, &mut Vec::new())
        }),
    }))
}

fn attention(
    cpu: &mut Cpu,
    only: &str,
    heads: Heads,
    queries: usize,
    keys: usize,
    probing: Option<Sum>,
) -> Result<Option<Case>> {
    let kind = probing.map_or(String::new(), |sum| format!(" probe {sum:?}"));
    let name = format!(
        "attend {}x{} q {queries} k {keys}{kind}",
        heads.count, heads.dim
    );
    if !wanted(&name, only) {
        return Ok(None);
    }
    let q = buffer(cpu, queries, heads.count * heads.dim)?;
    let kv = buffer(cpu, keys, 2 * heads.count * heads.dim)?;
    let mut out = cpu.buf(queries, heads.count * heads.dim)?;
    // As a pruner asks: some answer rows one by one, or all rows in one sum.
    let asked = match probing {
        Some(Sum::PerRow) => queries.saturating_sub(64)..queries,
        _ => 0..queries,
    };
    let asks: Vec<Ask> = probing
        .into_iter()
        .map(|sum| Ask {
            queries: asked.clone(),
            keys: 0..keys,
            sum,
        })
        .collect();
    let mut probe = cpu.buf(1, asks.iter().map(Ask::len).sum())?;
    let plan = cpu.plan(&Plan {
        spans: vec![Span {
            queries: 0..queries,
            keys: 0..keys,
        }],
        rotation: Some(Rotation {
            theta: 500_000.0,
            dim: heads.dim,
            queries: (0..queries as u32).collect(),
            keys: (0..keys as u32).collect(),
        }),
        hidden: Vec::new(),
        asks,
    })?;
    Ok(Some(Case {
        name,
        flops: 4.0 * (heads.count * heads.dim * queries * keys) as f64,
        bytes: 0.0,
        run: Box::new(move |cpu| {
            let wanted = probing.is_some().then_some(&mut probe);
            cpu.attend(&Qkv::fresh(&q, &kv), &heads, &plan, wanted, &mut out)
        }),
    }))
}
