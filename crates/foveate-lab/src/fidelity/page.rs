//! A finished comparison as tables, as JSON and as a page of Markdown.

use anyhow::Result;
use serde_json::{Value, json};

use super::follow::{Agreement, Followed};
use super::linears::{Linear, ROWS};
use crate::args::Storage;
use crate::eval::Questions;
use crate::report::{Column, Finished, Report, Table, bytes, count, integer, percent, percentage};

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

impl Finished for Page<'_> {
    fn json(&self) -> Result<Vec<Value>> {
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
        Ok(vec![json!({
            "model": self.model,
            "model_fingerprint": self.fingerprint,
            "questions": self.questions.name,
            "followed_dtype": self.exact,
            "dtypes": rows.collect::<Vec<_>>(),
            "linears": linears.collect::<Vec<_>>(),
        })])
    }

    fn printed(&self) -> Report {
        let (exact, name) = (self.exact.name(), &self.questions.name);
        let size = format!(
            "{} of them about {} pictures",
            self.questions.list.len(),
            self.pictures()
        );
        Report::new("fidelity", "Fidelity of fewer bits")
            .printed(format!(
                "{} on {name}, {} questions about {} pictures, followed at every step of the answers at {exact}",
                self.model,
                self.questions.list.len(),
                self.pictures(),
            ))
            .about(format!(
                "Model {} (fingerprint `{}`), questions {name}: {size}.",
                self.model, self.fingerprint,
            ))
            .heading("Tokens and kept visual tokens")
            .about(format!(
                "The answers are those at {exact}. At each of their denoising steps, every other dtype gets the same \
                canvas and the same question, encodes the picture itself, and its likeliest token is compared with \
                each token that {exact} commits in that step; \"of the answer\" leaves out what is committed behind \
                the answer's end. \"Kept\" is the share of the visual tokens kept by RedVTP after step 1 at {exact} \
                that are also kept with the other dtype, over all questions."
            ))
            .table(self.followed())
            .heading("Linears on Gaussian numbers")
            .about(format!(
                "Root of the mean square error of the outputs, relative to the outputs at f32: Gaussian weights of \
                the shapes of one decoder layer, {ROWS} rows of Gaussian inputs."
            ))
            .table(self.lost())
            .heading("Goals")
            .findings(self.goals())
            .heading("What is stored how")
            .about(
                "`q8` and `q4` hold the linears of the decoder's layers (query, key, value, attention output, gate, \
                up, down); embedding and head are `q8` with both. Norms, tower and projector stay as the model's \
                folder has them. Rows are cut into groups of 32 (`q8`) and 128 (`q4`) inputs and the last group is \
                filled up with zeros, so every width can be held and no linear of the layers stays unquantized. \
                Where the folder has bf16, `bf16` holds the same numbers as f32.",
            )
    }
}

/// A dtype, the bytes of its weights, and what was compared if it is not the exact one.
type Compared<'a> = (Storage, usize, Option<&'a Followed>);
type Of<'a> = Column<'a, Compared<'a>>;

impl Page<'_> {
    fn pictures(&self) -> usize {
        self.rows.first().map_or(0, |row| row.followed.pictures)
    }

    fn followed(&self) -> Table {
        let mut columns = vec![
            Of::text("dtype", |(dtype, ..)| dtype.name().to_owned()),
            Of::number("weights", |(_, weights, _)| bytes(*weights)),
        ];
        let mut agreement = |title, part: fn(&Followed) -> Agreement| {
            let of = move |row: &Compared<'_>| count(row.2.map(|it| part(it).of));
            let same = move |row: &Compared<'_>| percent(row.2.map(|it| part(it).share()), 2);
            columns.push(Of::number(title, of).or_empty());
            columns.push(Of::number("same token", same).or_empty());
        };
        agreement("committed tokens", |followed| followed.tokens);
        agreement("of the answer", |followed| followed.answer);
        columns.extend(self.keeps.iter().enumerate().map(|(index, keep)| {
            let share = move |it: &Followed| it.kept[index].share();
            let same = move |row: &Compared<'_>| percent(row.2.map(share), 2);
            Of::number(format!("kept at {keep}"), same).or_empty()
        }));
        let exact = (self.exact, self.exact_weights, None);
        let rows = self.rows.iter();
        let rows = rows.map(|row| (row.dtype, row.weights, Some(&row.followed)));
        Table::new(columns, std::iter::once(exact).chain(rows))
    }

    fn lost(&self) -> Table {
        type Of<'a> = Column<'a, &'a Linear>;
        let mut columns = vec![
            Of::text("linear", |linear| linear.name.to_owned()),
            Of::number("inputs", |linear| integer(linear.inputs)),
            Of::number("outputs", |linear| integer(linear.outputs)),
        ];
        columns.extend(self.rows.iter().enumerate().map(|(index, row)| {
            let error = move |linear: &&Linear| Some(format!("{:.1e}", linear.errors[index]));
            Of::number(row.dtype.name(), error)
        }));
        Table::new(columns, self.linears)
    }

    /// A sentence for every goal of a dtype that was measured.
    fn goals(&self) -> Vec<String> {
        let mut goals = Vec::new();
        for (column, row) in self.rows.iter().enumerate() {
            let Some((dtype, tokens, kept, linear)) = GOALS.iter().find(|goal| goal.0 == row.dtype)
            else {
                continue;
            };
            let mut goal = |what: String, got: String, met: bool| {
                let met = if met { "met" } else { "not met" };
                goals.push(format!("{}, {what}: {got} ({met}).", dtype.name()));
            };
            let same = row.followed.tokens.share();
            let least = percentage(*tokens, 1);
            goal(
                format!("same token ≥ {least}"),
                percentage(same, 2),
                same >= *tokens,
            );
            if let Some(kept) = kept {
                let shares = row.followed.kept.iter().map(|agreement| agreement.share());
                let got = shares.fold(1.0, f64::min);
                let least = percentage(*kept, 0);
                let what = format!("kept visual tokens ≥ {least} at every ratio");
                goal(what, percentage(got, 2), got >= *kept);
            }
            let errors = self.linears.iter().map(|linear| linear.errors[column]);
            let worst = errors.fold(0.0, f64::max);
            let what = format!("error of every linear ≤ {linear:.0e}");
            goal(what, format!("{worst:.1e}"), worst <= *linear);
        }
        goals
    }
}
