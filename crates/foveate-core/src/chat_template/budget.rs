//! What a chat template may build: every text and list that it makes is charged to one budget.
//!
//! Instructions alone bound nothing: a few dozen that double a text fill any memory. So the parsed
//! template is rewritten before it runs ([`super::rewrite`]): every value that is made passes through
//! [`CHARGE`], which adds its size to what the render has built so far, and every operand through
//! [`CHECK`], so that none is larger than the budget when written out. `replace` and `join`, which
//! multiply their operands, are measured before they run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, State};
use minijinja_contrib::pycompat;

/// Bytes that one render may build, counting everything that it ever made. A conversation is built a
/// few times over; the rendered text itself has a lower limit.
pub(super) const MAX_BUILT_BYTES: usize = 32 << 20;
/// What an element of a list takes besides its content.
const ELEMENT_BYTES: usize = 32;
/// Nesting of lists and maps.
const MAX_DEPTH: usize = 32;

/// Filter that adds a value to what was built.
pub(super) const CHARGE: &str = "(charge)";
/// Filter that refuses a value larger than the budget.
pub(super) const CHECK: &str = "(check)";

/// Adds the budget to an environment that renders once.
pub(super) fn limit(environment: &mut Environment<'_>) {
    let built = Arc::new(AtomicUsize::new(0));
    environment.add_filter(CHARGE, move |value: Value| {
        let size = checked(&value)?;
        let before = built.fetch_add(size, Ordering::Relaxed);
        if before.saturating_add(size) > MAX_BUILT_BYTES {
            return Err(too_large());
        }
        Ok(value)
    });
    environment.add_filter(CHECK, |value: Value| checked(&value).map(|_| value));
    environment.add_filter("replace", |text: &str, from: &str, to: &str| {
        replaced(text, from, to)
    });
    environment.add_filter("join", |items: Value, between: Option<&str>| {
        joined(&items, between.unwrap_or_default())
    });
    environment.set_unknown_method_callback(method);
}

fn method(
    state: &mut State<'_, '_>,
    value: &Value,
    name: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    match (name, args) {
        ("replace", [from, to]) => {
            if let (Some(of), Some(from), Some(to)) = (text(value), text(from), text(to)) {
                return replaced(&of, &from, &to).map(Value::from);
            }
        }
        ("join", [items]) => {
            if let Some(between) = value.as_str() {
                return joined(items, between).map(Value::from);
            }
        }
        ("replace" | "join", _) => return Err(Error::from(ErrorKind::TooManyArguments)),
        _ => {}
    }
    pycompat::unknown_method_callback(state, value, name, args)
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String, Error> {
    let added = text.matches(from).count().saturating_mul(to.len());
    if text.len().saturating_add(added) > MAX_BUILT_BYTES {
        return Err(too_large());
    }
    Ok(text.replace(from, to))
}

fn joined(items: &Value, between: &str) -> Result<String, Error> {
    checked(items)?;
    let mut text = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        if index > 0 {
            text.push_str(between);
        }
        match item.as_str() {
            Some(item) => text.push_str(item),
            None => text.push_str(&item.to_string()),
        }
        if text.len() > MAX_BUILT_BYTES {
            return Err(too_large());
        }
    }
    Ok(text)
}

/// The size of a value as if nothing in it were shared, since writing it out copies what is.
fn checked(value: &Value) -> Result<usize, Error> {
    let mut left = MAX_BUILT_BYTES;
    measure(value, 0, &mut left).map(|()| MAX_BUILT_BYTES - left)
}

fn measure(value: &Value, depth: usize, left: &mut usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(too_large());
    }
    let mut spend = |bytes: usize| match left.checked_sub(bytes) {
        Some(rest) => {
            *left = rest;
            Ok(())
        }
        None => Err(too_large()),
    };
    if let Some(text) = value.as_str() {
        return spend(text.len());
    }
    match value.kind() {
        ValueKind::Bytes => spend(value.as_bytes().map_or(0, <[u8]>::len)),
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()? {
                *left = left.checked_sub(ELEMENT_BYTES).ok_or_else(too_large)?;
                measure(&item, depth + 1, left)?;
            }
            Ok(())
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                *left = left.checked_sub(2 * ELEMENT_BYTES).ok_or_else(too_large)?;
                measure(&key, depth + 1, left)?;
                measure(&value.get_item(&key)?, depth + 1, left)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn too_large() -> Error {
    let limit = MAX_BUILT_BYTES >> 20;
    Error::new(
        ErrorKind::InvalidOperation,
        format!("it builds more than {limit} MiB of text"),
    )
}
