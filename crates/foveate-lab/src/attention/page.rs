//! A finished measurement as tables, JSON, charts and a page of Markdown.

use anyhow::Result;
use serde_json::{Value, json};

use super::gather::{Gathered, Layer, Likeness, Mean};
use crate::chart::{Chart, Joined, Point};
use crate::eval::Questions;
use crate::report::{Column, Finished, Report, Table, count, integer, number, percent, percentage};
use crate::table::grouped;

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) model: &'a str,
    pub(super) fingerprint: &'a str,
    pub(super) questions: &'a Questions,
    pub(super) keeps: &'a [f64],
    pub(super) gathered: &'a Gathered,
}

/// A column about layers or steps, which have numbers.
type Numbered<'a, T> = Column<'a, (usize, &'a T)>;

impl Finished for Page<'_> {
    fn json(&self) -> Result<Vec<Value>> {
        let layers = self
            .gathered
            .layers
            .iter()
            .enumerate()
            .map(|(index, layer)| {
                json!({
                    "layer": index + 1,
                    "visual_share_step_1": layer.visual[0].value(),
                    "visual_share_later_steps": layer.visual[1].value(),
                    "per_visual_token": layer.per_visual_token.value(),
                    "per_other_row": layer.per_other_row.value(),
                })
            });
        let steps = (2..).zip(&self.gathered.steps).map(|(step, likeness)| {
            let overlap = self.keeps.iter().zip(&likeness.overlap);
            let overlap =
                overlap.map(|(keep, mean)| json!({"keep": keep, "overlap": mean.value()}));
            json!({
                "step": step,
                "images": likeness.images(),
                "spearman": likeness.spearman.value(),
                "kept": overlap.collect::<Vec<_>>(),
            })
        });
        Ok(vec![json!({
            "model": self.model,
            "model_fingerprint": self.fingerprint,
            "questions": self.questions.name,
            "visual_tokens": self.gathered.visual_tokens.value(),
            "rows": self.gathered.rows.value(),
            "layers": layers.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
        })])
    }

    fn printed(&self) -> Report {
        let (questions, size) = (&self.questions.name, self.size());
        Report::new("attention", "What answers look at")
            .printed(format!("{} on {questions}, {size}", self.model))
            .about(format!(
                "Model {} (fingerprint `{}`), questions {questions}: {size}. The answers are unpruned; attention is \
                read where pruning strategies read it.",
                self.model, self.fingerprint,
            ))
            .heading("Layer by layer")
            .about(
                "Attention of the response rows, averaged over rows, heads and questions. Its *allocation* is the \
                share that falls on all visual tokens together; the rest falls on the prompt's text and on the \
                response itself. Its *efficiency* is what one visual token, or one other row, gets of it \
                (definitions: FastV, arXiv 2403.06764; there the other rows are split further).",
            )
            .table(self.layers())
            .chart(
                "--layer-chart",
                "Attention on visual tokens by layer",
                self.layer_chart(),
            )
            .heading("Step by step")
            .about(
                "RedVTP scores each visual token once, after step 1, by the attention of the rows that are still \
                masked. The same scores after each later step of the same unpruned answer, against those of step 1: \
                Spearman's rank correlation, and the share of the tokens kept after step 1 that this step would keep \
                too (by chance, the keep ratio). Answers that have ended, and steps that leave no row masked, have \
                no scores.",
            )
            .table(self.steps())
            .chart(
                "--step-chart",
                "Scores of step 1 against later steps",
                self.step_chart(),
            )
            .heading("What it shows")
            .findings(self.findings())
    }
}

