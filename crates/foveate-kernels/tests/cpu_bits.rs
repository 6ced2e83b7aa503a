//! The laws: bits depend on nothing but the row, and looking changes nothing.

mod common;

use common::{Attention, Linear, bits, close, every_isa, norm, random, rank, threads};
use foveate_kernels::{
    Act, Ask, Cpu, Format, Heads, Isa, Layout, Noise, NormKind, Pick, Plan, Rank, Rotation, Span,
    Sum,
};

/// Instruction set, thread count: every backend that must agree bit for bit with the first of its kind.
fn fused() -> Vec<Cpu> {
    let mut all = Vec::new();
    for n in [1, 2, 3] {
        all.extend(
            every_isa(n)
                .into_iter()
                .filter(|cpu| cpu.isa() != Isa::Portable),
        );
    }
    all
}

fn portable() -> Vec<Cpu> {
    [1, 2, 3]
        .map(|n| Cpu::portable(threads(n)).expect("threads"))
        .into()
}

fn linears() -> Vec<Linear> {
    let plain = Linear::new(530, &[100, 37], 1).with_bias();
    let mut gated = Linear::new(300, &[75, 75], 2);
    gated.layout = Layout::Gated;
    gated.act = Act::SwiGlu;
    let mut gelu = Linear::new(40, &[700], 3).with_bias();
    gelu.act = Act::GeluErf;
    let mut all = vec![plain, gated, gelu];
    for (quantized, format) in [(0, Format::Q8), (0, Format::Q4), (1, Format::Q4)] {
        let mut linear = all[quantized].clone();
        linear.format = format;
        all.push(linear);
    }
    all
}

#[test]
fn a_quantized_linear_has_the_same_bits_with_every_instruction_set() {
    for format in [Format::Q8, Format::Q4] {
        let mut linear = Linear::new(530, &[100, 37], 1).with_bias();
        linear.format = format;
        let x = random(77 * linear.inputs, 3);
        let mut want = None;
        for mut cpu in every_isa(2) {
            let got = bits(&linear.run(&mut cpu, &x));
            assert!(*want.get_or_insert(got.clone()) == got, "{:?}", cpu.isa());
        }
    }
}

#[test]
fn a_row_of_a_linear_has_the_same_bits_in_any_company_and_on_any_threads() {
    for backends in [portable(), fused()] {
        for linear in linears() {
            let x = random(1000 * linear.inputs, 3);
            let mut want: Option<Vec<u32>> = None;
            for mut cpu in backends_of(&backends) {
                let w = linear.weight(&cpu);
                for rows in [1000, 1, 2, 5, 6, 7, 11, 12, 13, 64, 239, 300] {
                    let got = linear.run_with(&mut cpu, &w, &x[..rows * linear.inputs]);
                    let got = bits(&got);
                    let want = want.get_or_insert_with(|| got.clone());
                    assert!(got == want[..got.len()], "{rows} rows, {:?}", cpu.isa());
                }
                // The same rows elsewhere in the call.
                let got = bits(&linear.run_with(&mut cpu, &w, &x[17 * linear.inputs..]));
                let want = want.as_ref().expect("the first run");
                assert!(got == want[17 * linear.outputs()..], "{:?}", cpu.isa());
            }
        }
    }
}

/// Few rows stay near while panel after panel is read whole; many are read slice by slice of the depth.
#[test]
fn a_row_of_a_deep_linear_has_the_same_bits_among_few_rows_and_many() {
    let x = random(130 * 3400, 3);
    for format in [Format::F32, Format::Bf16, Format::Q8, Format::Q4] {
        let mut linear = Linear::new(3400, &[50], 4);
        linear.format = format;
        for backends in [portable(), fused()] {
            let mut want: Option<Vec<u32>> = None;
            for mut cpu in backends {
                let w = linear.weight(&cpu);
                for rows in [130, 26, 13, 1] {
                    let got = bits(&linear.run_with(&mut cpu, &w, &x[..rows * 3400]));
                    let want = want.get_or_insert_with(|| got.clone());
                    assert!(
                        got == want[..got.len()],
                        "{format:?}, {rows} rows, {:?}",
                        cpu.isa()
                    );
                }
            }
        }
    }
}

/// Backends are not `Clone`; new ones with the same settings.
fn backends_of(all: &[Cpu]) -> Vec<Cpu> {
    all.iter()
        .map(|cpu| Cpu::with_isa(cpu.isa(), threads(cpu.threads())).expect("it was found"))
        .collect()
}

