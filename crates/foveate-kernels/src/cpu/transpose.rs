//! Rows side by side: `[rows][depth]` becomes `[depth][rows]`, four by four.
//!
//! Inputs of linears, queries, keys and attention mass are all packed by this one function.

/// Writes `source[r * stride + k]` to `out[k * step + r]` for `r < rows` and `k < depth`.
///
/// Panics when either slice is too short.
pub(super) fn transpose(
    source: &[f32],
    stride: usize,
    rows: usize,
    depth: usize,
    out: &mut [f32],
    step: usize,
) {
    if rows == 0 || depth == 0 {
        return;
    }
    assert!(
        source.len() >= (rows - 1) * stride + depth && out.len() >= (depth - 1) * step + rows,
        "a transposition outside its slices"
    );
    let whole = (rows - rows % 4, depth - depth % 4);
    for r in (0..whole.0).step_by(4) {
        for k in (0..whole.1).step_by(4) {
            // SAFETY: `r + 3` is below `rows` and `k + 3` below `depth`, so by the assertion all
            // of the four by four elements are inside.
            unsafe {
                let from = source.as_ptr().add(r * stride + k);
                let to = out.as_mut_ptr().add(k * step + r);
                four_by_four(from, stride, to, step);
            }
        }
    }
    let rest_of_rows = (whole.0..rows).map(|r| (r, 0..depth));
    let rest_of_depth = (0..whole.0).map(|r| (r, whole.1..depth));
    for (r, range) in rest_of_rows.chain(rest_of_depth) {
        for k in range {
            out[k * step + r] = source[r * stride + k];
        }
    }
}

/// Transposes sixteen floats in registers.
///
/// # Safety
/// Four rows of four floats must be readable and writable at these distances.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn four_by_four(from: *const f32, stride: usize, to: *mut f32, step: usize) {
    use std::arch::x86_64::{
        _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps, _mm_unpacklo_ps,
    };
    // SAFETY: the caller's promise; these instructions are part of every x86-64.
    unsafe {
        let a = _mm_loadu_ps(from);
        let b = _mm_loadu_ps(from.add(stride));
        let c = _mm_loadu_ps(from.add(2 * stride));
        let d = _mm_loadu_ps(from.add(3 * stride));
        let (ab, cd) = (_mm_unpacklo_ps(a, b), _mm_unpacklo_ps(c, d));
        _mm_storeu_ps(to, _mm_movelh_ps(ab, cd));
        _mm_storeu_ps(to.add(step), _mm_movehl_ps(cd, ab));
        let (ab, cd) = (_mm_unpackhi_ps(a, b), _mm_unpackhi_ps(c, d));
        _mm_storeu_ps(to.add(2 * step), _mm_movelh_ps(ab, cd));
        _mm_storeu_ps(to.add(3 * step), _mm_movehl_ps(cd, ab));
    }
}

/// # Safety
/// Four rows of four floats must be readable and writable at these distances.
#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
unsafe fn four_by_four(from: *const f32, stride: usize, to: *mut f32, step: usize) {
    for k in 0..4 {
        for r in 0..4 {
            // SAFETY: the caller's promise.
            unsafe { *to.add(k * step + r) = *from.add(r * stride + k) };
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
