//! Pictures of one size that lie side by side in one compiled-in file.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use foveate_core::Orientation;
use foveate_core::image::{DecodeLimits, Picture, decode_bytes};

/// One file of pictures, row after row.
pub(super) struct Sheet {
    pub(super) name: String,
    pub(super) file: &'static [u8],
    pub(super) width: usize,
    pub(super) height: usize,
    /// Pictures in a row.
    pub(super) columns: usize,
    /// How many there are.
    pub(super) pictures: usize,
}

/// The sheets of a suite, of which the last one used is kept decoded.
pub(crate) struct Sheets {
    list: Vec<Sheet>,
    open: Mutex<Option<(usize, Arc<Picture>)>>,
}

impl Sheets {
    pub(super) fn new(list: Vec<Sheet>) -> Self {
        let open = Mutex::new(None);
        Self { list, open }
    }

    /// Pictures on all sheets.
    pub(super) fn count(&self) -> usize {
        self.list.iter().map(|sheet| sheet.pictures).sum()
    }

    /// The picture of this number, counted over all sheets.
    pub(super) fn picture(&self, number: usize) -> Result<Picture> {
        let mut index = number;
        let found = self.list.iter().position(|sheet| {
            let here = index < sheet.pictures;
            index -= if here { 0 } else { sheet.pictures };
            here
        });
        let place = found.with_context(|| format!("there is no picture {number} on the sheets"))?;
        let sheet = &self.list[place];
        let decoded = self.decoded(place)?;
        Ok(sheet.cut(&decoded, index)?)
    }

    fn decoded(&self, place: usize) -> Result<Arc<Picture>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, picture)) = open.as_ref().filter(|(last, _)| *last == place) {
            return Ok(Arc::clone(picture));
        }
        // The old one goes before the new one comes.
        *open = None;
        let Sheet { name, file, .. } = &self.list[place];
        let limits = DecodeLimits::default();
        let picture = Arc::new(decode_bytes(name, file, Orientation::Ignore, &limits)?);
        *open = Some((place, Arc::clone(&picture)));
        Ok(picture)
    }
}

impl Sheet {
    /// One picture of the decoded sheet.
    fn cut(&self, sheet: &Picture, index: usize) -> foveate_core::Result<Picture> {
        let left = index % self.columns * self.width;
        let top = index / self.columns * self.height;
        let rows = (top..top + self.height).filter_map(|row| {
            let start = 3 * (row * sheet.width() as usize + left);
            sheet.rgb().get(start..start + 3 * self.width)
        });
        let rgb = rows.flatten().copied().collect();
        Picture::new(&self.name, self.width as u32, self.height as u32, rgb)
    }
}
