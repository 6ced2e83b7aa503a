//! `--template`, `--choices` and `--draft`: text of the answer that is given, with slots to fill.

use std::sync::Arc;

use anyhow::Result;
use clap::builder::FalseyValueParser;
use foveate_core::{AnswerTemplate, Draft, Holes, Options, Tokenizer};

use crate::args::GenerationArgs;
use crate::exit::usage;
use crate::load::Model;

/// Text of the answer that is given.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Template")]
pub(crate) struct TemplateArgs {
    /// Text that the answer keeps, with slots to fill: 'Colour: {slot:4}, round: {choice:yes|no}'
    #[arg(long, env = "FOVEATE_TEMPLATE", value_name = "TEXT")]
    pub(crate) template: Option<String>,
    /// Options of the template's {choice}, of which one is answered; alone, they are the whole answer
    #[arg(
        long,
        env = "FOVEATE_CHOICES",
        value_name = "A,B,…",
        value_delimiter = ','
    )]
    pub(crate) choices: Vec<String>,
    /// Text that the answer begins with, with holes to fill: 'It is {slot:4}, because'
    #[arg(
        long,
        env = "FOVEATE_DRAFT",
        value_name = "TEXT",
        conflicts_with_all = ["template", "choices"]
    )]
    pub(crate) draft: Option<String>,
    /// End each hole of the draft with the token that LaViDa's infilling model was taught
    #[arg(long, env = "FOVEATE_FIM", value_parser = FalseyValueParser::new())]
    pub(crate) fim: bool,
}

impl TemplateArgs {
    /// Whether there is a template; an error if it is not one.
    pub(crate) fn check(&self) -> Result<bool> {
        if self.fim && self.draft.is_none() {
            return Err(usage(
                "--fim is about the holes of a draft; add --draft TEXT",
            ));
        }
        let given = self.template.is_some() || !self.choices.is_empty();
        if given {
            AnswerTemplate::check(self.template.as_deref(), &self.choices)?;
        }
        Ok(given)
    }

    /// Puts the draft at the beginning of the answer.
    pub(crate) fn begin(&self, options: Options, model: &Model) -> Result<Options> {
        let Some(text) = &self.draft else {
            return Ok(options);
        };
        let tokenizer = Tokenizer::open(&model.checkpoint)?;
        let holes = if self.fim {
            Holes::Marked
        } else {
            Holes::Plain
        };
        let draft = Draft::new(text, holes, &tokenizer, &model.card)?;
        Ok(Options {
            draft: Some(Arc::new(draft)),
            ..options
        })
    }

    /// Fits `options` to the template; what `generation` says wins where it can.
    pub(crate) fn fit(
        &self,
        options: Options,
        generation: &GenerationArgs,
        model: &Model,
    ) -> Result<Options> {
        let tokenizer = Tokenizer::open(&model.checkpoint)?;
        let text = self.template.as_deref();
        let template = AnswerTemplate::new(text, &self.choices, &tokenizer, &model.card)?;
        let tokens = template.len();
        if let Some(room) = generation.gen_length.filter(|room| room.get() < tokens) {
            let reason = format!(
                "--template takes {tokens} tokens, expected at most {room} (--gen-length); \
                 use shorter slots or leave --gen-length out"
            );
            return Err(usage(reason));
        }
        let mut options = options.with_template(template);
        if let Some(length) = generation.block_length {
            options.block_length = length.get();
        }
        let blocks = (tokens / options.block_length).max(1);
        options.steps = match generation.steps {
            Some(steps) => steps.get(),
            None => options.steps.next_multiple_of(blocks),
        };
        Ok(options)
    }
}
