//! A report of an evaluation in Markdown: the tables, how sure they are, and what they show.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::page::{BY_MASKS, Page, Row, costs, pruning, range, share, signed};
use super::summary::Estimate;
use crate::sweep::{UNSAID, cells};

/// The whole page; `chart` is a picture of it that lies beside it.
pub(super) fn report(page: &Page<'_>, command: &str, chart: Option<&Path>) -> String {
    let mut text = format!(
        "# Accuracy under pruning\n\nWritten by `foveate eval`; repeat it instead of editing it:\n\n\
         ```console\n$ {command}\n```\n\n\
         Model {} (fingerprint `{}`) with --dtype {} on --backend {}, questions {}: {} of them about {} pictures. \
         Scores go from 0 to 1. Intervals \
         in brackets are 95 % bootstrap intervals (2,000 draws of the pictures, each with all its questions). \
         Differences compare the same questions. Times are per question, denoising alone, a share of the \
         questions that are denoised together{}.\n\n",
        page.model,
        page.model_fingerprint,
        page.machine.dtype.name(),
        page.machine.backend.name(),
        page.questions.name,
        page.questions.list.len(),
        page.questions.by_pictures().len(),
        if cfg!(debug_assertions) {
            "; this was a development build, so they are a hint and no measurement"
        } else {
            ""
        },
    );
    text += &unpruned(page);
    if page.sweeps.is_empty() {
        return text;
    }
    text += &methods(page);
    text += &by_masks(page);
    text += &overall(page);
    if let Some(name) = chart.and_then(Path::file_name) {
        let _ = write!(text, "![Accuracy]({})\n\n", name.to_string_lossy());
    }
    text += &families(page);
    text += &against_random(page);
    text += &findings(page);
    text
}

fn unpruned(page: &Page<'_>) -> String {
    let mut text = String::from("## Unpruned\n\n");
    let lines = page.rows.first().map(|row| {
        let named = row.summaries.iter().skip(1).zip(page.questions.families());
        let lines = named.map(|(summary, family)| {
            vec![
                family.to_owned(),
                page.metric(family),
                summary.questions.to_string(),
                share(summary.score.mean),
                range(&summary.score),
            ]
        });
        let mut lines: Vec<Vec<String>> = lines.collect();
        if let Some(all) = row.summaries.first() {
            let score = [share(all.score.mean), range(&all.score)];
            let mut line = vec!["overall".into(), String::new(), all.questions.to_string()];
            line.extend(score);
            lines.push(line);
        }
        lines
    });
    let titles = ["family", "metric", "questions", "score", "95 %"];
    text += &table(&titles.map(str::to_owned), 2, &lines.unwrap_or_default());
    text
}

/// Where the rows differ in more than their names.
fn methods(page: &Page<'_>) -> String {
    let mut lines: Vec<Vec<String>> = Vec::new();
    for (row, _) in page.measured() {
        let settings = pruning(row);
        let part = |name: &str| match settings.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => UNSAID.to_owned(),
            Some(other) => other.to_string(),
        };
        let line = ["method", "at", "queries", "positions"].map(part).to_vec();
        if settings.is_object() && !lines.contains(&line) {
            lines.push(line);
        }
    }
    if lines.is_empty() {
        return String::new();
    }
    let titles = [
        "method",
        "tokens leave at",
        "attention of",
        "positions of the rest",
    ];
    let about = "Before the decoder, after a step, or after a layer of the first step (`fastv`: of every pass). \
        Compact positions are renumbered without gaps, original ones are as they were.";
    let heading = format!("## What was compared\n\n{about}\n\n");
    heading + &table(&titles.map(str::to_owned), 4, &lines)
}

fn overall(page: &Page<'_>) -> String {
    let mut titles: Vec<String> = page.sweeps.iter().map(|sweep| sweep.flag.clone()).collect();
    let numbers = [
        "score",
        "95 %",
        "to the baseline",
        "95 %",
        "visual tokens kept",
    ];
    titles.extend(numbers.map(str::to_owned));
    titles.extend(["forwards", "ms", "times faster"].map(str::to_owned));
    let lines = page.measured().map(|(row, summary)| {
        let mut line = cells(&row.setup.combination, page.sweeps);
        line.extend([share(summary.score.mean), range(&summary.score)]);
        let difference = summary
            .difference
            .filter(|_| !row.setup.combination.is_empty());
        line.extend(match &difference {
            Some(difference) => [signed(difference.mean), range(difference)],
            None => [String::new(), String::new()],
        });
        line.extend(costs(summary));
        line.push(format!("{:.2}", page.times_faster(summary)));
        line
    });
    let lines: Vec<Vec<String>> = lines.collect();
    let baseline = "The first row is the baseline: no pruning, no cache, fixed schedule. \
        Keep 1 is the baseline too, bit for bit.";
    let heading = format!("## All questions\n\n{baseline} {}.\n\n", page.saving());
    heading + &table(&titles, page.sweeps.len(), &lines)
}

