//! An axis: round ends that hold every value, and round ticks between them.

/// From `low` to `high` in steps of 1, 2 or 5 times a power of ten.
pub(super) struct Axis {
    low: f64,
    step: f64,
    steps: usize,
}

/// About as many ticks as are read easily.
const TICKS: f64 = 6.0;

impl Axis {
    pub(super) fn new(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| value.is_finite()) {
            low = low.min(value);
            high = high.max(value);
        }
        if low >= high {
            // One value, or none: it gets room.
            let middle = if low.is_finite() { low } else { 0.0 };
            (low, high) = (middle - 1.0, middle);
        }
        let rough = (high - low) / TICKS;
        let power = 10_f64.powf(rough.log10().floor());
        let round = [1.0, 2.0, 5.0, 10.0]
            .into_iter()
            .find(|round| round * power >= rough);
        let step = round.unwrap_or(10.0) * power;
        let low = (low / step + 1e-9).floor() * step;
        let steps = ((high - low) / step - 1e-9).ceil().max(1.0) as usize;
        Self { low, step, steps }
    }

    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// Where a value lies: 0 at the low end, 1 at the high end.
    pub(super) fn share(&self, value: f64) -> f64 {
        ((value - self.low) / (self.step * self.steps as f64)).clamp(0.0, 1.0)
    }

    pub(super) fn ticks(&self) -> impl Iterator<Item = f64> {
        (0..=self.steps).map(|step| self.low + step as f64 * self.step)
    }

    /// A tick with as many decimals as its neighbours differ in.
    pub(super) fn written(&self, tick: f64) -> String {
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        format!("{tick:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::Axis;

    #[test]
    fn ends_are_round_and_hold_every_value() {
        let axis = Axis::new([0.0, 1.0, 2.9].into_iter());
        let ticks: Vec<String> = axis.ticks().map(|tick| axis.written(tick)).collect();
        assert_eq!(ticks, ["0.0", "0.5", "1.0", "1.5", "2.0", "2.5", "3.0"]);
        let axis = Axis::new([97.3, 100.0].into_iter());
        assert_eq!((axis.low(), axis.share(100.0)), (97.0, 1.0));
        for values in [&[][..], &[100.0], &[f64::NAN], &[5.0, 5.0]] {
            let axis = Axis::new(values.iter().copied());
            assert!(axis.ticks().count() > 1);
        }
    }
}
