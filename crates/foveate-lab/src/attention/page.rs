//! A finished measurement as tables, JSON, charts and a page of Markdown.

use std::fmt::Write as _;
use std::path::Path;

use comfy_table::CellAlignment;
use serde_json::{Value, json};

use super::gather::{Gathered, Likeness, Mean};
use crate::chart::{Chart, Joined, Point};
use crate::eval::{Questions, markdown_table};
use crate::table::{grouped, listing};

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) model: &'a str,
    pub(super) fingerprint: &'a str,
    pub(super) questions: &'a Questions,
    pub(super) keeps: &'a [f64],
    pub(super) gathered: &'a Gathered,
}

/// Titles and lines.
type Lines = (Vec<String>, Vec<Vec<String>>);

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} on {}, {}\n\n",
            self.model,
            self.questions.name,
            self.size()
        );
        for (titles, lines) in [self.layers(), self.steps()] {
            let mut table = listing();
            table.set_header(titles);
            for column in table.column_iter_mut() {
                column.set_cell_alignment(CellAlignment::Right);
            }
            for line in lines {
                table.add_row(line);
            }
            text.push_str(&table.to_string());
            text.push_str("\n\n");
        }
        let lines: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
        lines.join("\n") + "\n"
    }

    pub(super) fn json(&self) -> Value {
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
        json!({
            "model": self.model,
            "model_fingerprint": self.fingerprint,
            "questions": self.questions.name,
            "visual_tokens": self.gathered.visual_tokens.value(),
            "rows": self.gathered.rows.value(),
            "layers": layers.collect::<Vec<_>>(),
            "steps": steps.collect::<Vec<_>>(),
        })
    }

    /// The page; `charts` are pictures of the layers and of the steps.
    pub(super) fn markdown(&self, command: &str, charts: [Option<&Path>; 2]) -> String {
        let picture = |title: &str, chart: Option<&Path>| {
            let name = chart.and_then(Path::file_name);
            let name = name.map(|name| name.to_string_lossy().into_owned());
            name.map_or_else(String::new, |name| format!("![{title}]({name})\n\n"))
        };
        let mut text = format!(
            "# What answers look at\n\nWritten by `foveate attention`; repeat it instead of editing it:\n\n\
            ```console\n$ {command}\n```\n\nModel {} (fingerprint `{}`), questions {}: {}. The answers are \
            unpruned; attention is read where pruning strategies read it.\n\n",
            self.model,
            self.fingerprint,
            self.questions.name,
            self.size(),
        );
        let (titles, lines) = self.layers();
        let _ = write!(
            text,
            "## Layer by layer\n\nAttention of the response rows, averaged over rows, heads and questions. Its \
            *allocation* is the share that falls on all visual tokens together; the rest falls on the prompt's text \
            and on the response itself. Its *efficiency* is what one visual token, or one other row, gets of it \
            (definitions: FastV, arXiv 2403.06764; there the other rows are split further).\n\n{}{}",
            markdown_table(&titles, 0, &lines),
            picture("Attention on visual tokens by layer", charts[0]),
        );
        let (titles, lines) = self.steps();
        let _ = write!(
            text,
            "## Step by step\n\nRedVTP scores each visual token once, after step 1, by the attention of the rows that \
            are still masked. The same scores after each later step of the same unpruned answer, against those of \
            step 1: Spearman's rank correlation, and the share of the tokens kept after step 1 that this step would \
            keep too (by chance, the keep ratio). Answers that have ended, and steps that leave no row masked, have \
            no scores.\n\n{}{}",
            markdown_table(&titles, 0, &lines),
            picture("Scores of step 1 against later steps", charts[1]),
        );
        text + "## What it shows\n\n" + &self.findings()
    }

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

    fn layers(&self) -> Lines {
        let titles = [
            "layer",
            "on visual tokens, step 1",
            "later steps",
            "per visual token, step 1",
            "per other row",
            "visual token : other row",
        ];
        let line = |(index, layer): (usize, &super::gather::Layer)| {
            let (visual, other) = (layer.per_visual_token.value(), layer.per_other_row.value());
            let ratio = visual.zip(other).map(|(visual, other)| visual / other);
            vec![
                (index + 1).to_string(),
                percent(layer.visual[0].value(), 1),
                percent(layer.visual[1].value(), 1),
                percent(visual, 3),
                percent(other, 3),
                ratio.map_or_else(unsaid, |ratio| format!("{ratio:.2}")),
            ]
        };
        let lines = self.gathered.layers.iter().enumerate().map(line);
        (titles.map(str::to_owned).to_vec(), lines.collect())
    }

    fn steps(&self) -> Lines {
        let mut titles: Vec<String> = ["step", "images", "Spearman"].map(str::to_owned).to_vec();
        titles.extend(self.keeps.iter().map(|keep| format!("also kept at {keep}")));
        let line = |(step, likeness): (usize, &Likeness)| {
            let correlation = likeness.spearman.value();
            let mut line = vec![
                step.to_string(),
                grouped(likeness.images() as u64),
                correlation.map_or_else(unsaid, |value| format!("{value:.3}")),
            ];
            line.extend(likeness.overlap.iter().map(|mean| percent(mean.value(), 1)));
            line
        };
        let seen = (2..)
            .zip(&self.gathered.steps)
            .filter(|(_, likeness)| likeness.images() > 0);
        (titles, seen.map(line).collect())
    }

    /// Allocation by layer, a line for step 1 and one for the later steps.
    pub(super) fn layer_chart(&self) -> Chart {
        let layers = || self.gathered.layers.iter().enumerate();
        let line = |name: &'static str, which: usize| {
            layers().filter_map(move |(index, layer)| {
                let share = layer.visual[which].value()?;
                Some(point(name, (index + 1) as f64, 100.0 * share))
            })
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
    pub(super) fn step_chart(&self) -> Chart {
        let mut points = Vec::new();
        let steps = || (2_u32..).zip(&self.gathered.steps);
        let mut add = |name: &str, step: u32, value: Option<f64>| {
            points.extend(value.map(|value| point(name, f64::from(step), 100.0 * value)));
        };
        for (step, likeness) in steps() {
            add("Spearman", step, likeness.spearman.value());
        }
        for (index, keep) in self.keeps.iter().enumerate() {
            for (step, likeness) in steps() {
                add(
                    &format!("also kept at {keep}"),
                    step,
                    likeness.overlap[index].value(),
                );
            }
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
    fn findings(&self) -> String {
        let mut text = String::new();
        let layers = &self.gathered.layers;
        let share = |layer: &super::gather::Layer| layer.visual[0].value();
        let ends = layers
            .first()
            .and_then(share)
            .zip(layers.last().and_then(share));
        if let Some((first, last)) = ends {
            let _ = writeln!(
                text,
                "- Visual tokens get {:.1} % of the attention in layer 1 and {:.1} % in layer {} (step 1). \
                LLaDA-FastV's analysis of LLaDA-V finds 41.9 % in layer 3 and 53.0 % in layer 30 of 32.",
                100.0 * first,
                100.0 * last,
                layers.len(),
            );
        }
        let ratio = |layer: &super::gather::Layer| {
            let (visual, other) = (
                layer.per_visual_token.value()?,
                layer.per_other_row.value()?,
            );
            Some(visual / other)
        };
        let above: Vec<String> = (1..)
            .zip(layers)
            .filter(|(_, layer)| ratio(layer).is_some_and(|ratio| ratio > 1.0))
            .map(|(index, _): (usize, _)| index.to_string())
            .collect();
        let _ = writeln!(
            text,
            "- One visual token gets more than one other row in {}. LLaDA-FastV calls visual tokens of high \
            allocation and low efficiency.",
            if above.is_empty() {
                "no layer".to_owned()
            } else {
                format!("layer {} of {}", above.join(", "), layers.len())
            },
        );
        let steps = (2..).zip(&self.gathered.steps);
        let seen: Vec<(usize, &Likeness)> = steps.filter(|(_, it)| it.images() > 0).collect();
        // Few answers last long; the statement ends where a tenth of them is left.
        let most = seen.first().map_or(0, |(_, it)| it.images());
        let seen: Vec<_> = seen
            .into_iter()
            .take_while(|(_, it)| it.images() * 10 >= most)
            .collect();
        if let (Some((first, early)), Some((last, late))) = (seen.first(), seen.last()) {
            let value = |likeness: &Likeness| likeness.spearman.value().unwrap_or_default();
            let _ = writeln!(
                text,
                "- Scores of step {first} correlate with those of step 1 by {:.3}, those of step {last} by {:.3}. \
                RedVTP prunes once after step 1 because its paper finds them consistent.",
                value(early),
                value(late),
            );
        }
        text
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

fn point(group: &str, x: f64, y: f64) -> Point {
    Point {
        label: group.to_owned(),
        group: group.to_owned(),
        x,
        y,
    }
}

fn percent(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(unsaid, |value| format!("{:.decimals$} %", 100.0 * value))
}

fn unsaid() -> String {
    "–".to_owned()
}
