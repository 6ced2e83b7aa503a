//! Presets: a paper's run by one name. A preset is a row of settings; whatever else is said wins over it.

use super::{Origin, Possible, Settings};
use crate::error::{Error, Result};
use crate::models::SYNTHETIC;

/// The settings of a published run.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// As given to `--preset`.
    pub name: &'static str,
    /// The family that it was published for, as model cards call it.
    pub family: &'static str,
    /// What was run, and where it was published.
    pub help: &'static str,
    /// What it says: `gen-length=32 policy=factor=1`, by the names of settings.
    pub says: &'static str,
}

impl Preset {
    /// The preset of this name.
    pub fn named(name: &str) -> Result<&'static Self> {
        let known = PRESETS.iter().find(|preset| preset.name == name);
        known.ok_or_else(|| Error::request("preset", format!("no preset is named {name}")))
    }

    /// What it says, setting by setting.
    pub fn rows(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let words = self.says.split_whitespace();
        words.filter_map(|word| word.split_once('='))
    }

    /// What it says, as settings.
    pub fn settings(&self) -> Result<Settings> {
        let mut settings = Settings::default();
        for (name, text) in self.rows() {
            settings.set(name, text, Origin::Preset)?;
        }
        Ok(settings)
    }

    /// Refuses a model of another family; random weights are of none.
    pub fn check(&self, family: &str) -> Result<()> {
        if family == self.family || family == SYNTHETIC {
            return Ok(());
        }
        let suited = PRESETS.iter().filter(|preset| preset.family == family);
        let suited: Vec<&str> = suited.map(|preset| preset.name).collect();
        let instead = if suited.is_empty() {
            "leave --preset out".to_owned()
        } else {
            format!("use one of {}", suited.join(", "))
        };
        let (name, needs) = (self.name, self.family);
        Err(Error::request(
            "preset",
            format!("{name} is for models of the family {needs}, this one is {family}; {instead}"),
        ))
    }
}

/// The names of the presets.
pub(super) fn choices() -> Vec<Possible> {
    let choice = |preset: &Preset| Possible {
        name: preset.name,
        help: preset.help,
        alias: "",
    };
    PRESETS.iter().map(choice).collect()
}

const LLADA_V: &str = "llada-v";
const LAVIDA: &str = "lavida-llada";
const DREAM: &str = "lavida-dream";

