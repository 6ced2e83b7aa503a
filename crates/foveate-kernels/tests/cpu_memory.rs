//! What is refused, what is kept and how much memory is held.

mod common;

use common::{Linear, bits, download, random, request_errors, threads, upload};
use foveate_kernels::{
    Act, Ask, Backend, Cpu, Dtype, Error, Format, Heads, Hidden, Into, Layout, Norm, NormKind,
    Pick, Plan, Qkv, Rank, Rotation, RowMap, Span, Sum, TensorView,
};

fn cpu() -> Cpu {
    Cpu::new(threads(2)).expect("two threads")
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let mut b = cpu();
    let w = Linear::new(10, &[20], 1).weight(&b);
    let x = b.buf(3, 10).expect("a buffer");
    let wrong = b.buf(3, 11).expect("a buffer");
    let mut out = b.buf(2, 20).expect("a buffer");
    request_errors(&[
        b.linear(&wrong, &w, Act::None, Into::Store, &mut out),
        b.linear(&x, &w, Act::SwiGlu, Into::Store, &mut out),
        b.linear(&x, &w, Act::None, Into::Add, &mut out),
        b.write(&[0.0; 60], &mut out, 0),
        b.write(&[0.0; 20], &mut out, usize::MAX),
        b.write(&[0.0; 3], &mut out, 0),
        b.read(&x, 2..4, &mut Vec::new()),
        b.embed(&w, &[0], &mut out, 0),
        b.rank(
            &x,
            &w,
            &Rank {
                forbidden: &[],
                picks: &[Pick::Greedy],
            },
            &mut Vec::new(),
        ),
        b.combine(
            &x,
            &RowMap::gather(&[3]),
            &mut b.buf(1, 10).expect("a buffer"),
            0,
        ),
        b.combine(
            &x,
            &RowMap::gather(&[0, 1]),
            &mut b.buf(1, 10).expect("a buffer"),
            0,
        ),
        b.norm(
            &x,
            Some(&[3]),
            &Norm {
                kind: NormKind::Rms,
                scale: &x,
                shift: None,
                eps: 0.0,
            },
            &mut b.buf(1, 10).expect("a buffer"),
        ),
    ]);
}

#[test]
fn a_table_cannot_multiply_and_a_linear_cannot_be_looked_up() {
    let mut b = cpu();
    let mut table = Linear::new(10, &[20], 1);
    table.layout = Layout::Table;
    let w = table.weight(&b);
    let x = b.buf(3, 10).expect("a buffer");
    let mut out = b.buf(3, 20).expect("a buffer");
    let mut row = b.buf(1, 10).expect("a buffer");
    request_errors(&[
        b.linear(&x, &w, Act::None, Into::Store, &mut out),
        b.embed(&w, &[20], &mut row, 0),
        b.embed(&w, &[1, 2], &mut row, 0),
    ]);
}

#[test]
fn weights_whose_parts_do_not_fit_are_errors() {
    let b = cpu();
    let bytes = [0; 4 * 12];
    let view = |rows, cols| {
        TensorView::new(Dtype::F32, rows, cols, &bytes[..rows * cols * 4]).expect("a view")
    };
    request_errors(&[
        b.weight(&[], &[], Layout::Linear, Format::Auto).map(drop),
        b.weight(&[view(2, 3), view(2, 4)], &[], Layout::Linear, Format::Auto)
            .map(drop),
        b.weight(&[view(2, 3)], &[view(1, 3)], Layout::Linear, Format::Auto)
            .map(drop),
        b.weight(&[view(2, 3), view(3, 3)], &[], Layout::Gated, Format::Auto)
            .map(drop),
        b.weight(&[view(2, 3)], &[], Layout::Gated, Format::Auto)
            .map(drop),
    ]);
}

#[test]
fn plans_that_overlap_or_ask_outside_are_errors() {
    let mut b = cpu();
    let span = |queries, keys| Span { queries, keys };
    let mut plan = |spans: &[Span], asks: &[Ask]| {
        b.plan(&Plan {
            spans: spans.to_vec(),
            rotation: None,
            hidden: Vec::new(),
            asks: asks.to_vec(),
        })
        .map(drop)
    };
    let ask = |queries, keys| Ask {
        queries,
        keys,
        sum: Sum::PerRow,
    };
    let hide = |query, key| {
        cpu()
            .plan(&Plan {
                spans: vec![span(0..5, 0..5)],
                hidden: vec![Hidden { query, key }],
                ..Plan::default()
            })
            .map(drop)
    };
    request_errors(&[
        plan(&[span(0..5, 0..5), span(4..6, 0..5)], &[]),
        plan(&[span(0..5, 0..5)], &[ask(0..6, 0..5)]),
        hide(5, 0),
        hide(0, 5),
        plan(&[span(0..5, 0..5)], &[ask(0..5, 0..6)]),
        b.plan(&Plan {
            spans: vec![span(0..5, 0..5)],
            rotation: Some(Rotation {
                theta: 10.0,
                dim: 4,
                queries: vec![0; 4],
                keys: vec![0; 5],
            }),
            hidden: Vec::new(),
            asks: Vec::new(),
        })
        .map(drop),
    ]);
}

