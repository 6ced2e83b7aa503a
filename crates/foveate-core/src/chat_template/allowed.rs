//! The filters, methods and functions of chat templates. None makes more than a small multiple of its
//! operands, once `replace` and `join` are measured first ([`super::budget`]).

const FILTERS: [&str; 31] = [
    "abs",
    "bool",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "float",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "safe",
    "select",
    "selectattr",
    "string",
    "title",
    "trim",
    "upper",
];
const METHODS: [&str; 28] = [
    "capitalize",
    "count",
    "endswith",
    "find",
    "get",
    "isalnum",
    "isalpha",
    "isascii",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "items",
    "join",
    "keys",
    "lower",
    "lstrip",
    "replace",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
];
/// `loop(…)` is a recursive loop.
const FUNCTIONS: [&str; 5] = ["dict", "loop", "namespace", "raise_exception", "range"];

pub(super) fn filter(name: &str) -> Result<(), String> {
    listed("filter", name, &FILTERS)
}

pub(super) fn method(name: &str) -> Result<(), String> {
    listed("method", name, &METHODS)
}

pub(super) fn function(name: &str) -> Result<(), String> {
    listed("function", name, &FUNCTIONS)
}

fn listed(kind: &str, name: &str, known: &[&str]) -> Result<(), String> {
    if known.contains(&name) {
        return Ok(());
    }
    let known = known.join(", ");
    Err(format!(
        "it uses the {kind} {name:?}; supported are {known}"
    ))
}
