//! Rows side by side: `[rows][depth]` becomes `[depth][rows]`, four by four.

/// Writes `source[r][k]` to `out[k * step + r]` for `k < depth`; rows start `stride` floats apart.
pub(super) fn transpose(
    source: &[f32],
    stride: usize,
    rows: usize,
    depth: usize,
    out: &mut [f32],
    step: usize,
) {
    let mut first = 0;
    while first < rows {
        let source = &source[first * stride..];
        let out = &mut out[first..];
        match rows - first {
            1 => strip::<1>(source, stride, depth, out, step),
            2 => strip::<2>(source, stride, depth, out, step),
            3 => strip::<3>(source, stride, depth, out, step),
            _ => strip::<4>(source, stride, depth, out, step),
        }
        first += 4;
    }
}

#[inline(always)]
fn strip<const ROWS: usize>(
    source: &[f32],
    stride: usize,
    depth: usize,
    out: &mut [f32],
    step: usize,
) {
    let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &source[r * stride..][..depth]);
    let whole = depth - depth % 4;
    for k in (0..whole).step_by(4) {
        let block: [[f32; 4]; ROWS] =
            std::array::from_fn(|r| std::array::from_fn(|i| rows[r][k + i]));
        for i in 0..4 {
            let column: [f32; ROWS] = std::array::from_fn(|r| block[r][i]);
            out[(k + i) * step..][..ROWS].copy_from_slice(&column);
        }
    }
    for k in whole..depth {
        for r in 0..ROWS {
            out[k * step + r] = rows[r][k];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::transpose;

    #[test]
    fn every_element_lands_in_its_column() {
        for (rows, depth) in [(1, 1), (3, 5), (4, 4), (6, 7), (12, 33), (16, 72)] {
            let stride = depth + 3;
            let source: Vec<f32> = (0..rows * stride).map(|i| i as f32).collect();
            let mut out = vec![-1.0; depth * rows];
            transpose(&source, stride, rows, depth, &mut out, rows);
            for r in 0..rows {
                for k in 0..depth {
                    assert!((out[k * rows + r] - source[r * stride + k]).abs() < 0.5);
                }
            }
        }
    }
}
