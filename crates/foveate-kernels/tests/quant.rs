//! What quantized weights mean, and how much they leave out.

mod common;

use common::{Linear, close, every_isa, random};
use foveate_kernels::quant::encode_row;
use foveate_kernels::{Backend, Dtype, Format, Layout, Reference, TensorView, draw_row};

/// Inputs of a q4 group, a part of the format.
const Q4_GROUP: usize = 128;

/// Standard normal numbers, by Box and Muller.
fn gaussian(count: usize, seed: u64) -> Vec<f32> {
    let (radius, angle) = (random(count, seed), random(count, seed + 1));
    let draw = |(u, v): (f32, f32)| {
        let u = f64::from(f32::midpoint(u, 1.0)).max(1e-9);
        ((-2.0 * u.ln()).sqrt() * (std::f64::consts::PI * f64::from(v)).cos()) as f32
    };
    radius.into_iter().zip(angle).map(draw).collect()
}

fn decoded(dtype: Dtype, row: &[f32]) -> Vec<f32> {
    let mut stored = Vec::new();
    encode_row(dtype, row, &mut stored);
    TensorView::new(dtype, 1, row.len(), &stored)
        .expect("a row of blocks")
        .to_f32()
}

/// Root of the mean square of the difference, relative to `want`'s.
fn error(got: &[f32], want: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let off: f64 = got.iter().zip(want).map(|(g, w)| square(g - w)).sum();
    (off / want.iter().map(|w| square(*w)).sum::<f64>()).sqrt()
}

#[test]
fn gaussian_weights_lose_no_more_than_the_format_promises() {
    let row = gaussian(1 << 16, 3);
    for (dtype, least, most) in [(Dtype::Q8, 5e-3, 6e-3), (Dtype::Q4, 6e-2, 7e-2)] {
        let error = error(&decoded(dtype, &row), &row);
        assert!((least..most).contains(&error), "{dtype:?}: {error:e}");
    }
}

#[test]
fn a_linear_of_gaussian_rows_loses_no_more_than_its_weights_do() {
    let mut linear = Linear::new(4096, &[64], 1);
    linear.weights = gaussian(4096 * 64, 5);
    let x = gaussian(4096 * 40, 7);
    let want = linear.run(&mut Reference::default(), &x);
    for (format, most) in [(Format::Q8, 6e-3), (Format::Q4, 7e-2)] {
        linear.format = format;
        for mut cpu in every_isa(2) {
            let error = error(&linear.run(&mut cpu, &x), &want);
            assert!(error < most, "{format:?}, {:?}: {error:e}", cpu.isa());
        }
    }
}

#[test]
fn an_input_that_dwarfs_its_group_costs_the_others_less_than_its_own_weight_does() {
    let mut linear = Linear::new(4096, &[64], 1);
    linear.weights = gaussian(4096 * 64, 5);
    let mut x = gaussian(4096 * 8, 7);
    for x in x.iter_mut().step_by(Q4_GROUP) {
        *x *= 1000.0;
    }
    let want = linear.run(&mut Reference::default(), &x);
    for (format, most) in [(Format::Q8, 7e-3), (Format::Q4, 9e-2)] {
        linear.format = format;
        let by_reference = linear.run(&mut Reference::default(), &x);
        assert!(error(&by_reference, &want) < most, "{format:?}");
        for mut cpu in every_isa(1) {
            let got = linear.run(&mut cpu, &x);
            assert!(error(&got, &by_reference) < 1e-4, "{:?}", cpu.isa());
        }
    }
}

#[test]
fn zeros_and_tiny_huge_or_missing_numbers_stay_what_they_are() {
    for dtype in [Dtype::Q8, Dtype::Q4] {
        let mut row = vec![0.0; 300];
        assert!(decoded(dtype, &row).iter().all(|x| *x == 0.0), "{dtype:?}");
        // A run of zeros beside numbers.
        row[..7].fill(3.0);
        assert!(decoded(dtype, &row)[16..].iter().all(|x| *x == 0.0));
        for size in [1e-30, 1e30] {
            let row = gaussian(300, 11)
                .iter()
                .map(|x| x * size)
                .collect::<Vec<_>>();
            assert!(
                error(&decoded(dtype, &row), &row) < 8e-2,
                "{dtype:?} {size}"
            );
        }
        row[5] = f32::NAN;
        assert!(decoded(dtype, &row)[5].is_nan());
    }
}