/// The headline: where the answer is still to be written when the tokens leave, and where it is not.
fn by_masks(page: &Page<'_>) -> String {
    let mut text = String::from(
        "## Answers by what is left to write\n\nAn unpruned answer that is still masked by half or more of its \
         tokens after step 1 can lose something to pruning there; of a short one, most is written before the \
         tokens leave. ",
    );
    if !page.splits() {
        let half_masked = page.rows.first().and_then(|row| row.by_masks.first());
        let none = half_masked.is_some_and(|part| part.questions == 0);
        text += if none {
            "Here every answer is a short one.\n\n"
        } else {
            "Here every answer is of the first kind, so all numbers below are about those.\n\n"
        };
        return text;
    }
    text += "\n\n";
    let mut titles: Vec<String> = page.sweeps.iter().map(|sweep| sweep.flag.clone()).collect();
    for (index, (name, _)) in BY_MASKS.iter().enumerate() {
        let count = page.rows.first().and_then(|row| row.by_masks.get(index));
        let count = count.map_or(0, |summary| summary.questions);
        titles.extend([
            format!("{name} ({count})"),
            "95 %".into(),
            "to the baseline".into(),
        ]);
    }
    let lines = page.measured().map(|(row, _)| {
        let mut line = cells(&row.setup.combination, page.sweeps);
        for summary in &row.by_masks {
            let is_pruned = !row.setup.combination.is_empty();
            let difference = summary.difference.filter(|_| is_pruned);
            let difference = difference.map_or_else(String::new, |it| signed(it.mean));
            line.extend([share(summary.score.mean), range(&summary.score), difference]);
        }
        line
    });
    let lines: Vec<Vec<String>> = lines.collect();
    text += &table(&titles, page.sweeps.len(), &lines);
    text
}

fn families(page: &Page<'_>) -> String {
    let mut titles: Vec<String> = page.sweeps.iter().map(|sweep| sweep.flag.clone()).collect();
    titles.extend(page.questions.families().into_iter().map(str::to_owned));
    let lines = page.measured().map(|(row, _)| {
        let mut line = cells(&row.setup.combination, page.sweeps);
        let families = row.summaries.iter().skip(1);
        line.extend(families.map(|summary| share(summary.score.mean)));
        line
    });
    let lines: Vec<Vec<String>> = lines.collect();
    "## By family\n\n".to_owned() + &table(&titles, page.sweeps.len(), &lines)
}

/// Each row that prunes with the row that differs in nothing but pruning at random.
fn pairs<'p>(page: &'p Page<'_>) -> Vec<(&'p Row<'p>, Estimate)> {
    let swap = |row: &Row<'_>| {
        let combination = row.setup.combination.iter();
        let swap = |(flag, value): &(String, String)| {
            let value = if flag == "prune" { "random" } else { value };
            (flag.clone(), value.to_owned())
        };
        combination.map(swap).collect::<Vec<_>>()
    };
    let all: Vec<usize> = (0..page.questions.list.len()).collect();
    let compare = |row: &'p Row<'p>| {
        let prunes = row.setup.options.prune.as_ref()?;
        let wanted = swap(row);
        if prunes.keep >= 1.0 || wanted == row.setup.combination {
            return None;
        }
        let random = page
            .rows
            .iter()
            .find(|other| other.setup.combination == wanted)?;
        let (scored, random) = (row.scored.as_ref()?, random.scored.as_ref()?);
        Some((row, scored.difference(page.questions, &all, random)))
    };
    page.rows.iter().filter_map(compare).collect()
}

fn against_random(page: &Page<'_>) -> String {
    let pairs = pairs(page);
    if pairs.is_empty() {
        return String::new();
    }
    let mut titles: Vec<String> = page.sweeps.iter().map(|sweep| sweep.flag.clone()).collect();
    titles.extend(["better than random by", "95 %"].map(str::to_owned));
    let lines = pairs.iter().map(|(row, gain)| {
        let mut line = cells(&row.setup.combination, page.sweeps);
        line.extend([signed(gain.mean), range(gain)]);
        line
    });
    let lines: Vec<Vec<String>> = lines.collect();
    let heading = "## Against random\n\nThe same share of tokens, chosen at random.\n\n".to_owned();
    heading + &table(&titles, page.sweeps.len(), &lines)
}