/// Every preset. Sources: evaluation scripts and demos of the references named by the family.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "lladav-demo",
        family: LLADA_V,
        help: "LLaDA-V, the demo of its repository",
        says: "gen-length=128 block-length=128 steps=128 schedule=linear \
               remasking=low-confidence temperature=0 prune=none cache=dllm-cache \
               cache-refresh=25 cache-response-refresh=7 cache-share=0.25 policy=fixed",
    },
    Preset {
        name: "lladav-vqa",
        family: LLADA_V,
        help: "LLaDA-V, lmms-eval tasks with short answers",
        says: "gen-length=2 block-length=2 steps=2 think=no-think schedule=linear \
               remasking=low-confidence temperature=0 prune=none cache=none policy=fixed",
    },
    Preset {
        name: "lladav-doc",
        family: LLADA_V,
        help: "LLaDA-V, lmms-eval tasks on documents and charts",
        says: "gen-length=32 block-length=32 steps=16 think=no-think schedule=linear \
               remasking=low-confidence temperature=0 prune=none cache=none policy=fixed",
    },
    Preset {
        name: "lladav-fast",
        family: LLADA_V,
        help: "LLaDA-V with Fast-dLLM's prefix cache and its adaptive threshold",
        says: "gen-length=64 block-length=64 steps=32 think=think schedule=linear \
               remasking=low-confidence temperature=0 prune=none cache=fast-dllm \
               cache-refresh=32 policy=factor=1",
    },
    Preset {
        name: "redvtp-lladav",
        family: LLADA_V,
        help: "RedVTP on LLaDA-V, documents",
        says: "gen-length=32 block-length=32 steps=16 think=no-think schedule=linear \
               remasking=low-confidence temperature=0 prune=redvtp keep=0.5 cache=none \
               policy=fixed",
    },
    Preset {
        name: "redvtp-lladav-vqa",
        family: LLADA_V,
        help: "RedVTP on LLaDA-V, short answers",
        says: "gen-length=2 block-length=2 steps=2 think=no-think schedule=linear \
               remasking=low-confidence temperature=0 prune=redvtp keep=0.5 cache=none \
               policy=fixed",
    },
    Preset {
        name: "redvtp-lladav-demo",
        family: LLADA_V,
        help: "RedVTP on LLaDA-V, its demo",
        says: "gen-length=32 block-length=32 steps=16 schedule=linear \
               remasking=low-confidence temperature=0 prune=redvtp keep=0.5 cache=none \
               policy=fixed",
    },
    Preset {
        name: "lavida-full",
        family: LAVIDA,
        help: "LaViDa, one token a step, as its evaluation does unless told otherwise",
        says: "gen-length=128 block-length=128 steps=128 schedule=linear \
               remasking=low-confidence temperature=0 prune=none cache=none policy=fixed",
    },
    Preset {
        name: "lavida-coco",
        family: LAVIDA,
        help: "LaViDa, run_coco.sh",
        says: "gen-length=32 block-length=32 step-ratio=0.5 schedule=shift \
               schedule-shift=0.33 remasking=low-confidence temperature=0 prune=none \
               cache=prefix policy=fixed",
    },
    Preset {
        name: "lavida-fim",
        family: LAVIDA,
        help: "LaViDa-FIM, predict_fim.py; the text to fill is the request's",
        says: "gen-length=256 block-length=128 steps=256 schedule=shift \
               schedule-shift=0.3333333333333333 remasking=low-confidence temperature=0 \
               prune=none cache=prefix policy=fixed",
    },
    Preset {
        name: "lavida-reason",
        family: LAVIDA,
        help: "LaViDa-Reason, its evaluation on mathematics",
        says: "gen-length=1024 block-length=2 steps=1024 schedule=linear \
               remasking=low-confidence temperature=0 prune=none cache=none policy=fixed",
    },
    Preset {
        name: "redvtp-lavida",
        family: LAVIDA,
        help: "RedVTP on LaViDa as its paper means it, documents",
        says: "gen-length=32 block-length=32 steps=16 schedule=linear \
               remasking=low-confidence temperature=0 prune=redvtp keep=0.5 cache=none \
               policy=fixed",
    },
    Preset {
        name: "redvtp-lavida-vqa",
        family: LAVIDA,
        help: "RedVTP on LaViDa as its paper means it, short answers",
        says: "gen-length=2 block-length=2 steps=2 schedule=linear remasking=low-confidence \
               temperature=0 prune=redvtp keep=0.5 cache=none policy=fixed",
    },
    Preset {
        name: "dream-eval",
        family: DREAM,
        help: "LaViDa-Dream, its evaluation with Dream's own times",
        says: "gen-length=32 steps=32 schedule=timesteps remasking=margin temperature=0 \
               prune=none cache=prefix policy=fixed",
    },
    Preset {
        name: "dream-fast",
        family: DREAM,
        help: "LaViDa-Dream, run_coco_dream.sh",
        says: "gen-length=32 step-ratio=0.5 schedule=shift schedule-shift=0.33 \
               remasking=margin temperature=0 prune=none cache=prefix policy=fixed",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_says_what_flags_can_say() {
        for preset in PRESETS {
            let settings = preset.settings().expect(preset.name);
            assert_eq!(
                settings.iter().count(),
                preset.says.split_whitespace().count(),
                "{}",
                preset.name
            );
        }
    }

    #[test]
    fn what_is_said_wins_over_the_preset_whatever_its_words_are() {
        let mut settings = Settings::default();
        settings.set("preset", "lavida-coco", Origin::Flag).unwrap();
        settings.set("steps", "8", Origin::Variable).unwrap();
        let all = settings.with_preset("lavida-llada").unwrap();
        assert_eq!(all.get("steps").unwrap().origin, Origin::Variable);
        assert_eq!(all.get("gen-length").unwrap().origin, Origin::Preset);
        assert!(!all.says("step-ratio"), "says the same as steps");
    }

    #[test]
    fn a_preset_is_refused_for_another_family_with_those_that_fit() {
        let preset = Preset::named("lladav-doc").unwrap();
        assert!(preset.check("llada-v").is_ok());
        assert!(preset.check(SYNTHETIC).is_ok());
        let error = preset.check("cat").unwrap_err().to_string();
        assert!(
            error.contains("llada-v") && error.contains("this one is cat"),
            "{error}"
        );
    }
}
