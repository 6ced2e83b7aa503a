//! Keys and values that are stored are those that came in, rounded once if they are stored as bf16.

mod common;

use common::{bits, every_isa, kv_rows, random, request_errors, threads, upload};
use foveate_kernels::{
    Ask, Backend, Cpu, Dtype, Heads, Isa, Plan, Qkv, Reference, Result, Rotation, Span, Sum,
};

/// The nearest numbers that bf16 has.
fn rounded(x: &[f32]) -> Vec<f32> {
    x.iter()
        .map(|x| half::bf16::from_f32(*x).to_f32())
        .collect()
}

const HEADS: Heads = Heads {
    count: 4,
    kv_count: 2,
    dim: 24,
};
const WIDTH: usize = 2 * 2 * 24;

/// Attention of some queries over `rows` stored rows: as bits, and what it was watched doing.
fn look<B: Backend>(b: &mut B, stored: &B::KvRows, rows: usize) -> [Vec<u32>; 2] {
    try_look(b, stored, rows).expect("an attention")
}

fn try_look<B: Backend>(b: &mut B, stored: &B::KvRows, rows: usize) -> Result<[Vec<u32>; 2]> {
    let (q, fresh) = (
        upload(b, &random(5 * 96, 9), 96),
        b.buf(0, WIDTH).expect("a buffer"),
    );
    let plan = Plan {
        spans: vec![Span {
            queries: 0..5,
            keys: 0..rows,
        }],
        rotation: Some(Rotation {
            theta: 1e4,
            dim: 24,
            queries: (7..12).collect(),
            keys: (0..rows as u32).map(|p| 3 * p).collect(),
        }),
        hidden: Vec::new(),
        asks: vec![Ask {
            queries: 0..5,
            keys: 0..rows,
            sum: Sum::PerRow,
        }],
    };
    let plan = b.plan(&plan).expect("a plan");
    let (mut out, mut probe) = (
        b.buf(5, 96).expect("a buffer"),
        b.buf(1, 5 * rows).expect("a buffer"),
    );
    b.attend(
        &Qkv {
            q: &q,
            kv: &fresh,
            stored: &[stored],
        },
        &HEADS,
        &plan,
        Some(&mut probe),
        &mut out,
    )?;
    Ok([
        bits(&common::download(b, &out, 5)),
        bits(&common::download(b, &probe, 1)),
    ])
}

fn every_backend(mut check: impl FnMut(Cpu)) {
    for n in [1, 3] {
        every_isa(n).into_iter().for_each(&mut check);
    }
}

#[test]
fn a_stored_row_replaces_the_one_in_its_place_alone() {
    let (old, new) = (random(40 * WIDTH, 1), random(9 * WIDTH, 2));
    // Runs that end with a tile, go over its end, begin inside one; single rows; backwards.
    let from = [0, 1, 2, 3, 4, 7, 6, 5, 8];
    let to = [10, 11, 12, 13, 14, 5, 39, 23, 24];
    let mut want = old.clone();
    for (&from, &to) in from.iter().zip(&to) {
        let row = &new[from as usize * WIDTH..][..WIDTH];
        want[to as usize * WIDTH..][..WIDTH].copy_from_slice(row);
    }
    every_backend(|mut b| {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut got = kv_rows(&mut b, &old, &HEADS, dtype);
            let rows = upload(&mut b, &new, WIDTH);
            b.write_kv(&rows, &from, &to, &mut got)
                .expect("rows to store");
            let want = kv_rows(&mut b, &want, &HEADS, dtype);
            assert!(
                look(&mut b, &got, 40) == look(&mut b, &want, 40),
                "{:?}",
                b.isa()
            );
        }
    });
}

#[test]
fn a_copy_of_some_rows_has_their_bits() {
    let all = random(40 * WIDTH, 1);
    let rows = [0, 3, 4, 5, 11, 12, 13, 24, 39, 38];
    let want: Vec<f32> = rows
        .iter()
        .flat_map(|&r| all[r as usize * WIDTH..][..WIDTH].to_vec())
        .collect();
    every_backend(|mut b| {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let whole = kv_rows(&mut b, &all, &HEADS, dtype);
            let got = b.gather_kv(&whole, &rows).expect("a copy");
            let want = kv_rows(&mut b, &want, &HEADS, dtype);
            assert!(
                look(&mut b, &got, 10) == look(&mut b, &want, 10),
                "{:?}",
                b.isa()
            );
        }
    });
}

#[test]
fn bf16_stores_the_nearest_numbers() {
    let x = random(333 * WIDTH, 3);
    every_backend(|mut b| {
        let got = kv_rows(&mut b, &x, &HEADS, Dtype::Bf16);
        let want = kv_rows(&mut b, &rounded(&x), &HEADS, Dtype::F32);
        assert!(
            look(&mut b, &got, 333) == look(&mut b, &want, 333),
            "{:?}",
            b.isa()
        );
    });
}

