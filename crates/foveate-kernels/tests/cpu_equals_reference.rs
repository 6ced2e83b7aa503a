//! Linears and operations on rows, with every instruction set of this machine, against the oracle.

mod common;

use common::{Linear, close, every_isa, norm, random, upload};
use foveate_kernels::{Act, Backend, Dtype, Format, Into, Layout, NormKind, Reference, RowMap};
use proptest::prelude::*;

const LIMIT: f32 = 1e-4;

const DTYPES: [Dtype; 5] = [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Q8, Dtype::Q4];

const FORMATS: [Format; 5] = [
    Format::Auto,
    Format::F32,
    Format::Bf16,
    Format::Q8,
    Format::Q4,
];

fn check_linear(linear: &Linear, rows: usize) {
    let x = random(rows * linear.inputs, 3);
    let want = linear.run(&mut Reference::default(), &x);
    for mut cpu in every_isa(2) {
        let what = format!(
            "{:?}, {rows} rows, {:?} {:?} {:?} as {:?}",
            cpu.isa(),
            linear.parts,
            linear.act,
            linear.dtype,
            linear.format
        );
        close(&linear.run(&mut cpu, &x), &want, LIMIT, &what);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn a_linear_of_any_shape_equals_the_reference(
        rows in 1usize..=300,
        inputs in 1usize..=600,
        parts in prop::collection::vec(1usize..=70, 1..=3),
        bias in any::<bool>(),
        add in any::<bool>(),
        dtype in prop::sample::select(DTYPES.to_vec()),
        format in prop::sample::select(FORMATS.to_vec()),
        act in prop::sample::select(vec![Act::None, Act::GeluTanh, Act::GeluErf]),
    ) {
        let mut linear = Linear::new(inputs, &parts, 1);
        if bias {
            linear = linear.with_bias();
        }
        linear.act = act;
        linear.into = if add { Into::Add } else { Into::Store };
        (linear.dtype, linear.format) = (dtype, format);
        check_linear(&linear, rows);
    }

    #[test]
    fn a_gated_linear_of_any_shape_equals_the_reference(
        rows in 1usize..=300,
        inputs in 1usize..=300,
        outputs in 1usize..=120,
        bias in any::<bool>(),
        dtype in prop::sample::select(DTYPES.to_vec()),
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        let mut linear = Linear::new(inputs, &[outputs, outputs], 1);
        if bias {
            linear = linear.with_bias();
        }
        linear.layout = Layout::Gated;
        linear.act = Act::SwiGlu;
        (linear.dtype, linear.format) = (dtype, format);
        check_linear(&linear, rows);
    }

    #[test]
    fn a_norm_of_any_width_equals_the_reference(
        rows in 1usize..=40, width in 1usize..=700, layer in any::<bool>(),
    ) {
        let kind = if layer { NormKind::Layer } else { NormKind::Rms };
        let x = random(rows * width, 4);
        let listed: Vec<u32> = (0..rows as u32).rev().step_by(2).collect();
        for which in [None, Some(&listed[..])] {
            let want = norm(&mut Reference::default(), &x, width, which, kind);
            for mut cpu in every_isa(2) {
                close(&norm(&mut cpu, &x, width, which, kind), &want, LIMIT, "norm");
            }
        }
    }
}

#[test]
fn the_widths_of_real_models_equal_the_reference() {
    for (inputs, outputs, rows) in [(588, 72, 7), (1152, 130, 13), (4304, 48, 30)] {
        for format in FORMATS {
            let mut linear = Linear::new(inputs, &[outputs], 2).with_bias();
            linear.act = Act::GeluTanh;
            linear.format = format;
            check_linear(&linear, rows);
        }
    }
}

#[test]
fn a_quantized_head_of_an_odd_vocabulary_equals_the_reference() {
    for format in [Format::Q8, Format::Q4] {
        let mut linear = Linear::new(40, &[126_349], 2);
        linear.format = format;
        check_linear(&linear, 3);
    }
}

#[test]
fn activations_are_exact_far_from_zero() {
    for act in [Act::GeluTanh, Act::GeluErf] {
        let mut linear = Linear::new(1, &[1], 2);
        linear.weights = vec![1.0];
        linear.act = act;
        let x: Vec<f32> = (-2000..=2000).map(|i| i as f32 * 0.01).collect();
        let want = linear.run(&mut Reference::default(), &x);
        for mut cpu in every_isa(1) {
            close(&linear.run(&mut cpu, &x), &want, 1e-6, &format!("{act:?}"));
        }
    }
}

#[test]
fn a_combination_equals_the_reference() {
    let x = random(50 * 37, 6);
    let map = RowMap {
        starts: vec![0, 1, 1, 4, 6],
        from: vec![49, 3, 3, 20, 7, 0],
        weight: vec![1.0, 0.5, 0.25, -1.5, 2.0, 0.125],
    };
    let want = combine(&mut Reference::default(), &x, &map);
    for mut cpu in every_isa(2) {
        close(&combine(&mut cpu, &x, &map), &want, 1e-6, "combine");
    }
}

fn combine<B: Backend>(b: &mut B, x: &[f32], map: &RowMap) -> Vec<f32> {
    let x = upload(b, x, 37);
    let mut out = upload(b, &random(6 * 37, 2), 37);
    b.combine(&x, map, &mut out, 1).expect("a combination");
    common::download(b, &out, 6)
}

fn scatter<B: Backend>(
    b: &mut B,
    from: &[u32],
    to: &[u32],
    into: Into,
) -> Result<Vec<f32>, foveate_kernels::Error> {
    let x = upload(b, &random(6 * 5, 1), 5);
    let mut out = upload(b, &random(9 * 5, 2), 5);
    b.scatter(&x, from, to, into, &mut out)?;
    Ok(common::download(b, &out, 9))
}

#[test]
fn scattered_rows_land_in_their_slots_and_nowhere_else() {
    let (from, to) = ([2, 5, 2], [8, 0, 5]);
    for into in [Into::Store, Into::Add] {
        let (x, mut want) = (random(6 * 5, 1), random(9 * 5, 2));
        for (row, slot) in from.iter().zip(&to) {
            for column in 0..5 {
                let slot = &mut want[slot * 5 + column];
                let before = if into == Into::Add { *slot } else { 0.0 };
                *slot = before + x[row * 5 + column];
            }
        }
        let (from, to) = (from.map(|r| r as u32), to.map(|r| r as u32));
        let mut reference = Reference::default();
        assert_eq!(scatter(&mut reference, &from, &to, into).unwrap(), want);
        assert_eq!(
            scatter(&mut every_isa(2)[0], &from, &to, into).unwrap(),
            want
        );
    }
    for (from, to) in [(&[0][..], &[9][..]), (&[6], &[0]), (&[0, 1], &[0])] {
        assert!(scatter(&mut Reference::default(), from, to, Into::Store).is_err());
        assert!(scatter(&mut every_isa(2)[0], from, to, Into::Store).is_err());
    }
}

fn least_alike<B: Backend>(b: &mut B, stored: &[f32], count: usize) -> Vec<u32> {
    let heads = foveate_kernels::Heads {
        count: 1,
        kv_count: 1,
        dim: 3,
    };
    let x = upload(b, &random(7 * 6, 1), 6);
    let stored = common::kv_rows(b, stored, &heads, Dtype::F32);
    b.least_alike(&x, 1..6, &stored, &[5, 4, 3, 2, 1], count)
        .expect("a comparison")
}

#[test]
fn the_least_alike_rows_are_found_by_their_values_alone() {
    let x = random(7 * 6, 1);
    // Row `i` is compared with row `6 - i`: all alike but rows 2 and 5, row 5 the opposite.
    let mut stored: Vec<f32> = (0..7)
        .flat_map(|r| x[(6 - r) * 6..][..6].to_vec())
        .collect();
    stored[4 * 6 + 3] += 0.5;
    stored[6 + 3..6 + 6].iter_mut().for_each(|v| *v = -*v);
    // Keys do not count.
    stored[3 * 6] = 100.0;
    for count in [0, 1, 2] {
        let want = &[5, 2][..count];
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(least_alike(&mut Reference::default(), &stored, count), want);
        assert_eq!(least_alike(&mut every_isa(2)[0], &stored, count), want);
    }
    assert_eq!(least_alike(&mut Reference::default(), &stored, 9).len(), 5);
}

#[test]
fn an_embedding_equals_the_reference_in_f32_and_bfloat16() {
    for dtype in [Dtype::F32, Dtype::Bf16] {
        let mut table = Linear::new(20, &[33], 4);
        table.layout = Layout::Table;
        table.dtype = dtype;
        let want = embed(&mut Reference::default(), &table);
        for mut cpu in every_isa(1) {
            assert_eq!(embed(&mut cpu, &table), want);
        }
    }
}

fn embed<B: Backend>(b: &mut B, table: &Linear) -> Vec<f32> {
    let w = table.weight(b);
    let mut out = b.buf(5, 20).expect("a buffer");
    b.embed(&w, &[32, 0, 7, 7], &mut out, 1)
        .expect("embeddings");
    common::download(b, &out, 5)
}
