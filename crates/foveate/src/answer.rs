//! The denoising loop of one question, and what it cost.

use std::sync::Arc;

use foveate_core::{
    Denoiser, Engine, Message, NoTap, Options, Outcome, PhaseTimes, Picture, Progress, Pruned,
    Request, Step, VisualTokens,
};

use crate::error::{Error, Result, While as _};

/// Looks on while an answer is denoised.
///
/// ```
/// use foveate::core::{Denoiser, Step};
///
/// struct Counting(usize);
///
/// impl foveate::Observer for Counting {
///     fn layer(&mut self, _layer: usize, _of: usize) {}
///     fn step(&mut self, _denoiser: &Denoiser, _step: &Step) -> foveate::Result<()> {
///         self.0 += 1;
///         Ok(())
///     }
///     fn finish(&mut self) -> foveate::Result<()> {
///         Ok(())
///     }
/// }
/// ```
pub trait Observer {
    /// A layer of the next step begins.
    fn layer(&mut self, layer: usize, of: usize);
    /// A step is done.
    fn step(&mut self, denoiser: &Denoiser, step: &Step) -> Result<()>;
    /// The answer is finished; whatever was drawn for the moment goes.
    fn finish(&mut self) -> Result<()>;
}

/// Nobody looks on.
#[derive(Clone, Copy, Debug)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn layer(&mut self, _layer: usize, _of: usize) {}

    fn step(&mut self, _denoiser: &Denoiser, _step: &Step) -> Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

/// A finished answer with its account.
#[derive(Clone, Debug)]
pub struct Answered {
    /// The answer as words.
    pub text: String,
    /// Its tokens, and why it ended.
    pub outcome: Outcome,
    /// The last choice of visual tokens, per image that lost any.
    pub pruned: Vec<Pruned>,
    /// Rows summed over the layers they went through, over all steps.
    pub rows_computed: usize,
    /// Seconds per phase, over all steps.
    pub times: PhaseTimes,
}

/// Steps until the answer is finished.
pub fn answer(
    engine: &Engine,
    mut denoiser: Denoiser,
    observer: &mut dyn Observer,
) -> Result<Answered> {
    let mut times = PhaseTimes::default();
    let mut rows_computed = 0;
    let mut pruned: Vec<Pruned> = Vec::new();
    loop {
        let progress = engine.step_tapped(&mut [&mut denoiser], &mut NoTap, &mut |layer, of| {
            observer.layer(layer, of);
        });
        let progress = progress.doing(|| format!("denoising step {}", denoiser.steps_run() + 1))?;
        match progress.into_iter().next() {
            Some(Progress::Stepped(step)) => {
                observer.step(&denoiser, &step)?;
                times.decoder += step.times.decoder;
                times.head += step.times.head;
                times.prune += step.times.prune;
                rows_computed += step.rows_computed;
                for choice in step.pruned {
                    pruned.retain(|earlier| earlier.image != choice.image);
                    pruned.push(choice);
                }
            }
            Some(Progress::Finished) => break,
            Some(Progress::Cancelled) | None => return Err(Error::Cancelled),
        }
    }
    observer.finish()?;
    let outcome = denoiser.outcome();
    Ok(Answered {
        text: engine.answer(&outcome)?,
        outcome,
        pruned,
        rows_computed,
        times,
    })
}

/// Encodes pictures, in order.
pub fn encode(engine: &Engine, pictures: &[Picture]) -> Result<Vec<Arc<VisualTokens>>> {
    let encode = |(index, picture)| {
        let encoded = engine.encode(picture);
        encoded.doing(|| format!("encoding image {}", index + 1))
    };
    pictures.iter().enumerate().map(encode).collect()
}

/// A question about encoded pictures, ready to be denoised.
pub fn start(
    engine: &Engine,
    question: &str,
    images: &[Arc<VisualTokens>],
    options: &Options,
) -> Result<Denoiser> {
    Ok(engine.start(&Request {
        messages: vec![Message::user(question, images.len())],
        images: images.to_vec(),
        think: options.think,
        options: options.clone(),
    })?)
}

/// Answers a question about pictures.
///
/// ```no_run
/// use foveate::{Machine, Opened, Origin, Settings};
///
/// let opened = Opened::built_in()?;
/// let mut settings = Settings::default();
/// settings.set("prune", "redvtp", Origin::Flag)?;
/// let options = opened.options(&settings)?;
/// let engine = opened.load(Machine::default(), &mut |_, _| {})?;
/// let pictures = foveate::pictures::read(&["photo.jpg".into()], foveate::Orientation::Apply)?;
/// let answered = foveate::ask(&engine, "What is in the picture?", &pictures, &options)?;
/// println!("{}", answered.text);
/// # Ok::<(), foveate::Error>(())
/// ```
pub fn ask(
    engine: &Engine,
    question: &str,
    pictures: &[Picture],
    options: &Options,
) -> Result<Answered> {
    let images = encode(engine, pictures)?;
    let denoiser = start(engine, question, &images, options)?;
    answer(engine, denoiser, &mut Unobserved)
}