impl Page<'_> {
    fn size(&self) -> String {
        let mean = |mean: Mean| mean.value().unwrap_or_default();
        format!(
            "{} questions about {} pictures, {:.1} visual tokens of {:.1} rows on average",
            grouped(self.questions.list.len() as u64),
            grouped(self.questions.by_pictures().len() as u64),
            mean(self.gathered.visual_tokens),
            mean(self.gathered.rows),
        )
    }

    fn layers(&self) -> Table {
        type Of<'a> = Numbered<'a, Layer>;
        let columns = vec![
            Of::number("layer", |(layer, _)| integer(*layer)),
            Of::number("on visual tokens, step 1", |(_, it)| {
                percent(it.visual[0].value(), 1)
            }),
            Of::number("later steps", |(_, it)| percent(it.visual[1].value(), 1)),
            Of::number("per visual token, step 1", |(_, it)| {
                percent(it.per_visual_token.value(), 3)
            }),
            Of::number("per other row", |(_, it)| {
                percent(it.per_other_row.value(), 3)
            }),
            Of::number("visual token : other row", |(_, it)| {
                number(it.efficiency(), 2)
            }),
        ];
        Table::new(columns, (1..).zip(&self.gathered.layers))
    }

    /// Steps at which anything was compared, from step 2 on.
    fn compared(&self) -> impl Iterator<Item = (usize, &Likeness)> {
        let steps = (2..).zip(&self.gathered.steps);
        steps.filter(|(_, likeness)| likeness.images() > 0)
    }

    fn steps(&self) -> Table {
        type Of<'a> = Numbered<'a, Likeness>;
        let mut columns = vec![
            Of::number("step", |(step, _)| integer(*step)),
            Of::number("images", |(_, it)| count(it.images())),
            Of::number("Spearman", |(_, it)| number(it.spearman.value(), 3)),
        ];
        columns.extend(self.keeps.iter().enumerate().map(|(index, keep)| {
            let title = format!("also kept at {keep}");
            Of::number(title, move |(_, it)| percent(it.overlap[index].value(), 1))
        }));
        Table::new(columns, self.compared())
    }

    /// Allocation by layer, a line for step 1 and one for the later steps.
    fn layer_chart(&self) -> Chart {
        let line = |name: &'static str, which: usize| {
            let layers = (1..).zip(&self.gathered.layers);
            layers.filter_map(move |(layer, it)| point(name, layer, it.visual[which].value()))
        };
        Chart {
            title: format!("{}: attention of the answer on visual tokens", self.model),
            x_title: "layer".into(),
            y_title: format!("share of attention on {}, %", self.questions.name),
            points: line("step 1", 0).chain(line("later steps", 1)).collect(),
            joined: Joined::Groups,
        }
    }

    /// Likeness by step.
    fn step_chart(&self) -> Chart {
        let line = |name: String, value: &dyn Fn(&Likeness) -> Option<f64>| -> Vec<Point> {
            let steps = (2..).zip(&self.gathered.steps);
            let points = steps.filter_map(|(step, it)| point(&name, step, value(it)));
            points.collect()
        };
        let mut points = line("Spearman".into(), &|it| it.spearman.value());
        for (index, keep) in self.keeps.iter().enumerate() {
            let name = format!("also kept at {keep}");
            points.extend(line(name, &|it| it.overlap[index].value()));
        }
        Chart {
            title: format!("{}: scores of step 1 against later steps", self.model),
            x_title: "denoising step".into(),
            y_title: format!(
                "rank correlation and tokens kept by both on {}, %",
                self.questions.name
            ),
            points,
            joined: Joined::Groups,
        }
    }

    /// Sentences that the numbers allow, beside what the papers say.
    fn findings(&self) -> Vec<String> {
        let layers = &self.gathered.layers;
        let share = |layer: &Layer| layer.visual[0].value();
        let ends = layers.first().zip(layers.last());
        let ends = ends.and_then(|(first, last)| share(first).zip(share(last)));
        let allocation = ends.map(|(first, last)| {
            format!(
                "Visual tokens get {} of the attention in layer 1 and {} in layer {} (step 1). \
                LLaDA-FastV's analysis of LLaDA-V finds 41.9 % in layer 3 and 53.0 % in layer 30 of 32.",
                percentage(first, 1),
                percentage(last, 1),
                layers.len(),
            )
        });
        let above = (1..).zip(layers);
        let above = above.filter(|(_, layer)| layer.efficiency().is_some_and(|ratio| ratio > 1.0));
        let above: Vec<String> = above
            .map(|(index, _): (usize, _)| index.to_string())
            .collect();
        let efficiency = format!(
            "One visual token gets more than one other row in {}. LLaDA-FastV calls visual tokens of high \
            allocation and low efficiency.",
            if above.is_empty() {
                "no layer".to_owned()
            } else {
                format!("layer {} of {}", above.join(", "), layers.len())
            },
        );
        let compared: Vec<(usize, &Likeness)> = self.compared().collect();
        // Few answers last long; the statement ends where a tenth of them is left.
        let most = compared.first().map_or(0, |(_, it)| it.images());
        let last = compared
            .iter()
            .take_while(|(_, it)| it.images() * 10 >= most)
            .last();
        let stability = compared.first().zip(last).map(|((first, early), (last, late))| {
            let value = |likeness: &Likeness| likeness.spearman.value().unwrap_or_default();
            format!(
                "Scores of step {first} correlate with those of step 1 by {:.3}, those of step {last} by {:.3}. \
                RedVTP prunes once after step 1 because its paper finds them consistent.",
                value(early),
                value(late),
            )
        });
        [allocation, Some(efficiency), stability]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl Layer {
    /// What one visual token gets for each part that one other row gets.
    fn efficiency(&self) -> Option<f64> {
        Some(self.per_visual_token.value()? / self.per_other_row.value()?)
    }
}

impl Likeness {
    /// Images that were compared at this step.
    fn images(&self) -> usize {
        self.overlap
            .first()
            .map_or(self.spearman.count, |mean| mean.count)
    }
}

/// A share at a layer or a step, in percent.
fn point(group: &str, x: u32, share: Option<f64>) -> Option<Point> {
    Some(Point {
        label: group.to_owned(),
        group: group.to_owned(),
        x: f64::from(x),
        y: 100.0 * share?,
    })
}
