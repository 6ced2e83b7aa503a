//! Candidates, with every instruction set of this machine, against the oracle.

mod common;

use common::{Linear, every_isa, random, rank, upload};
use foveate_kernels::{Backend, Cpu, Noise, Pick, Rank, Reference};

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
