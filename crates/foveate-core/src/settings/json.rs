//! Settings as JSON: one shape for files, requests and reports, with groups `denoise`, `prune` and `cache`.

use serde_json::{Map, Value as Json};

use super::setting::settings;
use super::{Options, Origin, Setting, Settings};
use crate::error::{Error, Result};

/// What errors about the shape itself are about.
const FIELD: &str = "settings";

impl Settings {
    /// Reads an object such as `{"max_tokens": 64, "prune": {"method": "redvtp"}}`; `null` is nothing said.
    pub fn from_json(json: &Json, origin: Origin) -> Result<Self> {
        let mut settings = Self::default();
        for (key, value) in object(json, "settings")? {
            if !is_group(key) {
                settings.read(key, value, origin)?;
                continue;
            }
            if value.is_null() {
                continue;
            }
            for (part, value) in object(value, key)? {
                settings.read(&format!("{key}.{part}"), value, origin)?;
            }
        }
        Ok(settings)
    }

    fn read(&mut self, key: &str, json: &Json, origin: Origin) -> Result<()> {
        let setting = settings().find(|setting| setting.key == key);
        let setting = setting.ok_or_else(|| unknown(key))?;
        if !json.is_null() {
            let value = setting.form.read(json);
            let value = value.map_err(|reason| Error::request(setting.key, reason))?;
            self.put(setting, value, origin);
        }
        Ok(())
    }
}

impl Options {
    /// The options as [`Settings::from_json`] reads them; `null` for what there is not.
    pub fn to_json(&self) -> Json {
        let mut object = Map::new();
        // Its settings stand among the others.
        for setting in settings().filter(|setting| setting.key != "preset") {
            let value = serde_json::to_value((setting.get)(self)).unwrap_or_default();
            match setting.key.split_once('.') {
                None => {
                    object.insert(setting.key.into(), value);
                }
                Some((group, part)) => {
                    let group = object.entry(group).or_insert_with(|| Map::new().into());
                    group[part] = value;
                }
            }
        }
        Json::Object(object)
    }
}

fn object<'a>(json: &'a Json, what: &str) -> Result<&'a Map<String, Json>> {
    json.as_object().ok_or_else(|| {
        let reason = format!("{what}: expected an object, got {json}");
        Error::request(FIELD, reason)
    })
}

fn is_group(key: &str) -> bool {
    let group = |setting: &Setting| setting.key.split_once('.').map(|(group, _)| group);
    settings().any(|setting| group(setting) == Some(key))
}

/// An error that names what is nearest.
fn unknown(key: &str) -> Error {
    let distance = |setting: &&Setting| {
        let part = setting.key.rsplit('.').next().unwrap_or_default();
        let named = key.rsplit('.').next().unwrap_or_default();
        let name = setting.name.replace('-', "_");
        let by_part = strsim::levenshtein(part, named).min(strsim::levenshtein(&name, named));
        (by_part, strsim::levenshtein(setting.key, key))
    };
    let nearest = settings().min_by_key(distance);
    let nearest = nearest.map_or("", |setting| setting.key);
    Error::request(
        FIELD,
        format!("{key} is not known; did you mean {nearest}?"),
    )
}
