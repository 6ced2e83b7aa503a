//! Where the time of a forward pass goes: one line per kind of operation, against the machine's peaks.

use foveate_kernels::{Dtype, KernelName, Spent};
use serde_json::{Value, json};

use super::ceiling::Ceiling;
use crate::report::{Column, Table, count, integer, number, percent};

type Of<'a> = Column<'a, &'a Spent>;

/// What one row of the comparison spent.
#[derive(Clone, Debug, Default)]
pub(super) struct Breakdown {
    /// The longest first.
    lines: Vec<Spent>,
    /// Seconds of the forward passes, from outside.
    wall: f64,
}

impl Breakdown {
    /// The mean of some runs, each with its accounts and the seconds that it took.
    pub(super) fn mean<'a>(runs: impl Iterator<Item = (&'a [Spent], f64)>) -> Self {
        let (mut mean, mut count) = (Self::default(), 0_usize);
        for (spent, wall) in runs {
            for spent in spent {
                match mean.lines.iter_mut().find(|line| line.work == spent.work) {
                    Some(line) => line.add(spent),
                    None => mean.lines.push(*spent),
                }
            }
            mean.wall += wall;
            count += 1;
        }
        let share = 1.0 / count.max(1) as f64;
        mean.wall *= share;
        for line in &mut mean.lines {
            line.calls /= count.max(1);
            line.seconds *= share;
            line.flops *= share;
            line.bytes *= share;
        }
        mean.lines.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        mean
    }

    pub(super) fn lines(&self) -> &[Spent] {
        &self.lines
    }

    /// Seconds of all operations together.
    pub(super) fn kernels(&self) -> f64 {
        self.lines.iter().map(|line| line.seconds).sum()
    }

    /// The forward passes over the sum of their operations; 1 means that nothing is lost between them.
    pub(super) fn forward_over_kernels(&self) -> f64 {
        self.wall / self.kernels().max(f64::MIN_POSITIVE)
    }

    /// A line for each kind of operation.
    pub(super) fn table(&self, title: String, kernels: &[KernelName], ceiling: &Ceiling) -> Table {
        let shares = |line: &&Spent| Shares::of(line, ceiling);
        let columns = vec![
            Of::text(title, |line| {
                format!("{} {}", line.work.operation(), line.work)
            }),
            Of::number("weights", |line| line.work.stored().map(name)).or_empty(),
            Of::number("calls", |line| integer(line.calls)),
            Of::number("ms", |line| number(1e3 * line.seconds, 2)),
            Of::number("of time", |line| percent(line.seconds / self.kernels(), 1)),
            Of::number("GFLOP", |line| number(line.flops / 1e9, 1)),
            Of::number("of peak", move |line| percent(shares(line).peak, 1)).or_empty(),
            Of::number("MB", |line| count((line.bytes / 1e6).round() as usize)),
            Of::number("of memory", move |line| percent(shares(line).memory, 1)),
            Of::text("kernel", |line| kernel(line, kernels).to_owned()),
        ];
        Table::new(columns, &self.lines)
    }

    /// What is lost between operations.
    pub(super) fn sentence(&self) -> String {
        format!(
            "kernels {:.1} ms of {:.1} ms in forward passes: a forward costs {:.3} of its kernels",
            1e3 * self.kernels(),
            1e3 * self.wall,
            self.forward_over_kernels()
        )
    }

    pub(super) fn object(&self, kernels: &[KernelName], ceiling: &Ceiling) -> Value {
        let line = |line: &Spent| {
            let shares = Shares::of(line, ceiling);
            json!({
                "operation": line.work.operation(),
                "shape": line.work.to_string(),
                "weights": line.work.stored().map(name),
                "calls": line.calls,
                "ms": 1e3 * line.seconds,
                "flops": line.flops,
                "share_of_fma_peak": shares.peak,
                "bytes": line.bytes,
                "share_of_bandwidth": shares.memory,
                "kernel": kernel(line, kernels),
            })
        };
        json!({
            "operations": self.lines.iter().map(line).collect::<Vec<_>>(),
            "kernels_ms": 1e3 * self.kernels(),
            "forward_ms": 1e3 * self.wall,
            "forward_over_kernels": self.forward_over_kernels(),
        })
    }
}

/// How near an operation came to the machine's peaks.
struct Shares {
    /// Of the FMA peak; none without arithmetic that is counted.
    peak: Option<f64>,
    memory: f64,
}

impl Shares {
    fn of(line: &Spent, ceiling: &Ceiling) -> Self {
        let seconds = line.seconds.max(f64::MIN_POSITIVE);
        let peak = line.flops / seconds / ceiling.flops_per_second;
        Self {
            peak: (line.flops > 0.0).then_some(peak),
            memory: line.bytes / seconds / ceiling.bytes_per_second,
        }
    }
}

/// The kernel that served an operation: the one that names its storage, or else the first of its name.
fn kernel<'a>(line: &Spent, kernels: &'a [KernelName]) -> &'a str {
    let stored = line.work.stored().map(name).unwrap_or_default();
    let of_operation =
        |kernel: &&KernelName| kernel.operation.split(' ').next() == Some(line.work.operation());
    let names_it = |kernel: &&KernelName| {
        let mut words = kernel.operation.split([' ', ',']);
        words.any(|word| word == stored)
    };
    let mut named = kernels.iter().filter(of_operation);
    let first = named.clone().next();
    named
        .find(names_it)
        .or(first)
        .map_or("", |kernel| kernel.kernel.as_str())
}

fn name(dtype: Dtype) -> String {
    format!("{dtype:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use foveate_kernels::{Act, Work};

    use super::*;

    fn linear(stored: Dtype, seconds: f64) -> Spent {
        Spent {
            work: Work::Linear {
                operation: "linear",
                inputs: 4,
                outputs: 8,
                act: Act::None,
                stored,
            },
            calls: 2,
            seconds,
            flops: 100.0,
            bytes: 50.0,
        }
    }

    #[test]
    fn runs_are_averaged_and_what_is_lost_between_kernels_is_seen() {
        let (first, second) = ([linear(Dtype::Q8, 1.0)], [linear(Dtype::Q8, 3.0)]);
        let runs = [(&first[..], 3.0), (&second[..], 3.0)];
        let mean = Breakdown::mean(runs.into_iter());
        assert_eq!(mean.lines().len(), 1);
        assert_eq!(mean.lines()[0], linear(Dtype::Q8, 2.0));
        assert!((mean.forward_over_kernels() - 1.5).abs() < 1e-12);
    }

    #[test]
    fn an_operation_is_given_the_kernel_of_its_storage() {
        let kernel_name = |operation, kernel: &str| KernelName {
            operation,
            kernel: kernel.into(),
        };
        let kernels = [
            kernel_name("norm", "lanes"),
            kernel_name("linear", "floats"),
            kernel_name("linear q8, q4", "integers"),
        ];
        assert_eq!(kernel(&linear(Dtype::Bf16, 1.0), &kernels), "floats");
        assert_eq!(kernel(&linear(Dtype::Q4, 1.0), &kernels), "integers");
    }

    #[test]
    fn shares_are_of_the_measured_peaks() {
        let ceiling = Ceiling {
            flops_per_second: 200.0,
            bytes_per_second: 25.0,
        };
        let shares = Shares::of(&linear(Dtype::F32, 4.0), &ceiling);
        assert!((shares.peak.expect("arithmetic") - 0.125).abs() < 1e-12);
        assert!((shares.memory - 0.5).abs() < 1e-12);
        assert!((ceiling.floor(100.0, 50.0) - 2.0).abs() < 1e-12);
    }
}
