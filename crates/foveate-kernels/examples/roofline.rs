//! How close each kernel comes to what the machine can multiply: `roofline --threads 1 --isa avx2`.
//!
//! Every case is run in turn with a loop of bare multiply-adds, round after round; the median of
//! work per cycle (or per second of processor time) is given as a share of that loop's.

use std::num::NonZeroUsize;
use std::time::Instant;

use foveate_kernels::cpu::cycles::Counter;
use foveate_kernels::{
    Act, Ask, Backend, Cpu, Dtype, Format, Heads, Into, Isa, Layout, Pick, Plan, Rank, Result,
    Rotation, Span, Sum, TensorView,
};

type Buf = <Cpu as Backend>::Buf;
type Run = Box<dyn FnMut(&mut Cpu) -> Result<()>>;

struct Case {
    name: String,
    flops: f64,
    run: Run,
}

struct Options {
    threads: usize,
    isa: Option<Isa>,
    rounds: usize,
    only: String,
}

fn main() -> Result<()> {
    let options = options();
    let counter = Counter::new();
    let threads = NonZeroUsize::new(options.threads);
    let mut cpu = match options.isa {
        Some(isa) => Cpu::with_isa(isa, threads)?,
        None => Cpu::new(threads)?,
    };
    let mut cases = cases(&mut cpu, &options.only)?;
    for case in &mut cases {
        (case.run)(&mut cpu)?;
    }

    let mut peak = Vec::new();
    let mut speed = vec![Vec::new(); cases.len()];
    let mut wall = vec![Vec::new(); cases.len()];
    for _ in 0..options.rounds {
        for (i, case) in cases.iter_mut().enumerate() {
            let before = counter.read();
            let flops = cpu.fma_peak(1_000_000);
            peak.push(flops / (counter.read() - before) as f64);
            // Short cases are repeated until they take about as long as the peak loop.
            let times = (1e8 / case.flops).ceil().max(1.0);
            let (before, start) = (counter.read(), Instant::now());
            for _ in 0..times as usize {
                (case.run)(&mut cpu)?;
            }
            let work = case.flops * times;
            speed[i].push(work / (counter.read() - before) as f64);
            wall[i].push(work / start.elapsed().as_nanos() as f64);
        }
    }
    let peak = median(&mut peak);
    println!(
        "{:?}, {} threads, {} rounds, measured in {}; peak {peak:.1} flop per unit",
        cpu.isa(),
        cpu.threads(),
        options.rounds,
        counter.unit()
    );
    for ((case, speed), wall) in cases.iter().zip(&mut speed).zip(&mut wall) {
        let share = 100.0 * median(speed) / peak;
        println!(
            "{:<44} {share:>6.1} % {:>8.1} GF/s",
            case.name,
            median(wall)
        );
    }
    Ok(())
}

fn options() -> Options {
    let mut options = Options {
        threads: 1,
        isa: None,
        rounds: 7,
        only: String::new(),
    };
    let mut arguments = std::env::args().skip(1);
    while let (Some(name), Some(value)) = (arguments.next(), arguments.next()) {
        match name.as_str() {
            "--threads" => options.threads = value.parse().unwrap_or(1),
            "--rounds" => options.rounds = value.parse().unwrap_or(7),
            "--only" => options.only = value,
            "--isa" => {
                options.isa = Isa::available()
                    .into_iter()
                    .find(|isa| format!("{isa:?}").eq_ignore_ascii_case(&value));
            }
            _ => eprintln!("unknown option {name}"),
        }
    }
    options
}

fn median(x: &mut [f64]) -> f64 {
    x.sort_by(f64::total_cmp);
    x[x.len() / 2]
}

fn random(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn buffer(cpu: &mut Cpu, rows: usize, width: usize) -> Result<Buf> {
    let mut buf = cpu.buf(rows, width)?;
    cpu.write(&random(rows * width), &mut buf, 0)?;
    Ok(buf)
}

fn weight(
    cpu: &Cpu,
    inputs: usize,
    outputs: usize,
    layout: Layout,
    format: Format,
) -> Result<<Cpu as Backend>::Weight> {
    let numbers = random(inputs * outputs);
    let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, outputs, inputs, &bytes)?;
    match layout {
        Layout::Gated => cpu.weight(&[view, view], &[], layout, format),
        _ => cpu.weight(&[view], &[], layout, format),
    }
}

/// The cases whose name contains `only`.
fn cases(cpu: &mut Cpu, only: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for rows in [1, 16, 64, 256, 1024] {
        cases.extend(linear(cpu, only, rows, 4096, 4096, Act::None, Format::F32)?);
    }
    for format in [Format::Bf16, Format::Q8, Format::Q4] {
        for rows in [1, 64, 256, 1024] {
            cases.extend(linear(cpu, only, rows, 4096, 4096, Act::None, format)?);
        }
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
    if !name.contains(only) {
        return Ok(None);
    }
    let (layout, parts) = match act {
        Act::SwiGlu => (Layout::Gated, 2),
        _ => (Layout::Linear, 1),
    };
    let w = weight(cpu, inputs, outputs, layout, format)?;
    let x = buffer(cpu, rows, inputs)?;
    let mut out = cpu.buf(rows, outputs)?;
    Ok(Some(Case {
        name,
        flops: 2.0 * (rows * inputs * outputs * parts) as f64,
        run: Box::new(move |cpu| cpu.linear(&x, &w, act, Into::Store, &mut out)),
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
    if !name.contains(only) {
        return Ok(None);
    }
    let w = weight(cpu, inputs, outputs, Layout::Linear, Format::F32)?;
    let x = buffer(cpu, rows, inputs)?;
    Ok(Some(Case {
        name,
        flops: 2.0 * (rows * inputs * outputs) as f64,
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
    if !name.contains(only) {
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
        run: Box::new(move |cpu| {
            let wanted = probing.is_some().then_some(&mut probe);
            cpu.attend(&q, &[&kv], &heads, &plan, wanted, &mut out)
        }),
    }))
}