#[test]
fn an_attention_over_missing_rows_or_with_a_wrong_probe_is_an_error() {
    let mut b = cpu();
    let heads = Heads {
        count: 2,
        kv_count: 1,
        dim: 4,
    };
    let plan = b
        .plan(&Plan {
            spans: vec![Span {
                queries: 0..3,
                keys: 0..6,
            }],
            ..Plan::default()
        })
        .expect("a plan");
    let q = b.buf(3, 8).expect("a buffer");
    let few = b.buf(5, 8).expect("a buffer");
    let enough = b.buf(6, 8).expect("a buffer");
    let mut out = b.buf(3, 8).expect("a buffer");
    let mut probe = b.buf(1, 2).expect("a buffer");
    let odd = Heads {
        kv_count: 0,
        ..heads
    };
    request_errors(&[
        b.attend(&Qkv::fresh(&q, &few), &heads, &plan, None, &mut out),
        b.attend(
            &Qkv::fresh(&q, &enough),
            &heads,
            &plan,
            Some(&mut probe),
            &mut out,
        ),
        b.attend(&Qkv::fresh(&q, &enough), &odd, &plan, None, &mut out),
    ]);
}

#[test]
fn an_allocation_that_cannot_be_served_is_an_error() {
    let result = cpu().buf(usize::MAX / 64, 16);
    assert!(matches!(result, Err(Error::Memory { .. })));
}

#[test]
fn a_buffer_keeps_its_memory_and_forgets_its_rows() {
    let mut b = cpu();
    let mut buf = upload(&mut b, &random(100 * 8, 1), 8);
    let held = b.memory().buffers;
    b.resize(&mut buf, 3).expect("fewer rows");
    b.resize(&mut buf, 100).expect("as many rows");
    assert_eq!(b.memory().buffers, held);
    let rows = download(&mut b, &buf, 100);
    assert_eq!(rows[..3 * 8], random(100 * 8, 1)[..3 * 8]);
    assert!(rows[3 * 8..].iter().all(|x| x.to_bits() == 0));
    drop(buf);
    assert_eq!(b.memory().buffers, held - 100 * 8 * 4);
}

#[test]
fn working_memory_is_reused_and_does_not_change_results() {
    let mut b = cpu();
    let linear = Linear::new(300, &[200], 1);
    let w = linear.weight(&b);
    let x = random(250 * 300, 2);
    let first = linear.run_with(&mut b, &w, &x);
    let held = b.memory();
    for _ in 0..3 {
        linear.run_with(&mut b, &w, &x[..7 * 300]);
        let again = linear.run_with(&mut b, &w, &x);
        assert_eq!(bits(&again), bits(&first));
    }
    assert_eq!(b.memory(), held);
}

#[test]
fn memory_grows_linearly_with_rows_in_attention_too() {
    let held = |rows: usize| {
        let mut b = cpu();
        let heads = Heads {
            count: 4,
            kv_count: 4,
            dim: 16,
        };
        let plan = b
            .plan(&Plan {
                spans: vec![Span {
                    queries: 0..rows,
                    keys: 0..rows,
                }],
                ..Plan::default()
            })
            .expect("a plan");
        let q = upload(&mut b, &random(rows * 64, 1), 64);
        let kv = upload(&mut b, &random(rows * 128, 1), 128);
        let mut out = b.buf(rows, 64).expect("a buffer");
        b.attend(&Qkv::fresh(&q, &kv), &heads, &plan, None, &mut out)
            .expect("an attention");
        b.memory().buffers
    };
    let (one, two, four) = (held(500), held(1000), held(2000));
    let (first, second) = (two - one, four - two);
    assert!(second < 2 * first + first / 8, "{one} {two} {four}");
}

#[test]
fn weights_are_counted_while_they_live() {
    let b = cpu();
    let mut linear = Linear::new(64, &[160], 1);
    let w = linear.weight(&b);
    assert_eq!(b.memory().weights, 160 * 64 * 4);
    linear.dtype = Dtype::Bf16;
    let half = linear.weight(&b);
    assert_eq!(b.memory().weights, 160 * 64 * 6);
    // Two groups of 34 bytes an output, or one of 74.
    linear.format = Format::Q8;
    let q8 = linear.weight(&b);
    assert_eq!(b.memory().weights, 160 * (64 * 6 + 2 * 34));
    linear.format = Format::Q4;
    let q4 = linear.weight(&b);
    assert_eq!(b.memory().weights, 160 * (64 * 6 + 2 * 34 + 74));
    drop((w, half, q8, q4));
    assert_eq!(b.memory().weights, 0);
}

#[test]
fn every_operation_names_its_kernel() {
    let names: Vec<_> = cpu().kernels().iter().map(|k| k.operation).collect();
    assert_eq!(
        names,
        [
            "embed",
            "combine",
            "scatter",
            "write_kv",
            "gather_kv",
            "least_alike",
            "norm",
            "linear",
            "linear q8, q4",
            "attend",
            "rank"
        ]
    );
}
