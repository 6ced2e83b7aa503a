//! The text of an answer template: literal text and slots.

use crate::error::{Error, Result};

/// A part of a template as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Literal text, braces no longer doubled.
    Text(String),
    /// `{slot:8}`: this many tokens.
    Slot(usize),
    /// `{choice:A|B}`, or `{choice}` with options given beside the template.
    Choice(Vec<String>),
}

/// An error of the field `template`.
pub(super) fn refused(reason: impl Into<String>) -> Error {
    Error::request("template", reason)
}

/// Splits `text` at its slots, of which there is one at least; `choices` are the options of each
/// `{choice}`.
pub(super) fn parse(text: &str, choices: &[String]) -> Result<Vec<Part>> {
    let (parts, used) = split(text, choices)?;
    if !parts.iter().any(|part| !matches!(part, Part::Text(_))) {
        return Err(refused(
            "expected a slot, such as {slot:8} or {choice:yes|no}, got none",
        ));
    }
    if !used {
        return Err(Error::request(
            "choices",
            "the template has no {choice} that they could fill",
        ));
    }
    Ok(parts)
}

/// The parts of a text, and whether all `choices` have a place. A literal brace is written twice.
pub(super) fn split(text: &str, choices: &[String]) -> Result<(Vec<Part>, bool)> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut used = choices.is_empty();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        literal.push_str(before);
        if let Some(after) = doubled(brace) {
            literal.push_str(&brace[..1]);
            rest = after;
            continue;
        }
        let Some(inside) = brace.strip_prefix('{') else {
            return Err(refused(
                "a } without its {; a literal brace is written twice, }}",
            ));
        };
        let Some((body, after)) = inside.split_once('}').filter(|(b, _)| !b.contains('{')) else {
            return Err(refused(
                "a { without its }; a literal brace is written twice, {{",
            ));
        };
        if !literal.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut literal)));
        }
        used |= body == "choice";
        parts.push(slot(body, choices)?);
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(Part::Text(literal));
    }
    Ok((parts, used))
}

/// What follows a doubled brace.
fn doubled(text: &str) -> Option<&str> {
    text.strip_prefix("{{").or_else(|| text.strip_prefix("}}"))
}

/// The slot between two braces.
fn slot(body: &str, choices: &[String]) -> Result<Part> {
    match body.split_once(':') {
        Some(("slot", tokens)) => match tokens.parse() {
            Ok(0) | Err(_) => Err(refused(format!(
                "{{{body}}}: expected a number of tokens from 1 on, got {tokens:?}"
            ))),
            Ok(tokens) => Ok(Part::Slot(tokens)),
        },
        Some(("choice", options)) => Ok(Part::Choice(options.split('|').map(Into::into).collect())),
        None if body == "choice" && !choices.is_empty() => Ok(Part::Choice(choices.to_vec())),
        None if body == "choice" => Err(refused(
            "{choice}: expected options, as in {choice:yes|no}, or choices beside the template",
        )),
        _ => Err(refused(format!(
            "{{{body}}}: expected {{slot:TOKENS}}, {{choice:ONE|OTHER}} or {{choice}}; \
             a literal brace is written twice, {{{{"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&t| t.to_owned()).collect()
    }

    #[test]
    fn text_and_slots_alternate_as_written() {
        let text = |t: &str| Part::Text(t.into());
        assert_eq!(
            parse("A: {slot:8}, {choice:é| n}!", &[]).unwrap(),
            [
                text("A: "),
                Part::Slot(8),
                text(", "),
                Part::Choice(strings(&["é", " n"])),
                text("!")
            ]
        );
        assert_eq!(
            parse("{{\"x\": {slot:2}}}{slot:1}", &[]).unwrap(),
            [text("{\"x\": "), Part::Slot(2), text("}"), Part::Slot(1)]
        );
        assert_eq!(
            parse("{choice}", &strings(&["A", "B"])).unwrap(),
            [Part::Choice(strings(&["A", "B"]))]
        );
    }

    #[test]
    fn what_is_not_a_template_is_refused_with_what_would_be() {
        let given = strings(&["A"]);
        let cases: [(&str, &[String], &str); 15] = [
            ("", &[], "expected a slot"),
            ("just text", &[], "expected a slot"),
            ("{{slot:8}}", &[], "expected a slot"),
            ("{slot:0}", &[], "from 1 on"),
            ("{slot:-1}", &[], "from 1 on"),
            ("{slot:}", &[], "from 1 on"),
            ("{slot:99999999999999999999}", &[], "from 1 on"),
            ("{slot}", &[], "{slot:TOKENS}"),
            ("{word:3}", &[], "{slot:TOKENS}"),
            ("{}", &[], "{slot:TOKENS}"),
            ("a {slot:8", &[], "without its }"),
            ("a {slot:{8}", &[], "without its }"),
            ("a slot:8}", &[], "without its {"),
            ("{choice}", &[], "expected options"),
            ("{slot:8}", &given, "no {choice}"),
        ];
        for (text, choices, reason) in cases {
            let error = parse(text, choices).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
