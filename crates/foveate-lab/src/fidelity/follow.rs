//! One engine follows the answers of another: at every denoising step it sees the same canvas and says
//! what it would write.

use std::sync::Arc;

use anyhow::Result;
use foveate_core::{
    Denoiser, Engine, Message, Method, Options, Orientation, Progress, PruneSettings, Pruned, Step,
    Survivors, ThinkMode, VisualTokens, quota,
};
use indicatif::ProgressBar;

use crate::eval::Questions;

/// What a comparison needs.
pub(super) struct Job<'a> {
    /// Whose answers are followed.
    pub(super) teacher: &'a Engine,
    /// Who follows.
    pub(super) student: &'a Engine,
    pub(super) questions: &'a Questions,
    pub(super) orientation: Orientation,
    /// Questions about the same pictures that are denoised together.
    pub(super) batch: usize,
    /// Keep ratios at which the choices of redvtp are compared.
    pub(super) keeps: &'a [f64],
    pub(super) bar: &'a ProgressBar,
}

/// How often two engines agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub(super) struct Agreement {
    pub(super) same: usize,
    pub(super) of: usize,
}

impl Agreement {
    fn note(&mut self, same: bool) {
        self.same += usize::from(same);
        self.of += 1;
    }

    /// From 0 to 1; 1 of nothing.
    pub(super) fn share(self) -> f64 {
        if self.of == 0 {
            return 1.0;
        }
        self.same as f64 / self.of as f64
    }
}

/// What was compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Followed {
    /// Committed tokens.
    pub(super) tokens: Agreement,
    /// Those before the end of the answer.
    pub(super) answer: Agreement,
    /// Per keep ratio: visual tokens that both keep, of those that the teacher keeps.
    pub(super) kept: Vec<Agreement>,
    /// Images whose choices were compared, one for each question about it.
    pub(super) choices: usize,
    /// Pictures among them.
    pub(super) pictures: usize,
}

/// Follows the answers to all questions.
pub(super) fn follow(job: &Job<'_>) -> Result<Followed> {
    let mut followed = Followed {
        kept: vec![Agreement::default(); job.keeps.len()],
        ..Followed::default()
    };
    for group in job.questions.by_pictures() {
        let pictures = &job.questions.list[group[0]].pictures;
        let encode = |engine: &Engine| -> Result<Vec<Arc<VisualTokens>>> {
            let encode =
                |index: &usize| job.questions.pictures[*index].encode(engine, job.orientation);
            pictures.iter().map(encode).collect()
        };
        let (taught, seen) = (encode(job.teacher)?, encode(job.student)?);
        followed.pictures += pictures.len();
        for batch in group.chunks(job.batch) {
            follow_batch(job, batch, &taught, &seen, &mut followed)?;
            job.bar.inc(batch.len() as u64);
        }
    }
    Ok(followed)
}

fn follow_batch(
    job: &Job<'_>,
    batch: &[usize],
    taught: &[Arc<VisualTokens>],
    seen: &[Arc<VisualTokens>],
    followed: &mut Followed,
) -> Result<()> {
    let options = Options {
        // Keeping everything only reports what redvtp would go by.
        prune: Some(PruneSettings::new(Method::Redvtp, 1.0)),
        ..job.teacher.default_options()
    };
    let start = |index: &usize| {
        let message = Message::user(&job.questions.list[*index].text, taught.len());
        let prompt = job.teacher.prompt(&[message], ThinkMode::default())?;
        job.teacher.start_from(&prompt, taught, &options)
    };
    let teachers: foveate_core::Result<Vec<Denoiser>> = batch.iter().map(start).collect();
    let mut teachers = teachers?;
    let mut commits: Vec<Vec<(u32, bool)>> = vec![Vec::new(); batch.len()];
    loop {
        let students: foveate_core::Result<Vec<Denoiser>> = teachers
            .iter()
            .map(|teacher| teacher.fork_seeing(seen))
            .collect();
        let mut students = students?;
        let wanted = job
            .teacher
            .step(&mut teachers.iter_mut().collect::<Vec<_>>())?;
        let got = job
            .student
            .step(&mut students.iter_mut().collect::<Vec<_>>())?;
        let mut stepped = false;
        for (index, (wanted, got)) in wanted.iter().zip(&got).enumerate() {
            if let (Progress::Stepped(wanted), Progress::Stepped(got)) = (wanted, got) {
                stepped = true;
                commits[index].extend(same_tokens(wanted, got));
                compare_kept(job.keeps, &wanted.pruned, &got.pruned, followed)?;
            }
        }
        if !stepped {
            break;
        }
    }
    for (teacher, commits) in teachers.iter().zip(commits) {
        let end = teacher.outcome().response as u32;
        for (position, same) in commits {
            followed.tokens.note(same);
            if position < end {
                followed.answer.note(same);
            }
        }
    }
    Ok(())
}

/// Per token that is committed: where, and whether the student's likeliest token there is the same.
fn same_tokens(wanted: &Step, got: &Step) -> Vec<(u32, bool)> {
    let same = |commit: &foveate_core::Commit| {
        let said = got
            .drafts
            .iter()
            .find(|draft| draft.position == commit.position);
        let same = said.is_some_and(|said| said.token == commit.token);
        (commit.position, same)
    };
    wanted.commits.iter().map(same).collect()
}

fn compare_kept(
    keeps: &[f64],
    wanted: &[Pruned],
    got: &[Pruned],
    followed: &mut Followed,
) -> Result<()> {
    for (wanted, got) in wanted.iter().zip(got) {
        followed.choices += 1;
        for (keep, agreement) in keeps.iter().zip(&mut followed.kept) {
            let quota = quota(wanted.of, *keep);
            let (wanted, got) = (
                Survivors::top(&wanted.scores, quota)?,
                Survivors::top(&got.scores, quota)?,
            );
            let both = |token: &&u32| got.indices().binary_search(token).is_ok();
            agreement.same += wanted.indices().iter().filter(both).count();
            agreement.of += quota;
        }
    }
    Ok(())
}
