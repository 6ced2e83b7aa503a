//! From what somebody said to the options of one model: the one place that knows what follows from what.

use std::sync::Arc;

use super::preset::Preset;
use super::{Group, Options, Said, Settings, settings};
use crate::denoise::{AnswerTemplate, Policy, Remasking};
use crate::error::{Error, Result};
use crate::models::ModelCard;
use crate::prune::Pruning;
use crate::tokenizer::Tokenizer;

impl Settings {
    /// The options of a model: what was said over its preset, over the checkpoint's and the family's own
    /// values, with what follows from it. `tokenizer` is asked for where text is given.
    ///
    /// A length without a block length makes one block; without steps, as many tokens a step as the
    /// model's own. A policy other than `fixed` goes by probabilities, whatever the family's own ranking
    /// is. Defaults of the pruner and the cache are written out.
    ///
    /// [`Options::check`] says whether the options can be.
    pub fn resolve(
        &self,
        card: &ModelCard,
        tokenizer: impl FnOnce() -> Result<Tokenizer>,
    ) -> Result<Options> {
        let all = self.with_preset(card.family)?;
        all.refuse_conflicts()?;
        all.refuse_strays()?;
        let defaults = card.default_options();
        let mut options = defaults.clone();
        for said in all.in_order() {
            (said.setting.set)(&mut options, &said.value)?;
        }
        all.derive(&defaults, &mut options);
        let mut options = all.fit_answer(options, card, tokenizer)?;
        let prune = options.prune.take();
        options.prune = prune
            .map(|prune| prune.completed(card.decoder.layers))
            .transpose()?;
        options.cache = options.cache.completed();
        Ok(options)
    }

    /// These settings over those of the preset that they name.
    pub fn with_preset(&self, family: &str) -> Result<Self> {
        let Some(said) = self.get("preset") else {
            return Ok(self.clone());
        };
        let preset = Preset::named(said.value.text())?;
        preset.check(family)?;
        Ok(self.clone().over(preset.settings()?))
    }

    /// Pruning settings mean nothing without a method.
    pub fn refuse_strays(&self) -> Result<()> {
        let about_pruning = |said: &&Said| said.setting.group == Group::Pruning;
        match self.in_order().find(about_pruning) {
            Some(stray) if !self.says("prune") => {
                let name = stray.setting.name;
                Err(Error::request(
                    "prune",
                    format!("--{name} says how to prune; add --prune METHOD, such as redvtp"),
                ))
            }
            _ => Ok(()),
        }
    }

    fn refuse_conflicts(&self) -> Result<()> {
        for said in self.iter() {
            let conflict = |other: &&Said| said.setting.excludes.contains(&other.setting.name);
            if let Some(other) = self.iter().find(conflict) {
                let (name, other) = (said.setting.name, other.setting.name);
                return Err(Error::request(
                    name,
                    format!("cannot be used with {other}; give one of the two"),
                ));
            }
        }
        Ok(())
    }

    /// Everything that was said, in the order of the table: later rows change what earlier ones made.
    fn in_order(&self) -> impl Iterator<Item = &Said> {
        settings().filter_map(|setting| self.get(setting.name))
    }

    /// What follows from what was said.
    fn derive(&self, defaults: &Options, options: &mut Options) {
        let resized = options.gen_length != defaults.gen_length;
        if resized && !self.says("block-length") {
            options.block_length = options.gen_length;
        }
        let cut_anew = resized || options.block_length != defaults.block_length;
        if cut_anew && !self.says("steps") {
            let blocks = (options.gen_length / options.block_length).max(1);
            let steps = options.gen_length.saturating_mul(defaults.steps);
            let steps = steps.div_ceil(defaults.gen_length);
            options.steps = steps.checked_next_multiple_of(blocks).unwrap_or(steps);
        }
        if !self.says("remasking") && options.policy != Policy::default() {
            // The others go by probabilities; a family's own ranking may be another.
            options.remasking = Remasking::LowConfidence;
        }
    }
}

impl Options {
    /// The pruning settings, validated against a decoder of `layers` layers.
    pub fn pruning(&self, layers: usize) -> Result<Option<Pruning>> {
        let settings = self.prune.as_ref();
        settings.map(|settings| settings.build(layers)).transpose()
    }

    /// These options with a template: its canvas in one block, two tokens of its slots a step.
    #[must_use]
    pub fn with_template(self, template: AnswerTemplate) -> Self {
        Self {
            gen_length: template.len(),
            block_length: template.len(),
            steps: template.open_tokens().div_ceil(2).max(1),
            template: Some(Arc::new(template)),
            ..self
        }
    }
}