#[test]
fn rows_least_alike_are_found_among_rounded_ones() {
    let (x, old) = (random(9 * WIDTH, 6), random(12 * WIDTH, 7));
    let find = |b: &mut dyn FnMut(Dtype) -> Vec<u32>| [Dtype::F32, Dtype::Bf16].map(b);
    let mut reference = Reference::default();
    let want = find(&mut |dtype| {
        let (new, old) = (
            upload(&mut reference, &x, WIDTH),
            kv_rows(&mut reference, &old, &HEADS, dtype),
        );
        reference
            .least_alike(&new, 2..7, &old, &[11, 4, 0, 7, 3], 2)
            .expect("two rows")
    });
    every_backend(|mut b| {
        let got = find(&mut |dtype| {
            let (new, old) = (
                upload(&mut b, &x, WIDTH),
                kv_rows(&mut b, &old, &HEADS, dtype),
            );
            b.least_alike(&new, 2..7, &old, &[11, 4, 0, 7, 3], 2)
                .expect("two rows")
        });
        assert_eq!(got, want);
    });
}

#[test]
fn bf16_takes_half_the_memory() {
    let b = Cpu::new(threads(2)).expect("two threads");
    let heads = Heads {
        count: 8,
        kv_count: 8,
        dim: 64,
    };
    let held = |dtype| {
        let before = b.memory().buffers;
        let stored = b.kv_rows(960, &heads, dtype).expect("a store");
        let held = b.memory().buffers - before;
        drop(stored);
        assert_eq!(b.memory().buffers, before);
        held
    };
    assert_eq!(held(Dtype::F32), 960 * 8 * 2 * 64 * 4);
    assert_eq!(held(Dtype::Bf16), 960 * 8 * 2 * 64 * 2);
}

#[test]
fn what_another_instruction_set_stored_is_refused_or_read_rightly() {
    let numbers = random(7 * WIDTH, 3);
    let store = |isa| {
        let mut b = Cpu::with_isa(isa, threads(1)).expect("an instruction set of this machine");
        let rows = upload(&mut b, &numbers, WIDTH);
        let mut stored = b.kv_rows(7, &HEADS, Dtype::F32).expect("a store");
        let all: Vec<u32> = (0..7).collect();
        b.write_kv(&rows, &all, &all, &mut stored)
            .expect("rows that fit");
        (b, stored)
    };
    for isa in Isa::available() {
        let (mut b, own) = store(isa);
        let right = look(&mut b, &own, 7);
        for other in Isa::available() {
            let (_, stored) = store(other);
            match try_look(&mut b, &stored, 7) {
                Ok(seen) => assert_eq!(seen, right, "{isa:?} reads what {other:?} stored"),
                Err(error) => {
                    assert_ne!(isa, other, "{error}");
                    assert!(error.to_string().contains("stored"), "{error}");
                }
            }
        }
    }
}

#[test]
fn what_does_not_fit_the_stored_rows_is_an_error() {
    let mut b = Cpu::new(threads(2)).expect("two threads");
    let mut stored = b.kv_rows(4, &HEADS, Dtype::F32).expect("a store");
    let others = b
        .kv_rows(4, &Heads { dim: 12, ..HEADS }, Dtype::F32)
        .expect("a store");
    let (rows, narrow) = (
        b.buf(3, WIDTH).expect("a buffer"),
        b.buf(3, 8).expect("a buffer"),
    );
    let (q, mut out) = (
        b.buf(1, 96).expect("a buffer"),
        b.buf(1, 96).expect("a buffer"),
    );
    let across = Plan {
        spans: vec![Span {
            queries: 0..1,
            keys: 2..5,
        }],
        ..Plan::default()
    };
    let across = b.plan(&across).expect("a plan");
    request_errors(&[
        b.write_kv(&narrow, &[0], &[0], &mut stored),
        b.write_kv(&rows, &[0, 1], &[0], &mut stored),
        b.write_kv(&rows, &[3], &[0], &mut stored),
        b.write_kv(&rows, &[0], &[4], &mut stored),
        b.gather_kv(&stored, &[4]).map(|_| ()),
        b.least_alike(&rows, 0..1, &stored, &[4], 1).map(|_| ()),
        b.kv_rows(1, &HEADS, Dtype::Q8).map(|_| ()),
        b.attend(
            &Qkv {
                q: &q,
                kv: &rows,
                stored: &[&others],
            },
            &HEADS,
            &across,
            None,
            &mut out,
        ),
        // Some keys of the span are fresh, the others are stored.
        b.attend(
            &Qkv {
                q: &q,
                kv: &rows,
                stored: &[&stored],
            },
            &HEADS,
            &across,
            None,
            &mut out,
        ),
    ]);
}
