//! The answer in progress: ids that are masked or committed.

/// Response ids. A mask is an id, never a distance between embeddings.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    ids: Vec<u32>,
    mask: u32,
    /// Where the draft ends: what ends an answer does not count before.
    draft: usize,
}

impl Canvas {
    /// Begins with `ids`: masks where there is something to fill. The first `draft` are a draft's.
    pub(crate) fn new(ids: Vec<u32>, mask: u32, draft: usize) -> Self {
        Self { ids, mask, draft }
    }

    pub(crate) fn ids(&self) -> &[u32] {
        &self.ids
    }

    pub(crate) fn is_masked(&self, position: usize) -> bool {
        self.ids[position] == self.mask
    }

    /// Masked positions below `end`, ascending.
    pub(crate) fn masked(&self, end: usize) -> Vec<u32> {
        (0..end as u32)
            .filter(|&p| self.is_masked(p as usize))
            .collect()
    }

    /// Writes a token. A predicted mask token is legal: the position stays masked.
    pub(crate) fn commit(&mut self, position: u32, token: u32) {
        self.ids[position as usize] = token;
    }

    /// The first position after the draft that holds one of `ids`, if nothing before it is masked.
    pub(crate) fn find_settled(&self, ids: &[u32]) -> Option<usize> {
        let first = self.ids[self.draft..]
            .iter()
            .position(|id| ids.contains(id))?;
        let first = self.draft + first;
        let settled = (0..first).all(|p| !self.is_masked(p));
        settled.then_some(first)
    }

    /// Where `sequence` first occurs after the draft.
    pub(crate) fn find(&self, sequence: &[u32]) -> Option<usize> {
        if sequence.is_empty() {
            return None;
        }
        let found = self.ids[self.draft..]
            .windows(sequence.len())
            .position(|w| w == sequence);
        found.map(|at| self.draft + at)
    }
}

#[cfg(test)]
mod tests {
    use super::Canvas;

    #[test]
    fn a_predicted_mask_stays_masked() {
        let mut canvas = Canvas::new(vec![9; 3], 9, 0);
        canvas.commit(0, 5);
        canvas.commit(1, 9);
        assert_eq!(canvas.masked(3), [1, 2]);
        assert_eq!(canvas.find(&[5, 9]), Some(0));
        assert_eq!(canvas.find(&[]), None);
    }

    #[test]
    fn an_end_counts_once_nothing_before_it_is_masked() {
        let mut canvas = Canvas::new(vec![9; 4], 9, 0);
        canvas.commit(2, 7);
        canvas.commit(0, 5);
        assert_eq!(canvas.find_settled(&[6, 7]), None);
        canvas.commit(1, 5);
        assert_eq!(canvas.find_settled(&[6, 7]), Some(2));
        assert_eq!(canvas.find_settled(&[6]), None);
    }

    #[test]
    fn nothing_ends_inside_a_draft() {
        let mut canvas = Canvas::new(vec![7, 9, 7, 9, 9], 9, 3);
        assert_eq!(canvas.find(&[7]), None);
        canvas.commit(3, 7);
        assert_eq!(canvas.find(&[7]), Some(3));
        assert_eq!(canvas.find_settled(&[7]), None);
        canvas.commit(1, 7);
        assert_eq!(canvas.find_settled(&[7]), Some(3));
    }
}
