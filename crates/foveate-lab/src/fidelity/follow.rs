//! One engine follows the answers of another: at every denoising step it sees the same canvas and says
//! what it would write.

use std::sync::Arc;

use anyhow::Result;
use foveate_core::{
    Denoiser, Engine, Method, Options, PruneSettings, Pruned, Step, Survivors, VisualTokens, quota,
};

use crate::eval::Questions;
use crate::progress;
use crate::report::step;

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

/// Follows the answers of `teacher` to all questions; choices of redvtp are compared at `keeps`.
pub(super) fn follow(
    teacher: &Engine,
    student: &Engine,
    questions: &Questions,
    keeps: &[f64],
) -> Result<Followed> {
    let mut followed = Followed {
        kept: vec![Agreement::default(); keeps.len()],
        ..Followed::default()
    };
    let options = Options {
        // Keeping everything only reports what redvtp would go by.
        prune: Some(PruneSettings::new(Method::Redvtp, 1.0)),
        ..teacher.default_options()
    };
    let bar = progress::counted("comparing", questions.list.len());
    for group in questions.by_pictures() {
        let taught = questions.look(teacher, group[0])?;
        let seen = questions.look(student, group[0])?;
        followed.pictures += taught.len();
        for batch in group.chunks(questions.batch) {
            let ask = |index: &usize| questions.ask(teacher, *index, &taught, &options);
            let answers = batch.iter().map(ask).collect::<Result<_>>()?;
            follow_batch((teacher, student), answers, &seen, keeps, &mut followed)?;
            bar.inc(batch.len() as u64);
        }
    }
    bar.finish_and_clear();
    Ok(followed)
}

/// The student, who has `seen` the pictures, follows the answers of the teacher to their ends.
fn follow_batch(
    (teacher, student): (&Engine, &Engine),
    mut answers: Vec<Denoiser>,
    seen: &[Arc<VisualTokens>],
    keeps: &[f64],
    followed: &mut Followed,
) -> Result<()> {
    let mut commits: Vec<Vec<(u32, bool)>> = vec![Vec::new(); answers.len()];
    loop {
        let forks = answers.iter().map(|answer| answer.fork_seeing(seen));
        let mut forks = forks.collect::<foveate_core::Result<Vec<_>>>()?;
        let wanted = step(teacher, &mut answers)?;
        let got = step(student, &mut forks)?;
        for ((wanted, got), commits) in wanted.iter().zip(&got).zip(&mut commits) {
            if let (Some(wanted), Some(got)) = (wanted, got) {
                commits.extend(same_tokens(wanted, got));
                compare_kept(keeps, &wanted.pruned, &got.pruned, followed)?;
            }
        }
        if wanted.iter().all(Option::is_none) {
            break;
        }
    }
    for (answer, commits) in answers.iter().zip(commits) {
        let end = answer.outcome().response as u32;
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
