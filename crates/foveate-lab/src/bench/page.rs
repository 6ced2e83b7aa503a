//! The measurement as tables for people and as one object for machines.

use anyhow::Result;
use foveate_kernels::{KernelName, Spent};
use serde_json::{Value, json};

use super::ceiling::Ceiling;
use super::subject::Subject;
use super::{AccountArgs, Measured, roofline};
use crate::report::{Column, Finished, Report, Table, count, integer, number};
use crate::table::bytes;
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

impl Finished for Page<'_> {
    fn json(&self) -> Result<Vec<Value>> {
        let subject = self.subject;
        let (backend, kernels) = subject.engine.kernels();
        let shape = &subject.engine.card().decoder;
        let memory = subject.engine.memory();
        let first = self.first_answer_ms();
        let kernel = |k: &KernelName| json!({"operation": k.operation, "kernel": k.kernel});
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
        Ok(vec![object])
    }

    fn printed(&self) -> Report {
        let report = Report::new("bench", "Measurement")
            .table(self.facts())
            .table(self.kernels())
            .table(self.times())
            .table(self.comparison());
        let report = match self.rows.first() {
            Some(first) => {
                let shares = first.sample.flops.shares();
                report.printed(format!("arithmetic of the first row: {shares}"))
            }
            None => report,
        };
        match &self.ceiling {
            Some(ceiling) => self.against(ceiling, report),
            None => report,
        }
    }
}

type Of<'a> = Column<'a, &'a Measured>;

impl Page<'_> {
    /// Operations and requests against the machine's peaks.
    fn against(&self, ceiling: &Ceiling, report: Report) -> Report {
        let (_, kernels) = self.subject.engine.kernels();
        let mut report = report.printed(roofline::footing(ceiling));
        for measured in self.rows {
            let (label, keep) = (&measured.label, measured.keep);
            let breakdown = &measured.breakdown;
            let steps = measured.sample.steps.len();
            if self.accounts.breakdown {
                let title = format!("{label} {keep}, {steps} steps");
                let table = breakdown.table(title, &kernels, ceiling);
                report = report.table(table).printed(breakdown.sentence());
            }
            if self.accounts.roofline {
                let title = format!("{label} {keep}, per step");
                report = report.table(roofline::table(title, breakdown.lines(), steps, ceiling));
            }
        }
        let vision = self.vision();
        if self.accounts.roofline && !vision.is_empty() {
            let title = "vision tower, once".to_owned();
            report = report.table(roofline::table(title, vision, 1, ceiling));
        }
        report
    }

    /// What the vision tower cost, where there is one.
    fn vision(&self) -> &[Spent] {
        let subject = self.subject;
        let accounts = subject.accounts.as_ref();
        let accounts = accounts.filter(|_| subject.vision_ms.is_some());
        accounts.map_or(&[], |accounts| &accounts.vision)
    }

    fn facts(&self) -> Table {
        let (subject, shape) = (self.subject, &self.subject.engine.card().decoder);
        let (visual_tokens, text_tokens) = (subject.visual_tokens(), subject.text_tokens());
        let memory = subject.engine.memory();
        let decoder = format!(
            "{} layers, width {}, {} heads of {}, mlp {}, vocabulary {}",
            shape.layers,
            shape.hidden,
            shape.heads.count,
            shape.heads.dim,
            shape.mlp,
            shape.vocabulary
        );
        let question = format!("{visual_tokens} visual tokens, {text_tokens} text tokens");
        let mut facts = vec![
            ("model", subject.name.clone()),
            ("decoder", decoder),
            ("question", question),
            (
                "steps",
                format!("{} measured of {}", self.measured(), self.steps),
            ),
            ("rounds", format!("{}, medians", self.rounds)),
        ];
        let vision = subject.vision_ms;
        facts.extend(vision.map(|ms| ("vision", format!("{ms:.1} ms, once"))));
        let memory = format!(
            "weights {}, buffers {}, peak of the process {}",
            bytes(memory.weights as u64),
            bytes(memory.buffers as u64),
            peak_bytes().map_or("unknown".into(), bytes)
        );
        facts.push(("memory", memory));
        Table::facts(facts)
    }

    fn kernels(&self) -> Table {
        type Of<'a> = Column<'a, KernelName>;
        let (backend, kernels) = self.subject.engine.kernels();
        let columns = vec![
            Of::text("operation", |it| it.operation.to_owned()),
            Of::text(format!("kernel of {backend}"), |it| it.kernel.clone()),
        ];
        Table::new(columns, kernels)
    }

    fn times(&self) -> Table {
        let columns = vec![
            Of::text("pruning", |it| it.label.clone()),
            Of::number("keep", |it| Some(it.keep.to_string())),
            Of::number("decoder (ms)", |it| number(it.median.decoder, 1)),
            Of::number("head (ms)", |it| number(it.median.head, 1)),
            Of::number("prune (ms)", |it| number(it.median.prune, 2)),
            Of::number("total (ms)", |it| number(it.median.total, 1)),
            Of::number("first step (ms)", |it| number(it.median.first_step, 1)),
            Of::number("last step (ms)", |it| number(it.median.last_step, 1)),
            Of::number("forwards", |it| integer(it.sample.forwards)),
        ];
        Table::new(columns, self.rows)
    }

    fn comparison(&self) -> Table {
        let answer = if self.measured() < self.steps {
            "answer (s, estimated)"
        } else {
            "answer (s)"
        };
        let first = self.first_answer_ms();
        let columns = vec![
            Of::text("pruning", |it| it.label.clone()),
            Of::number("keep", |it| Some(it.keep.to_string())),
            Of::number("visual tokens kept", |it| {
                integer(it.sample.visual_tokens_kept)
            }),
            Of::number("rows computed", |it| count(it.sample.rows_computed)),
            Of::number("GFLOP", |it| number(it.sample.flops.total() / 1e9, 1)),
            Of::number("GFLOP/s", |it| number(it.gflops_per_second(), 1)),
            Of::number("tokens/s", |it| number(it.tokens_per_second(), 1)),
            Of::number(answer, |it| number(it.answer_ms(self.steps) / 1e3, 2)),
            Of::number("times faster", |it| {
                number(first / it.answer_ms(self.steps), 2)
            }),
        ];
        Table::new(columns, self.rows)
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
