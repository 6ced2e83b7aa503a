//! Every operation of `Cpu`, with every instruction set of this machine, against the oracle.

mod common;

use common::{Attention, Linear, close, every_isa, norm, random, rank, upload};
use foveate_kernels::{
    Act, Ask, Backend, Cpu, Dtype, Format, Heads, Hidden, Into, Layout, Noise, NormKind, Pick,
    Plan, Rank, Reference, Rotation, RowMap, Span, Sum,
};
use proptest::prelude::*;

const LIMIT: f32 = 1e-4;
/// Inputs are rounded to 14 bits beside q4.
const LIMIT_Q4: f32 = 4e-4;

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
        let quantised = linear.format == Format::Q4 || linear.dtype == Dtype::Q4;
        let limit = if quantised { LIMIT_Q4 } else { LIMIT };
        close(&linear.run(&mut cpu, &x), &want, limit, &what);
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
    fn an_attention_of_any_shape_equals_the_reference(
        (dim, kv_count, queries_per_kv) in (
            prop::sample::select(vec![8usize, 12, 24, 64, 72]), 1usize..=3, 1usize..=2),
        lengths in prop::collection::vec((1usize..=90, 1usize..=150), 1..=3),
        rotate in any::<bool>(),
        seed in 0u64..1000,
    ) {
        check_attention(&ragged(dim, kv_count, queries_per_kv, &lengths, rotate, seed));
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
fn a_quantised_head_of_an_odd_vocabulary_equals_the_reference() {
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

/// One span per length, with every kind of ask and gaps between the queries.
fn ragged(
    dim: usize,
    kv_count: usize,
    queries_per_kv: usize,
    lengths: &[(usize, usize)],
    rotate: bool,
    seed: u64,
) -> Attention {
    let heads = Heads {
        count: kv_count * queries_per_kv,
        kv_count,
        dim,
    };
    let (mut queries, mut keys) = (0, 0);
    let mut plan = Plan::default();
    for &(query_count, key_count) in lengths {
        queries += 2;
        let span = Span {
            queries: queries..queries + query_count,
            keys: keys..keys + key_count,
        };
        let half = span.queries.start + query_count / 2;
        plan.asks.push(Ask {
            queries: span.queries.start..half,
            keys: keys + key_count / 3..keys + key_count,
            sum: Sum::PerRow,
        });
        plan.asks.push(Ask {
            queries: half..span.queries.end,
            keys: span.keys.clone(),
            sum: Sum::OverRows,
        });
        queries += query_count;
        // The next span sees some of these keys too.
        keys += key_count - key_count / 4;
        plan.spans.push(span);
    }
    let last_key = plan.spans.iter().map(|span| span.keys.end).max();
    let (query_rows, key_rows) = (queries + 1, last_key.unwrap_or(0) + 3);
    if rotate {
        plan.rotation = Some(Rotation {
            theta: 10_000.0,
            dim,
            queries: (0..query_rows as u32).map(|p| 3 * p + 1).collect(),
            keys: (0..key_rows as u32).map(|p| 2 * p).collect(),
        });
    }
    Attention::new(heads, query_rows, key_rows, plan, seed)
}

fn check_attention(attention: &Attention) {
    let (want, want_probe) = attention.run(&mut Reference::default(), true);
    for mut cpu in every_isa(2) {
        let what = format!("{:?} {:?}", cpu.isa(), attention.heads);
        let (got, probe) = attention.run(&mut cpu, true);
        close(&got, &want, LIMIT, &what);
        close(&probe, &want_probe, LIMIT, &format!("probe, {what}"));
    }
}

#[test]
fn an_attention_with_many_keys_equals_the_reference() {
    check_attention(&ragged(12, 2, 1, &[(70, 2300), (1, 5)], true, 11));
    check_attention(&ragged(128, 1, 2, &[(3, 700)], true, 12));
}

#[test]
fn a_combination_equals_the_reference() {
    let x = random(50 * 37, 6);
    let map = RowMap {
        starts: vec![0, 1, 1, 4, 6],
        from: vec![49, 3, 3, 20, 7, 0],
        weight: vec![1.0, 0.5, 0.25, -1.5, 2.0, 0.125],
    };
    let run = |b: &mut dyn FnMut() -> Vec<f32>| b();
    let want = run(&mut || combine(&mut Reference::default(), &x, &map));
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

/// Every query of the first span loses one key, the last one two.
fn leave_one_out(attention: &mut Attention) {
    let span = attention.plan.spans[0].clone();
    let key = |i: usize| span.keys.start + (3 * i + 1) % span.keys.len();
    let all = span.queries.clone().enumerate();
    attention.plan.hidden = all
        .map(|(i, query)| Hidden { query, key: key(i) })
        .collect();
    let query = span.queries.end - 1;
    let last = key(span.queries.len());
    attention.plan.hidden.push(Hidden { query, key: last });
}

#[test]
fn attention_with_hidden_keys_equals_the_reference() {
    for lengths in [[(9, 40), (30, 71)], [(70, 130), (1, 5)]] {
        let mut attention = ragged(24, 2, 2, &lengths, true, 4);
        leave_one_out(&mut attention);
        check_attention(&attention);
    }
}

#[test]
fn a_hidden_key_is_a_key_that_is_not_there() {
    // One query and four keys, the last of which is hidden, against three keys.
    for mut cpu in every_isa(1) {
        let mut four = ragged(16, 1, 1, &[(1, 4)], false, 7);
        four.plan.asks.clear();
        let mut three = ragged(16, 1, 1, &[(1, 4)], false, 7);
        three.plan.asks.clear();
        three.plan.spans[0].keys = 0..3;
        let query = four.plan.spans[0].queries.start;
        four.plan.hidden = vec![Hidden { query, key: 3 }];
        let (got, want) = (four.run(&mut cpu, false).0, three.run(&mut cpu, false).0);
        close(&got, &want, 1e-6, "hidden");
    }
}

#[test]
fn attention_over_several_buffers_equals_the_reference() {
    let mut attention = ragged(24, 2, 2, &[(9, 40), (30, 71)], true, 4);
    attention.cuts = vec![7, 50, 1];
    check_attention(&attention);
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
                let kept = if into == Into::Add { *slot } else { 0.0 };
                *slot = kept + x[row * 5 + column];
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

fn least_alike<B: Backend>(b: &mut B, kept: &[f32], count: usize) -> Vec<u32> {
    let x = upload(b, &random(7 * 6, 1), 6);
    let kept = upload(b, kept, 6);
    b.least_alike(&x, 1..6, &kept, &[5, 4, 3, 2, 1], 2..5, count)
        .expect("a comparison")
}

#[test]
fn the_least_alike_rows_are_found_by_their_columns_alone() {
    let x = random(7 * 6, 1);
    // Row `i` is compared with row `6 - i`: all alike but rows 2 and 5, row 5 the opposite.
    let mut kept: Vec<f32> = (0..7)
        .flat_map(|r| x[(6 - r) * 6..][..6].to_vec())
        .collect();
    kept[4 * 6 + 3] += 0.5;
    kept[6 + 2..6 + 5].iter_mut().for_each(|v| *v = -*v);
    // Columns outside the comparison do not count.
    kept[3 * 6] = 100.0;
    for count in [0, 1, 2] {
        let want = &[5, 2][..count];
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(least_alike(&mut Reference::default(), &kept, count), want);
        assert_eq!(least_alike(&mut every_isa(2)[0], &kept, count), want);
    }
    assert_eq!(least_alike(&mut Reference::default(), &kept, 9).len(), 5);
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

fn check_rank(head: &Linear, rows: usize, wanted: &Rank<'_>) {
    let x: Vec<f32> = random(rows * head.inputs, 5)
        .iter()
        .map(|x| 20.0 * x)
        .collect();
    let want = rank(&mut Reference::default(), head, &x, wanted);
    for mut cpu in every_isa(2) {
        let got = rank(&mut cpu, head, &x, wanted);
        for (got, want) in got.iter().zip(&want) {
            assert_eq!(got.token, want.token, "{:?}", cpu.isa());
            for (number, expected) in [
                (got.probability, want.probability),
                (got.top, want.top),
                (got.runner_up, want.runner_up),
                (got.entropy, want.entropy),
            ] {
                let error = (number - expected).abs();
                assert!(
                    error <= 2e-5 * expected.max(1e-6),
                    "{got:?}, expected {want:?}"
                );
            }
        }
    }
}

#[test]
fn odd_vocabularies_with_forbidden_ids_equal_the_reference() {
    for outputs in [1, 2, 15, 16, 17, 191, 192, 193, 579, 1000] {
        let head = Linear::new(24, &[outputs], outputs as u64).with_bias();
        let last = outputs as u32 - 1;
        let most: Vec<u32> = (1..outputs as u32).collect();
        let none: Vec<u32> = Vec::new();
        let mut cases = vec![none, most];
        if outputs > 2 {
            cases.push(vec![0, last]);
        }
        for forbidden in cases {
            let picks = &[Pick::Greedy, Pick::Given(last), Pick::Given(last / 2)];
            check_rank(
                &head,
                3,
                &Rank {
                    forbidden: &forbidden,
                    picks,
                },
            );
        }
    }
}

#[test]
fn a_given_id_has_its_own_probability() {
    let head = Linear::new(8, &[400], 3);
    let x = random(8, 4);
    for mut cpu in every_isa(1) {
        let mut guess = |pick| {
            let wanted = Rank {
                forbidden: &[17],
                picks: &[pick],
            };
            rank(&mut cpu, &head, &x, &wanted)[0]
        };
        let best = guess(Pick::Greedy);
        assert_eq!(guess(Pick::Given(best.token)), best);
        let sum: f64 = (0..400).map(|id| guess(Pick::Given(id)).probability).sum();
        assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        let forbidden = guess(Pick::Given(17));
        assert_eq!((forbidden.token, forbidden.probability), (17, 0.0));
    }
}

#[test]
fn a_given_id_that_does_not_exist_is_refused() {
    let head = Linear::new(8, &[40], 3);
    let refuse = |result: foveate_kernels::Result<()>| common::request_errors(&[result]);
    let wanted = Rank {
        forbidden: &[],
        picks: &[Pick::Given(40)],
    };
    let mut cpu = every_isa(1).remove(0);
    let (w, x) = (head.weight(&cpu), upload(&mut cpu, &[0.0; 8], 8));
    refuse(cpu.rank(&x, &w, &wanted, &mut Vec::new()));
    let mut reference = Reference::default();
    let (w, x) = (
        head.weight(&reference),
        upload(&mut reference, &[0.0; 8], 8),
    );
    refuse(reference.rank(&x, &w, &wanted, &mut Vec::new()));
}

#[test]
fn one_allowed_id_is_certain_and_equals_share() {
    let mut head = Linear::new(1, &[300], 9).with_bias();
    head.weights = vec![0.0; 300];
    head.biases = vec![1.0; 300];
    let guess = |forbidden: &[u32], cpu: &mut Cpu| {
        let picks = &[Pick::Greedy];
        rank(cpu, &head, &[1.0], &Rank { forbidden, picks })[0]
    };
    let all_but_two: Vec<u32> = (0..300).filter(|id| ![7, 290].contains(id)).collect();
    let all_but_one: Vec<u32> = (0..300).filter(|id| *id != 290).collect();
    for mut cpu in every_isa(1) {
        let two = guess(&all_but_two, &mut cpu);
        assert_eq!((two.token, two.top, two.runner_up), (7, 0.5, 0.5));
        assert!((two.entropy - 2f64.ln()).abs() < 1e-12, "{two:?}");
        let one = guess(&all_but_one, &mut cpu);
        assert_eq!((one.token, one.top, one.runner_up), (290, 1.0, 0.0));
        assert!(one.entropy.abs() < 1e-12, "{one:?}");
    }
}

#[test]
fn candidates_of_a_large_vocabulary_equal_the_reference() {
    let head = Linear::new(24, &[126_349], 9);
    let greedy = Pick::Greedy;
    let drawn = Pick::Gumbel {
        temperature: 0.7,
        noise: Noise::Counter {
            seed: 7,
            step: 3,
            position: 5,
        },
    };
    check_rank(
        &head,
        5,
        &Rank {
            forbidden: &[126_348, 0, 5, 77_000],
            picks: &[greedy, drawn, Pick::Given(77_001), drawn, Pick::Given(5)],
        },
    );
}

#[test]
fn the_best_token_may_be_forbidden_and_equals_are_won_by_the_lowest_id() {
    let mut head = Linear::new(1, &[500], 9).with_bias();
    head.weights = vec![0.0; 500];
    head.biases = vec![1.0; 500];
    for id in [40, 41, 250, 499] {
        head.biases[id] = 3.0;
    }
    head.biases[123] = 9.0;
    for (forbidden, want) in [
        (&[123, 40][..], 41),
        (&[123, 40, 41, 250][..], 499),
        (&[][..], 123),
    ] {
        let wanted = Rank {
            forbidden,
            picks: &[Pick::Greedy; 2],
        };
        check_rank(&head, 2, &wanted);
        for mut cpu in every_isa(1) {
            assert_eq!(rank(&mut cpu, &head, &[1.0, 1.0], &wanted)[1].token, want);
        }
    }
}