/// For every sweep over layers, the best and the worst one.
fn layers(page: &Page<'_>) -> Vec<String> {
    let compare = |(name, mut layers): (String, Vec<(usize, f64)>)| {
        layers.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (best, worst) = layers.first().zip(layers.last())?;
        let say = |(layer, score): &(usize, f64)| format!("{layer} ({score:.3})");
        Some(format!("{name}: {}, worst {}", say(best), say(worst)))
    };
    page.by_layer().into_iter().filter_map(compare).collect()
}

/// Sentences that the numbers allow, and no others.
fn findings(page: &Page<'_>) -> String {
    let mut text = String::from("## What it shows\n\n");
    let mut line = |intro: &str, rows: &[String]| {
        if !rows.is_empty() {
            let _ = writeln!(text, "- {intro}: {}.", rows.join("; "));
        }
    };
    let pruned = || {
        let prunes = |row: &Row<'_>| {
            row.setup
                .options
                .prune
                .as_ref()
                .is_some_and(|p| p.keep < 1.0)
        };
        page.measured().filter(move |(row, _)| prunes(row))
    };
    let name = |row: &Row<'_>| {
        let values = row.setup.combination.iter();
        let values: Vec<&str> = values.map(|(_, value)| value.as_str()).collect();
        values.join(" ")
    };
    let kept = |part: &dyn Fn(&Row<'_>) -> Option<f64>, low: f64, high: f64| -> Vec<String> {
        let whole = page.measured().next().and_then(|(row, _)| part(row));
        let whole = whole.unwrap_or_default().max(f64::MIN_POSITIVE);
        let share = |row: &Row<'_>| part(row).map(|score| score / whole);
        let said = pruned().filter_map(|(row, _)| {
            let share = share(row).filter(|share| (low..high).contains(share))?;
            Some(format!("{} ({:.1} %)", name(row), 100.0 * share))
        });
        said.collect()
    };
    let half_masked = |row: &Row<'_>| {
        let part = row.by_masks.first().filter(|_| page.splits());
        part.map(|part| part.score.mean)
    };
    line(
        "Of answers at least half masked after step 1, at least 98 % of the unpruned score is left with",
        &kept(&half_masked, 0.98, f64::INFINITY),
    );
    line(
        "Between 93 and 98 % of theirs",
        &kept(&half_masked, 0.93, 0.98),
    );
    let all = |row: &Row<'_>| row.summaries.first().map(|part| part.score.mean);
    line(
        "Of all, at least 98 % of the unpruned score is left with",
        &kept(&all, 0.98, f64::INFINITY),
    );
    line("Between 93 and 98 %", &kept(&all, 0.93, 0.98));
    line("Less than 93 %", &kept(&all, f64::NEG_INFINITY, 0.93));
    line("Best layer to prune at", &layers(page));
    let pairs = pairs(page);
    let compared = |holds: fn(&Estimate) -> bool| -> Vec<String> {
        let those = pairs.iter().filter(|(_, gain)| holds(gain));
        those.map(|(row, _)| name(row)).collect()
    };
    line(
        "Better than random, the interval above 0",
        &compared(|gain| gain.low > 0.0),
    );
    line(
        "Worse than random, the interval below 0",
        &compared(|gain| gain.high < 0.0),
    );
    let unclear = compared(|gain| gain.low <= 0.0 && gain.high >= 0.0);
    line("No difference from random shown", &unclear);
    text
}

/// A table whose first `names` columns are text, the others numbers.
pub(crate) fn table(titles: &[String], names: usize, lines: &[Vec<String>]) -> String {
    let rule = |index: usize| if index < names { "---" } else { "--:" };
    let rules: Vec<&str> = (0..titles.len()).map(rule).collect();
    let joined = |line: &[String]| {
        let cells: Vec<String> = line.iter().map(|text| cell(text)).collect();
        cells.join(" | ")
    };
    let mut text = format!("| {} |\n|{}|\n", joined(titles), rules.join("|"));
    for line in lines {
        let _ = writeln!(text, "| {} |", joined(line));
    }
    text.push('\n');
    text
}

/// A text that stays in its cell: bars are escaped, and line breaks and other blanks are spaces.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('\\', "\\\\").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_numbers_to_the_right() {
        let titles = ["a".to_owned(), "b".to_owned()];
        let text = table(&titles, 1, &[vec!["x".into(), "1".into()]]);
        assert_eq!(text, "| a | b |\n|---|--:|\n| x | 1 |\n\n");
    }

    #[test]
    fn names_stay_in_their_cells() {
        let titles = ["a|b".to_owned(), "c\r\nd".to_owned()];
        let text = table(&titles, 1, &[vec!["x\\|\ny".into(), "  1 ".into()]]);
        let expected = "| a\\|b | c d |\n|---|--:|\n| x\\\\\\| y | 1 |\n\n";
        assert_eq!(text, expected);
    }
}
