//! Attention, with every instruction set of this machine, against the oracle.

mod common;

use common::{Attention, close, every_isa};
use foveate_kernels::{Ask, Dtype, Heads, Hidden, Plan, Reference, Rotation, Span, Sum};
use proptest::prelude::*;

const LIMIT: f32 = 1e-4;

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

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
fn attention_over_stored_keys_and_values_equals_the_reference() {
    // Neither sixteen nor a tile divides 72.
    for dim in [24, 72] {
        for dtype in [Dtype::F32, Dtype::Bf16] {
            let mut attention = ragged(dim, 2, 2, &[(9, 40), (30, 71), (70, 13)], true, 4);
            // The last span sees the keys from 84 on, the one before those from 30 on.
            let spans = &mut attention.plan.spans;
            spans[1].keys = 40..84;
            attention.plan.asks.truncate(2);
            attention.cuts = vec![40, 44, 0, attention.keys() - 84];
            attention.dtype = dtype;
            check_attention(&attention);
        }
    }
}
