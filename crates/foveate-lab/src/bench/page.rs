//! The measurement as tables for people and as one object for machines.

use foveate_kernels::Spent;
use serde_json::{Value, json};

use super::ceiling::Ceiling;
use super::subject::Subject;
use super::{AccountArgs, Measured, roofline};
use crate::table::{bytes, grouped, listing, row, table};
use foveate::report::peak_bytes;

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) subject: &'a Subject,
    pub(super) rows: &'a [Measured],
    /// Steps of a whole answer.
    pub(super) steps: usize,
    pub(super) rounds: usize,
    /// The machine's peaks, if breakdown or roofline are wanted.
    pub(super) ceiling: Option<Ceiling>,
    pub(super) accounts: AccountArgs,
}

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let mut blocks = vec![
            self.facts(),
            self.kernels(),
            self.times(),
            self.comparison(),
        ];
        if let Some(first) = self.rows.first() {
            let shares = first.sample.flops.shares();
            blocks.push(format!("arithmetic of the first row: {shares}"));
        }
        if let Some(ceiling) = &self.ceiling {
            self.against(ceiling, &mut blocks);
        }
        let text = blocks.join("\n\n");
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    /// Operations and requests against the machine's peaks.
    fn against(&self, ceiling: &Ceiling, blocks: &mut Vec<String>) {
        let (_, kernels) = self.subject.engine.kernels();
        blocks.push(roofline::footing(ceiling));
        for measured in self.rows {
            let (label, keep) = (&measured.label, measured.keep);
            let breakdown = &measured.breakdown;
            let steps = measured.sample.steps.len();
            if self.accounts.breakdown {
                let title = format!("{label} {keep}, {steps} steps");
                blocks.push(breakdown.text(&title, &kernels, ceiling));
            }
            if self.accounts.roofline {
                let title = format!("{label} {keep}, per step");
                blocks.push(roofline::text(&title, breakdown.lines(), steps, ceiling));
            }
        }
        let vision = self.vision();
        if self.accounts.roofline && !vision.is_empty() {
            blocks.push(roofline::text("vision tower, once", vision, 1, ceiling));
        }
    }

    /// What the vision tower cost, where there is one.
    fn vision(&self) -> &[Spent] {
        let subject = self.subject;
        let accounts = subject.accounts.as_ref();
        let accounts = accounts.filter(|_| subject.vision_ms.is_some());
        accounts.map_or(&[], |accounts| &accounts.vision)
    }

    fn facts(&self) -> String {
        let (subject, shape) = (self.subject, &self.subject.engine.card().decoder);
        let memory = subject.engine.memory();
        let mut facts = listing();
        let mut fact = |name: &str, value: String| {
            facts.add_row(row([name.to_owned(), value]));
        };
        fact("model", subject.name.clone());
        fact(
            "decoder",
            format!(
                "{} layers, width {}, {} heads of {}, mlp {}, vocabulary {}",
                shape.layers,
                shape.hidden,
                shape.heads.count,
                shape.heads.dim,
                shape.mlp,
                shape.vocabulary
            ),
        );
        fact(
            "question",
            format!(
                "{} visual tokens, {} text tokens",
                subject.visual_tokens(),
                subject.text_tokens()
            ),
        );
        fact(
            "steps",
            format!("{} measured of {}", self.measured(), self.steps),
        );
        fact("rounds", format!("{}, medians", self.rounds));
        if let Some(vision_ms) = subject.vision_ms {
            fact("vision", format!("{vision_ms:.1} ms, once"));
        }
        fact(
            "memory",
            format!(
                "weights {}, buffers {}, peak of the process {}",
                bytes(memory.weights as u64),
                bytes(memory.buffers as u64),
                peak_bytes().map_or("unknown".into(), bytes)
            ),
        );
        facts.to_string()
    }

    fn kernels(&self) -> String {
        let (backend, kernels) = self.subject.engine.kernels();
        let mut table = listing();
        table.set_header(["operation".to_owned(), format!("kernel of {backend}")]);
        for kernel in kernels {
            table.add_row(row([kernel.operation.to_owned(), kernel.kernel]));
        }
        table.to_string()
    }

    fn times(&self) -> String {
        let mut table = table([
            "pruning",
            "keep",
            "decoder (ms)",
            "head (ms)",
            "prune (ms)",
            "total (ms)",
            "first step (ms)",
            "last step (ms)",
            "forwards",
        ]);
        for measured in self.rows {
            let median = &measured.median;
            let ms = |value: f64| format!("{value:.1}");
            table.add_row(row([
                measured.label.clone(),
                measured.keep.to_string(),
                ms(median.decoder),
                ms(median.head),
                format!("{:.2}", median.prune),
                ms(median.total),
                ms(median.first_step),
                ms(median.last_step),
                measured.sample.forwards.to_string(),
            ]));
        }
        table.to_string()
    }

    fn comparison(&self) -> String {
        let answer = if self.measured() < self.steps {
            "answer (s, estimated)"
        } else {
            "answer (s)"
        };
        let mut table = table([
            "pruning",
            "keep",
            "visual tokens kept",
            "rows computed",
            "GFLOP",
            "GFLOP/s",
            "tokens/s",
            answer,
            "times faster",
        ]);
        let first = self.first_answer_ms();
        for measured in self.rows {
            let answer_ms = measured.answer_ms(self.steps);
            table.add_row(row([
                measured.label.clone(),
                measured.keep.to_string(),
                measured.sample.visual_tokens_kept.to_string(),
                grouped(measured.sample.rows_computed as u64),
                format!("{:.1}", measured.sample.flops.total() / 1e9),
                format!("{:.1}", measured.gflops_per_second()),
                format!("{:.1}", measured.tokens_per_second()),
                format!("{:.2}", answer_ms / 1e3),
                format!("{:.2}", first / answer_ms),
            ]));
        }
        table.to_string()
    }

    pub(super) fn object(&self) -> Value {
        let subject = self.subject;
        let (backend, kernels) = subject.engine.kernels();
        let shape = &subject.engine.card().decoder;
        let memory = subject.engine.memory();
        let first = self.first_answer_ms();
        let kernel =
            |k: &foveate_kernels::KernelName| json!({"operation": k.operation, "kernel": k.kernel});
        let entry = |m: &Measured| {
            let mut entry = json!({
                "prune": m.label,
                "keep": m.keep,
                "visual_tokens_kept": m.sample.visual_tokens_kept,
                "forwards": m.sample.forwards,
                "rows_computed": m.sample.rows_computed,
                "tokens_committed": m.sample.committed,
                "timings_ms": m.median,
                "flops": m.sample.flops,
                "gflops_per_second": m.gflops_per_second(),
                "tokens_per_second": m.tokens_per_second(),
                "answer_ms": m.answer_ms(self.steps),
                "times_faster": first / m.answer_ms(self.steps),
            });
            if let Some(ceiling) = &self.ceiling {
                let lines = m.breakdown.lines();
                let steps = m.sample.steps.len();
                if self.accounts.breakdown {
                    entry["breakdown"] = m.breakdown.object(&kernels, ceiling);
                }
                if self.accounts.roofline {
                    entry["roofline_per_step"] = roofline::object(lines, steps, ceiling);
                }
            }
            entry
        };
        let mut object = json!({
            "model": subject.name,
            "decoder": {
                "layers": shape.layers,
                "hidden": shape.hidden,
                "heads": shape.heads.count,
                "kv_heads": shape.heads.kv_count,
                "mlp": shape.mlp,
                "vocabulary": shape.vocabulary,
            },
            "visual_tokens": subject.visual_tokens(),
            "text_tokens": subject.text_tokens(),
            "steps": self.steps,
            "steps_measured": self.measured(),
            "rounds": self.rounds,
            "vision_ms": subject.vision_ms,
            "backend": backend,
            "dtype": subject.dtype,
            "kernels": kernels.iter().map(kernel).collect::<Vec<_>>(),
            "weight_bytes": memory.weights,
            "buffer_bytes": memory.buffers,
            "peak_bytes": peak_bytes(),
            "rows": self.rows.iter().map(entry).collect::<Vec<_>>(),
        });
        if let Some(ceiling) = &self.ceiling {
            object["ceiling"] = json!(ceiling);
            if self.accounts.roofline && !self.vision().is_empty() {
                object["roofline_vision"] = roofline::object(self.vision(), 1, ceiling);
            }
        }
        object
    }

    fn measured(&self) -> usize {
        self.rows.first().map_or(0, |row| row.sample.steps.len())
    }

    fn first_answer_ms(&self) -> f64 {
        self.rows
            .first()
            .map_or(0.0, |row| row.answer_ms(self.steps))
    }
}
