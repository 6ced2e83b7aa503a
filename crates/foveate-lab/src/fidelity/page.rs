//! A finished comparison as tables, as JSON and as a page of Markdown.

use std::fmt::Write as _;

use comfy_table::CellAlignment;
use serde_json::{Value, json};

use super::follow::{Agreement, Followed};
use super::linears::Linear;
use crate::args::Storage;
use crate::eval::{Questions, markdown_table};
use crate::table::{bytes, grouped, listing};

/// Everything that is printed.
pub(super) struct Page<'a> {
    pub(super) model: &'a str,
    pub(super) fingerprint: &'a str,
    pub(super) questions: &'a Questions,
    /// Storage of the weights whose answers are followed.
    pub(super) exact: Storage,
    pub(super) exact_weights: usize,
    pub(super) keeps: &'a [f64],
    pub(super) rows: &'a [Row],
    pub(super) linears: &'a [Linear],
}

/// One dtype against the exact one.
pub(super) struct Row {
    pub(super) dtype: Storage,
    pub(super) followed: Followed,
    /// Bytes of the packed weights.
    pub(super) weights: usize,
}

/// A dtype and the least that is asked of it: agreement on tokens and on kept visual tokens, and the
/// largest error of a linear.
const GOALS: [(Storage, f64, Option<f64>, f64); 2] = [
    (Storage::Q8, 0.995, Some(0.98), 6e-3),
    (Storage::Q4, 0.97, None, 7e-2),
];

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{} on {}, {} questions about {} pictures, followed at every step of the answers at {}\n\n",
            self.model,
            self.questions.name,
            self.questions.list.len(),
            self.pictures(),
            self.exact.name().to_owned(),
        );
        for (titles, lines) in [self.followed(), self.lost()] {
            let mut table = listing();
            table.set_header(titles);
            for column in table.column_iter_mut().skip(1) {
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
        let rows = self.rows.iter().map(|row| {
            let followed = &row.followed;
            let kept = self.keeps.iter().zip(&followed.kept);
            let kept = kept.map(|(keep, agreement)| {
                json!({"keep": keep, "overlap": agreement.share(), "tokens": agreement})
            });
            json!({
                "dtype": row.dtype,
                "weight_bytes": row.weights,
                "committed": followed.tokens,
                "of_the_answer": followed.answer,
                "kept": kept.collect::<Vec<_>>(),
                "choices": followed.choices,
                "pictures": followed.pictures,
            })
        });
        let linears = self.linears.iter().map(|linear| {
            let errors = self.rows.iter().zip(&linear.errors);
            let errors = errors.map(|(row, error)| (row.dtype.name().to_owned(), json!(error)));
            json!({
                "linear": linear.name,
                "inputs": linear.inputs,
                "outputs": linear.outputs,
                "relative_error": Value::Object(errors.collect()),
            })
        });
        json!({
            "model": self.model,
            "model_fingerprint": self.fingerprint,
            "questions": self.questions.name,
            "followed_dtype": self.exact,
            "dtypes": rows.collect::<Vec<_>>(),
            "linears": linears.collect::<Vec<_>>(),
        })
    }

    pub(super) fn markdown(&self, command: &str) -> String {
        let (titles, lines) = self.followed();
        let followed = markdown_table(&titles, 1, &lines);
        let (titles, lines) = self.lost();
        let lost = markdown_table(&titles, 1, &lines);
        format!(
            "# Fidelity of fewer bits\n\n\
            Written by `foveate fidelity`; repeat it instead of editing it:\n\n\
            ```console\n$ {command}\n```\n\n\
            Model {} (fingerprint `{}`), questions {}: {} of them about {} pictures.\n\n\
            ## Tokens and kept visual tokens\n\n\
            The answers are those at {exact}. At each of their denoising steps, every other dtype gets the same \
            canvas and the same question, encodes the picture itself, and its likeliest token is compared with each \
            token that {exact} commits in that step; \"of the answer\" leaves out what is committed behind the \
            answer's end. \"Kept\" is the share of the visual tokens kept by RedVTP after step 1 at {exact} that \
            are also kept with the other dtype, over all questions.\n\n{followed}\
            ## Linears on Gaussian numbers\n\n\
            Root of the mean square error of the outputs, relative to the outputs at f32: Gaussian weights of the \
            shapes of one decoder layer, {} rows of Gaussian inputs.\n\n{lost}\
            ## Goals\n\n{}\n\
            ## What is stored how\n\n\
            `q8` and `q4` hold the linears of the decoder's layers (query, key, value, attention output, gate, up, \
            down); embedding and head are `q8` with both. Norms, tower and projector stay as the model's folder has \
            them. Rows are cut into \
            groups of 32 (`q8`) and 128 (`q4`) inputs and the last group is filled up with zeros, so every width can \
            be held and no linear of the layers stays unquantized. Where the folder has bf16, `bf16` holds the same \
            numbers as f32.\n",
            self.model,
            self.fingerprint,
            self.questions.name,
            self.questions.list.len(),
            self.pictures(),
            super::linears::ROWS,
            self.goals(),
            exact = self.exact.name().to_owned(),
        )
    }

    fn pictures(&self) -> usize {
        self.rows.first().map_or(0, |row| row.followed.pictures)
    }

    fn followed(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let titles = [
            "dtype",
            "weights",
            "committed tokens",
            "same token",
            "of the answer",
            "same token",
        ];
        let mut titles: Vec<String> = titles.map(str::to_owned).to_vec();
        titles.extend(self.keeps.iter().map(|keep| format!("kept at {keep}")));
        let mut lines = Vec::new();
        let mut first = vec![
            self.exact.name().to_owned(),
            bytes(self.exact_weights as u64),
        ];
        first.resize(titles.len(), String::new());
        lines.push(first);
        for Row {
            dtype,
            followed,
            weights,
        } in self.rows
        {
            let count = |agreement: Agreement| grouped(agreement.of as u64);
            let mut line = vec![dtype.name().to_owned(), bytes(*weights as u64)];
            for agreement in [followed.tokens, followed.answer] {
                line.extend([count(agreement), percent(agreement)]);
            }
            line.extend(followed.kept.iter().copied().map(percent));
            lines.push(line);
        }
        (titles, lines)
    }

    fn lost(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let mut titles = vec![
            "linear".to_owned(),
            "inputs".to_owned(),
            "outputs".to_owned(),
        ];
        titles.extend(self.rows.iter().map(|row| row.dtype.name().to_owned()));
        let line = |linear: &Linear| {
            let mut line = vec![linear.name.to_owned()];
            line.extend([linear.inputs, linear.outputs].map(|size| size.to_string()));
            line.extend(linear.errors.iter().map(|error| format!("{error:.1e}")));
            line
        };
        (titles, self.linears.iter().map(line).collect())
    }

    /// A line for every goal of a dtype that was measured.
    fn goals(&self) -> String {
        let mut text = String::new();
        for (column, row) in self.rows.iter().enumerate() {
            let Some((dtype, tokens, kept, linear)) = GOALS.iter().find(|goal| goal.0 == row.dtype)
            else {
                continue;
            };
            let followed = &row.followed;
            let worst = self.linears.iter().map(|linear| linear.errors[column]);
            let worst = worst.fold(0.0, f64::max);
            let met = |met: bool| if met { "met" } else { "not met" };
            let dtype = dtype.name();
            let _ = writeln!(
                text,
                "- {dtype}, same token ≥ {:.1} %: {} ({}).",
                100.0 * tokens,
                percent(followed.tokens),
                met(followed.tokens.share() >= *tokens)
            );
            if let Some(kept) = kept {
                let least = followed.kept.iter().copied();
                let least = least.min_by(|a, b| a.share().total_cmp(&b.share()));
                let least = least.unwrap_or_default();
                let _ = writeln!(
                    text,
                    "- {dtype}, kept visual tokens ≥ {:.0} % at every ratio: {} ({}).",
                    100.0 * kept,
                    percent(least),
                    met(least.share() >= *kept)
                );
            }
            let _ = writeln!(
                text,
                "- {dtype}, error of every linear ≤ {linear:.0e}: {worst:.1e} ({}).",
                met(worst <= *linear)
            );
        }
        text
    }
}

/// `99.74 %`.
fn percent(agreement: Agreement) -> String {
    format!("{:.2} %", 100.0 * agreement.share())
}
