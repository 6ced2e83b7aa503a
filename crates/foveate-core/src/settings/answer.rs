//! The settings of an answer whose text is given in part, and how they change the others.

use std::sync::Arc;

use super::field::rows;
use super::form::Form;
use super::setting::{Group, Setting};
use super::{Options, Settings};
use crate::denoise::{AnswerTemplate, Draft, Holes};
use crate::error::{Error, Result};
use crate::models::ModelCard;
use crate::tokenizer::Tokenizer;

/// They need a tokenizer, so [`Settings::fit_answer`] puts them into options.
pub(crate) const ROWS: &[Setting] = rows! { Group::Template;
    /// Text that the answer keeps, with slots to fill: 'Colour: {slot:4}, round: {choice:yes|no}'
    "template" "template" "TEXT" Form::Text => [|options| template(options).map(AnswerTemplate::text).into()];
    /// Options of the template's {choice}, of which one is answered; alone, they are the whole answer
    "choices" "choices" "A,B,…" Form::Texts { delimiter: Some(',') } => [|options| {
        let given = template(options).map(AnswerTemplate::given);
        given.filter(|given| !given.is_empty()).map(<[String]>::to_vec).into()
    }];
    /// Text that the answer begins with, with holes to fill: 'It is {slot:4}, because'
    "draft" "draft" "TEXT" Form::Text => [|options| draft(options).map(Draft::text).into()],
        excludes: &["template", "choices"];
    /// End each hole of the draft with the token that LaViDa's infilling model was taught
    "fim" "fim" "" Form::Switch => [|options| {
        (draft(options).map(Draft::holes) == Some(Holes::Marked)).into()
    }];
};

fn template(options: &Options) -> Option<&AnswerTemplate> {
    options.template.as_deref()
}

fn draft(options: &Options) -> Option<&Draft> {
    options.draft.as_deref()
}

impl Settings {
    /// Puts the template or the draft into options; a template fixes the length of its answer.
    pub(super) fn fit_answer(
        &self,
        options: Options,
        card: &ModelCard,
        tokenizer: impl FnOnce() -> Result<Tokenizer>,
    ) -> Result<Options> {
        let text = |name| self.get(name).map(|said| said.value.text());
        let marked = self.get("fim").is_some_and(|said| said.value.is_on());
        let choices = self
            .get("choices")
            .map_or(&[][..], |said| said.value.texts());
        if let Some(draft) = text("draft") {
            let holes = if marked { Holes::Marked } else { Holes::Plain };
            let draft = Draft::new(draft, holes, &tokenizer()?, card)?;
            return Ok(Options {
                draft: Some(Arc::new(draft)),
                ..options
            });
        }
        if marked {
            return Err(Error::request(
                "fim",
                "--fim is about the holes of a draft; add --draft TEXT",
            ));
        }
        if !self.says("template") && choices.is_empty() {
            return Ok(options);
        }
        AnswerTemplate::check(text("template"), choices)?;
        let template = AnswerTemplate::new(text("template"), choices, &tokenizer()?, card)?;
        self.fit_template(options, template)
    }

    fn fit_template(&self, options: Options, template: AnswerTemplate) -> Result<Options> {
        let tokens = template.len();
        let said = |name| self.get(name).map(|said| said.value.size());
        if let Some(room) = said("gen-length").filter(|room| *room < tokens) {
            return Err(Error::request(
                "template",
                format!(
                    "--template takes {tokens} tokens, expected at most {room} (--gen-length); \
                     use shorter slots or leave --gen-length out"
                ),
            ));
        }
        let mut options = options.with_template(template);
        options.block_length = said("block-length").unwrap_or(options.block_length);
        let blocks = (tokens / options.block_length).max(1);
        let steps = options.steps.next_multiple_of(blocks);
        options.steps = said("steps").unwrap_or(steps);
        Ok(options)
    }
}
