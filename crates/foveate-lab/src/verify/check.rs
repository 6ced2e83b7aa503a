//! Comparing: exact for decisions, absolute tolerance for floats, and the report of a case.

use std::fmt;
use std::path::Path;

/// Absolute tolerances, from the golden data's own README.
pub(crate) mod tolerance {
    /// Normalised pixels.
    pub(crate) const PIXELS: f64 = 1e-6;
    /// Tower, projector and merged embeddings.
    pub(crate) const VISION: f64 = 1e-4;
    /// Hidden states of the decoder.
    pub(crate) const HIDDEN: f64 = 1e-3;
    /// Logits.
    pub(crate) const LOGITS: f64 = 2e-3;
    /// Attention averaged over layers, and importance.
    pub(crate) const ATTENTION: f64 = 1e-5;
    /// Attention of one layer: nothing averages out, and the stored f32 values are themselves up to
    /// 1e-5 from f64.
    pub(crate) const LAYER_ATTENTION: f64 = 5e-5;
    /// Confidence.
    pub(crate) const CONFIDENCE: f64 = 1e-4;
}

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Everything agrees.
    Pass,
    /// Something differs.
    Fail,
    /// Needs what is not built yet.
    Skipped,
    /// Differs by decision; everything before the differing decision agrees.
    Deliberate,
}

/// One comparison. Exact ones count mismatches against a tolerance of 0.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Check {
    /// What was compared.
    pub name: String,
    /// The largest absolute difference, or the number of mismatches.
    pub error: f64,
    /// The largest error that passes.
    pub tolerance: f64,
    /// Whether it passes.
    pub ok: bool,
}

/// All comparisons of one case.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Report {
    /// Name of the folder or file.
    pub case: String,
    /// The verdict so far.
    pub status: Status,
    /// Why it is not a plain pass.
    pub reason: Option<String>,
    /// In order.
    pub checks: Vec<Check>,
}

impl Report {
    /// An empty report, which passes.
    pub(crate) fn new(path: &Path) -> Self {
        let case = path.file_name().map_or_else(
            || path.display().to_string(),
            |n| n.to_string_lossy().into(),
        );
        Self {
            case,
            status: Status::Pass,
            reason: None,
            checks: Vec::new(),
        }
    }

    /// Every float within `tolerance`; a different length or a NaN fails.
    pub(crate) fn close(
        &mut self,
        name: impl Into<String>,
        got: &[f32],
        want: &[f32],
        tolerance: f64,
    ) {
        let name = name.into();
        if got.len() != want.len() {
            self.fail(format!(
                "{name}: expected {} values, got {}",
                want.len(),
                got.len()
            ));
        }
        let difference = |(g, w): (&f32, &f32)| f64::from((g - w).abs());
        let worst = got
            .iter()
            .zip(want)
            .map(difference)
            .fold(0.0, |worst: f64, d| {
                if d.is_nan() {
                    f64::INFINITY
                } else {
                    worst.max(d)
                }
            });
        let error = if got.len() == want.len() {
            worst
        } else {
            f64::INFINITY
        };
        self.push(name, error, tolerance);
    }

    /// Every value equal.
    pub(crate) fn same<T: PartialEq + fmt::Debug>(
        &mut self,
        name: impl Into<String>,
        got: &[T],
        want: &[T],
    ) {
        let name = name.into();
        let differing = got.iter().zip(want).position(|(g, w)| g != w);
        let wrong =
            got.iter().zip(want).filter(|(g, w)| g != w).count() + got.len().abs_diff(want.len());
        if let Some(at) = differing {
            self.fail(format!(
                "{name}[{at}]: expected {:?}, got {:?}",
                want[at], got[at]
            ));
        } else if wrong > 0 {
            self.fail(format!(
                "{name}: expected {} values, got {}",
                want.len(),
                got.len()
            ));
        }
        self.push(name, wrong as f64, 0.0);
    }

    /// Fails the case; the first reason stays.
    pub(crate) fn fail(&mut self, reason: impl Into<String>) {
        self.status = Status::Fail;
        self.reason.get_or_insert(reason.into());
    }

    /// The case needs something that does not exist yet.
    pub(crate) fn skip(&mut self, reason: impl Into<String>) {
        self.status = Status::Skipped;
        self.reason = Some(reason.into());
    }

    /// From here on the case differs on purpose.
    pub(crate) fn deliberate(&mut self, reason: impl Into<String>) {
        if self.status == Status::Pass {
            self.status = Status::Deliberate;
            self.reason = Some(reason.into());
        }
    }

    fn push(&mut self, name: String, error: f64, tolerance: f64) {
        let ok = error <= tolerance;
        if !ok {
            self.fail(format!(
                "{name}: error {error:.3e} is above {tolerance:.0e}"
            ));
        }
        // JSON has no infinity.
        let error = error.min(f64::MAX);
        self.checks.push(Check {
            name,
            error,
            tolerance,
            ok,
        });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Pass => "pass",
            Status::Fail => "FAIL",
            Status::Skipped => "skipped",
            Status::Deliberate => "deliberate",
        };
        let worst = self
            .checks
            .iter()
            .filter(|c| c.tolerance > 0.0)
            .max_by(|a, b| (a.error / a.tolerance).total_cmp(&(b.error / b.tolerance)));
        write!(
            f,
            "{status:<10} {:<40} {:>3} checks",
            self.case,
            self.checks.len()
        )?;
        if let Some(check) = worst {
            write!(
                f,
                "  closest: {} {:.1e} of {:.0e}",
                check.name, check.error, check.tolerance
            )?;
        }
        writeln!(f)?;
        match &self.reason {
            Some(reason) => writeln!(f, "           {reason}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_is_not_a_number_never_passes() {
        let mut report = Report::new(Path::new("case"));
        report.close("x", &[f32::NAN], &[0.0], 1.0);
        assert_eq!(report.status, Status::Fail);
    }

    #[test]
    fn a_missing_value_never_passes() {
        let mut report = Report::new(Path::new("case"));
        report.same("x", &[1, 2], &[1, 2, 3]);
        assert_eq!(report.status, Status::Fail);
    }

    #[test]
    fn a_failure_is_never_called_deliberate() {
        let mut report = Report::new(Path::new("case"));
        report.close("x", &[1.0], &[0.0], 0.5);
        report.deliberate("on purpose");
        assert_eq!(report.status, Status::Fail);
    }
}
