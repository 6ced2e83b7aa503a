//! Rows kept as bf16 are the same rows, rounded once.

mod common;

use common::{
    Attention, bits, close, download, every_isa, kept, random, request_errors, threads, upload,
};
use foveate_kernels::{
    Act, Ask, Backend, Cpu, Dtype, Heads, Into, Norm, NormKind, Plan, Reference, Rotation, RowMap,
    Span, Sum,
};

/// The nearest numbers that bf16 has.
fn rounded(x: &[f32]) -> Vec<f32> {
    x.iter()
        .map(|x| half::bf16::from_f32(*x).to_f32())
        .collect()
}

/// Rows 2 and 0 stored over, row 1 added to, then three sums of rows.
fn pass_through<B: Backend>(b: &mut B) -> Vec<f32> {
    let width = 37;
    let x = upload(b, &random(3 * width, 1), width);
    let mut store = kept(b, &random(4 * width, 2), width, Dtype::Bf16);
    b.scatter(&x, &[0, 2], &[2, 0], Into::Store, &mut store)
        .expect("rows");
    b.scatter(&x, &[1, 2], &[1, 3], Into::Add, &mut store)
        .expect("rows");
    let mut less = b.kept(3, width, Dtype::Bf16).expect("a buffer");
    let map = RowMap {
        starts: vec![0, 1, 3, 4],
        from: vec![3, 0, 1, 2],
        weight: vec![1.0, 0.5, 0.25, 1.0],
    };
    b.combine(&store, &map, &mut less, 0).expect("rows");
    let mut out = b.buf(5, width).expect("a buffer");
    b.combine(&less, &RowMap::identity(3), &mut out, 0)
        .expect("rows");
    b.scatter(&store, &[0, 3], &[3, 4], Into::Store, &mut out)
        .expect("rows");
    download(b, &out, 5)
}

#[test]
fn every_backend_keeps_the_same_bits() {
    let want = bits(&pass_through(&mut Reference::default()));
    for mut cpu in every_isa(2) {
        assert_eq!(bits(&pass_through(&mut cpu)), want, "{:?}", cpu.isa());
    }
}

#[test]
fn what_comes_back_is_what_came_in_rounded_once() {
    // Enough rows that threads share them.
    let (rows, width) = (700, 257);
    let x = random(rows * width, 3);
    for mut cpu in every_isa(3) {
        let store = kept(&mut cpu, &x, width, Dtype::Bf16);
        let mut out = cpu.buf(rows, width).expect("a buffer");
        let all: Vec<u32> = (0..rows as u32).collect();
        cpu.scatter(&store, &all, &all, Into::Store, &mut out)
            .expect("rows");
        assert!(bits(&download(&mut cpu, &out, rows)) == bits(&rounded(&x)));
    }
}

fn attention(dim: usize, dtype: Dtype) -> Attention {
    let heads = Heads {
        count: 4,
        kv_count: 2,
        dim,
    };
    let (queries, keys) = (33, 77);
    let span = Span {
        queries: 0..queries,
        keys: 3..keys,
    };
    let plan = Plan {
        spans: vec![span],
        rotation: Some(Rotation {
            dim,
            theta: 1e4,
            queries: (5..5 + queries as u32).collect(),
            keys: (0..keys as u32).collect(),
        }),
        hidden: Vec::new(),
        asks: vec![Ask {
            queries: 1..20,
            keys: 3..60,
            sum: Sum::PerRow,
        }],
    };
    let mut one = Attention::new(heads, queries, keys, plan, 5);
    one.cuts = vec![20, 31];
    one.dtype = dtype;
    one
}

#[test]
fn attention_over_kept_rows_is_attention_over_rounded_ones_bit_for_bit() {
    // Neither sixteen nor a tile divides 72.
    for dim in [64, 72] {
        let halves = attention(dim, Dtype::Bf16);
        let floats = Attention {
            kv: rounded(&halves.kv),
            dtype: Dtype::F32,
            ..halves.clone()
        };
        let (plain, plain_probe) = halves.run(&mut Reference::default(), true);
        for mut cpu in every_isa(2) {
            let (want, want_probe) = floats.run(&mut cpu, true);
            let (got, got_probe) = halves.run(&mut cpu, true);
            assert!(
                bits(&got) == bits(&want) && bits(&got_probe) == bits(&want_probe),
                "{:?}",
                cpu.isa()
            );
            close(&got, &plain, 1e-4, "attention over bf16");
            close(&got_probe, &plain_probe, 1e-4, "its probe");
        }
    }
}

#[test]
fn the_rows_least_alike_are_found_among_kept_ones() {
    let width = 50;
    let (x, old) = (random(9 * width, 6), random(12 * width, 7));
    let to = [11, 4, 0, 7, 3];
    let find = |b: &mut dyn FnMut(Dtype, &[f32]) -> Vec<u32>| {
        (b(Dtype::Bf16, &old), b(Dtype::F32, &rounded(&old)))
    };
    for mut cpu in every_isa(1) {
        let (got, want) = find(&mut |dtype, old| {
            let new = upload(&mut cpu, &x, width);
            let old = kept(&mut cpu, old, width, dtype);
            cpu.least_alike(&new, 2..7, &old, &to, 3..40, 2)
                .expect("two rows")
        });
        assert_eq!(got, want);
    }
}

#[test]
fn operations_on_activations_refuse_rows_kept_as_bf16() {
    let mut b = Cpu::new(threads(2)).expect("two threads");
    let heads = Heads {
        count: 1,
        kv_count: 1,
        dim: 8,
    };
    let store = b.kept(2, 8, Dtype::Bf16).expect("a buffer");
    let floats = b.buf(2, 8).expect("a buffer");
    let kv = b.buf(2, 16).expect("a buffer");
    let plan = b.plan(&Plan::default()).expect("a plan");
    let w = common::Linear::new(8, &[8], 1).weight(&b);
    let scale = b.buf(1, 8).expect("a buffer");
    let norm = Norm {
        kind: NormKind::Rms,
        scale: &scale,
        shift: None,
        eps: 1e-5,
    };
    let mut out = b.buf(2, 8).expect("a buffer");
    let mut kept = b.kept(2, 8, Dtype::Bf16).expect("a buffer");
    request_errors(&[
        b.linear(&store, &w, Act::None, Into::Store, &mut out),
        b.linear(&floats, &w, Act::None, Into::Store, &mut kept),
        b.norm(&store, None, &norm, &mut out),
        b.norm(&floats, None, &norm, &mut kept),
        b.attend(&store, &[&kv], &heads, &plan, None, &mut out),
        b.attend(&floats, &[&kv], &heads, &plan, None, &mut kept),
        b.read(&store, 0..1, &mut Vec::new()),
        b.write(&[0.0; 8], &mut kept, 0),
        b.kept(1, 8, Dtype::Q8).map(|_| ()),
    ]);
}