#[test]
fn a_row_of_any_length_is_cut_into_whole_blocks() {
    for (dtype, group, bytes) in [(Dtype::Q8, 32, 34), (Dtype::Q4, Q4_GROUP, 74)] {
        for length in [1, 15, 16, 31, 33, 96, 127, 129, 4304] {
            let row = gaussian(length, 13);
            let mut stored = Vec::new();
            encode_row(dtype, &row, &mut stored);
            assert_eq!(stored.len(), length.div_ceil(group) * bytes);
            assert_eq!(stored.len(), dtype.row_bytes(length));
            let limit = if dtype == Dtype::Q8 { 8e-3 } else { 0.12 };
            close(
                &[error(&decoded(dtype, &row), &row) as f32],
                &[0.0],
                limit,
                "a row",
            );
        }
    }
}

#[test]
fn an_input_that_is_no_number_is_not_hidden() {
    for format in [Format::Q8, Format::Q4] {
        let mut linear = Linear::new(300, &[5], 1);
        linear.format = format;
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = random(300 * 2, 3);
            x[290] = bad;
            for mut cpu in every_isa(1) {
                let got = linear.run(&mut cpu, &x);
                assert!(got[..5].iter().all(|y| !y.is_finite()), "{:?}", cpu.isa());
                assert!(got[5..].iter().all(|y| y.is_finite()), "{:?}", cpu.isa());
            }
        }
    }
}

#[test]
fn drawn_rows_have_the_promised_size_and_differ() {
    let cols = 4104; // no whole number of groups
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::Q8, Dtype::Q4] {
        let draw = |key, row| {
            let mut bytes = vec![0xff; dtype.row_bytes(cols)];
            draw_row(dtype, key, row, cols, &mut bytes);
            let view = TensorView::new(dtype, 1, cols, &bytes).expect("a row");
            view.to_f32()
        };
        let row = draw(1, 0);
        let sum: f64 = row.iter().map(|x| f64::from(*x)).sum();
        let squares: f64 = row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        assert!((squares - 1.0).abs() < 0.06, "{dtype:?}: {squares}");
        assert!(
            (sum / (cols as f64).sqrt()).abs() < 0.06,
            "{dtype:?}: {sum}"
        );
        assert!(row == draw(1, 0) && row != draw(1, 1) && row != draw(2, 0));
        assert_ne!(row[..128], row[128..256], "{dtype:?}");
    }
}

#[test]
fn codes_and_factors_that_encoding_never_writes_are_refused() {
    let row = gaussian(256, 11);
    // The first code of the second group, and the first factor of the second group.
    for (dtype, at, wrong) in [
        (Dtype::Q8, 34 + 2, 0x80),
        (Dtype::Q4, 74 + 2, 17u8),
        (Dtype::Q4, 74 + 2, 0x80),
    ] {
        let mut stored = Vec::new();
        encode_row(dtype, &row, &mut stored);
        for damaged in [false, true] {
            if damaged {
                stored[at] = wrong;
            }
            let view = TensorView::new(dtype, 1, row.len(), &stored).expect("a row of blocks");
            for layout in [Layout::Linear, Layout::Table] {
                let of_reference = Reference::default().weight(&[view], &[], layout, Format::Auto);
                assert_eq!(of_reference.is_err(), damaged, "{dtype:?}");
                for cpu in every_isa(1) {
                    let packed = cpu.weight(&[view], &[], layout, Format::Auto);
                    assert_eq!(packed.is_err(), damaged, "{dtype:?}, {:?}", cpu.isa());
                }
            }
        }
    }
}