#[test]
fn a_normalised_row_has_the_same_bits_alone_and_on_any_threads() {
    for backends in [portable(), fused()] {
        let x = random(60 * 333, 3);
        let mut want = None;
        for mut cpu in backends {
            let all = bits(&norm(&mut cpu, &x, 333, None, NormKind::Layer));
            let alone = bits(&norm(&mut cpu, &x, 333, Some(&[41]), NormKind::Layer));
            assert_eq!(alone, all[41 * 333..42 * 333]);
            assert_eq!(want.get_or_insert(all.clone()), &all);
        }
    }
}

/// Three requests: 100 rows that see themselves, 7 that see 400, 64 that see 130 with some shared.
fn members() -> Vec<(usize, usize)> {
    vec![(100, 100), (7, 400), (64, 130)]
}

fn request(queries: usize, keys: usize, seed: u64) -> Attention {
    let heads = Heads {
        count: 4,
        kv_count: 2,
        dim: 24,
    };
    let plan = Plan {
        spans: vec![Span {
            queries: 0..queries,
            keys: 0..keys,
        }],
        rotation: Some(Rotation {
            theta: 500_000.0,
            dim: 24,
            queries: (0..queries as u32).map(|p| p + 5).collect(),
            keys: (0..keys as u32).collect(),
        }),
        hidden: Vec::new(),
        asks: vec![
            Ask {
                queries: queries / 2..queries,
                keys: 3..keys,
                sum: Sum::PerRow,
            },
            Ask {
                queries: 0..queries,
                keys: 0..keys,
                sum: Sum::OverRows,
            },
        ],
    };
    Attention::new(heads, queries, keys, plan, seed)
}

fn batch(members: &[Attention]) -> Attention {
    let mut all = members[0].clone();
    for member in &members[1..] {
        let width = all.heads.count * all.heads.dim;
        let queries = all.q.len() / width;
        let keys = all.kv.len() / all.heads.kv_width();
        let shift = |r: &std::ops::Range<usize>, by: usize| r.start + by..r.end + by;
        all.q.extend(&member.q);
        all.kv.extend(&member.kv);
        for span in &member.plan.spans {
            all.plan.spans.push(Span {
                queries: shift(&span.queries, queries),
                keys: shift(&span.keys, keys),
            });
        }
        for ask in &member.plan.asks {
            all.plan.asks.push(Ask {
                queries: shift(&ask.queries, queries),
                keys: shift(&ask.keys, keys),
                sum: ask.sum,
            });
        }
        let (rotation, more) = (all.plan.rotation.as_mut(), member.plan.rotation.as_ref());
        if let (Some(rotation), Some(more)) = (rotation, more) {
            rotation.queries.extend(&more.queries);
            rotation.keys.extend(&more.keys);
        }
    }
    all
}

#[test]
fn a_ragged_batch_has_the_bits_of_its_members_alone_probes_included() {
    let members: Vec<Attention> = members()
        .into_iter()
        .enumerate()
        .map(|(i, (queries, keys))| request(queries, keys, i as u64))
        .collect();
    let all = batch(&members);
    for backends in [portable(), fused()] {
        let (mut want_out, mut want_probe) = (Vec::new(), Vec::new());
        for mut cpu in backends {
            let (out, probe) = all.run(&mut cpu, true);
            if want_out.is_empty() {
                for member in &members {
                    let (out, probe) = member.run(&mut cpu, true);
                    want_out.extend(bits(&out));
                    want_probe.extend(bits(&probe));
                }
            }
            assert!(bits(&out) == want_out, "{:?} {}", cpu.isa(), cpu.threads());
            assert!(
                bits(&probe) == want_probe,
                "{:?} {}",
                cpu.isa(),
                cpu.threads()
            );
        }
    }
}

#[test]
fn stored_keys_and_values_have_the_bits_of_fresh_ones() {
    let members = [request(30, 130, 5), request(70, 77, 6), request(1, 12, 7)];
    let whole = batch(&members);
    let keys = members.each_ref().map(Attention::keys);
    for cuts in [
        vec![keys[0], keys[1], keys[2]],
        vec![0, keys[0], keys[1], 0, keys[2]],
        vec![keys[0] + keys[1], keys[2]],
    ] {
        let parts = Attention {
            cuts,
            ..whole.clone()
        };
        for mut cpu in portable().into_iter().chain(fused()) {
            let (want, want_probe) = whole.run(&mut cpu, true);
            let (got, probe) = parts.run(&mut cpu, true);
            assert!(bits(&got) == bits(&want), "{:?}", cpu.isa());
            assert!(bits(&probe) == bits(&want_probe), "{:?}", cpu.isa());
        }
    }
}

#[test]
fn a_query_has_the_same_bits_among_fewer_queries() {
    let all = request(200, 333, 4);
    let width = all.heads.count * all.heads.dim;
    for mut cpu in every_isa(2) {
        let (want, _) = all.run(&mut cpu, false);
        for (first, last) in [(0, 1), (70, 75), (150, 200), (33, 130)] {
            let mut some = all.clone();
            some.q = all.q[first * width..last * width].to_vec();
            some.plan.asks.clear();
            some.plan.spans[0].queries = 0..last - first;
            let rotation = some.plan.rotation.as_mut().expect("it rotates");
            rotation.queries = (first as u32..last as u32).map(|p| p + 5).collect();
            let (got, _) = some.run(&mut cpu, false);
            assert!(bits(&got) == bits(&want[first * width..last * width]));
        }
    }
}

#[test]
fn a_probe_does_not_change_the_output() {
    for mut cpu in every_isa(2) {
        let attention = request(150, 210, 8);
        let (with, _) = attention.run(&mut cpu, true);
        let (without, untouched) = attention.run(&mut cpu, false);
        assert_eq!(bits(&with), bits(&without));
        assert!(untouched.iter().all(|x| x.to_bits() == 0));
    }
}

#[test]
fn probe_rows_sum_to_one_over_all_keys() {
    let mut attention = request(90, 300, 9);
    attention.plan.asks = vec![
        Ask {
            queries: 0..90,
            keys: 0..300,
            sum: Sum::PerRow,
        },
        Ask {
            queries: 5..88,
            keys: 0..300,
            sum: Sum::OverRows,
        },
    ];
    for mut cpu in every_isa(2) {
        let (_, probe) = attention.run(&mut cpu, true);
        let (rows, summed) = probe.split_at(90 * 300);
        let sums: Vec<f32> = rows.chunks(300).map(|row| row.iter().sum()).collect();
        close(&sums, &[1.0; 90], 1e-5, "rows of a probe");
        close(&[summed.iter().sum()], &[83.0], 1e-5, "summed probe");
    }
}

#[test]
fn every_head_is_in_the_probe_once_when_the_last_group_of_heads_is_smaller() {
    // Two of these three heads fit the memory for packed keys and values.
    let heads = Heads {
        count: 3,
        kv_count: 3,
        dim: 128,
    };
    let (queries, keys) = (5, 3900);
    let plan = Plan {
        spans: vec![Span {
            queries: 0..queries,
            keys: 0..keys,
        }],
        rotation: None,
        hidden: Vec::new(),
        asks: vec![Ask {
            queries: 0..queries,
            keys: 0..keys,
            sum: Sum::PerRow,
        }],
    };
    let attention = Attention::new(heads, queries, keys, plan, 11);
    for mut cpu in every_isa(2) {
        let (_, probe) = attention.run(&mut cpu, true);
        let sums: Vec<f32> = probe.chunks(keys).map(|row| row.iter().sum()).collect();
        close(&sums, &[1.0; 5], 1e-4, "rows of a probe");
    }
}

#[test]
fn candidates_have_the_same_bits_in_any_company_and_on_any_threads() {
    let head = Linear::new(70, &[5003], 4).with_bias();
    let x = random(300 * 70, 5);
    let picks: Vec<Pick> = (0..300)
        .map(|i| match i % 3 {
            0 => Pick::Gumbel {
                temperature: 1.0,
                noise: Noise::Counter {
                    seed: 1,
                    step: 2,
                    position: i,
                },
            },
            _ => Pick::Greedy,
        })
        .collect();
    for backends in [portable(), fused()] {
        let mut want = None;
        for mut cpu in backends {
            for rows in [300, 1, 5, 77] {
                let wanted = Rank {
                    forbidden: &[1, 2, 3000],
                    picks: &picks[..rows],
                };
                let got: Vec<(u32, [u64; 4])> = rank(&mut cpu, &head, &x[..rows * 70], &wanted)
                    .iter()
                    .map(|g| {
                        let numbers = [g.probability, g.top, g.runner_up, g.entropy];
                        (g.token, numbers.map(f64::to_bits))
                    })
                    .collect();
                let want = want.get_or_insert_with(|| got.clone());
                assert_eq!(got, want[..rows]);
            }
        }
    }
}

#[test]
fn portable_kernels_agree_with_fused_ones() {
    for linear in linears() {
        let x = random(77 * linear.inputs, 3);
        let want = linear.run(&mut Cpu::portable(threads(1)).expect("one thread"), &x);
        for mut cpu in every_isa(1) {
            close(&linear.run(&mut cpu, &x), &want, 1e-4, "portable");
        }
    }
}
