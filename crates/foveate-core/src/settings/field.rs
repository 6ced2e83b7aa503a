//! How a field of the options is a setting's value, and how rows of the table name their fields.

use super::form::Value;
use crate::denoise::Policy;
use crate::error::Result;
use crate::prune::Moment;

/// Something that options hold and settings say.
pub(crate) trait Field: Sized {
    /// As a setting's value.
    fn value(&self) -> Value;
    /// From a value of the setting's form.
    fn read(value: &Value) -> Result<Self>;
}

/// `get: type => how it is read from a value`, for types that values are made of.
macro_rules! plain {
    ($($kind:ty: $read:expr;)+) => {
        $(impl Field for $kind {
            fn value(&self) -> Value {
                self.clone().into()
            }

            fn read(value: &Value) -> Result<Self> {
                let read: fn(&Value) -> Self = $read;
                Ok(read(value))
            }
        })+
    };
}

plain! {
    bool: Value::is_on;
    usize: Value::size;
    u64: Value::count;
    f64: Value::number;
    String: |value| value.text().to_owned();
    Vec<String>: |value| value.texts().to_vec();
}

impl<T: Field> Field for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::None, T::value)
    }

    fn read(value: &Value) -> Result<Self> {
        T::read(value).map(Some)
    }
}

impl Field for Policy {
    fn value(&self) -> Value {
        self.to_string().into()
    }

    fn read(value: &Value) -> Result<Self> {
        value.text().parse()
    }
}

impl Field for Moment {
    fn value(&self) -> Value {
        self.to_string().into()
    }

    fn read(value: &Value) -> Result<Self> {
        let moment = value.text().parse();
        moment.map_err(|reason: String| crate::Error::request("prune-at", reason))
    }
}

/// The names of a closed list of values: each with its help, and another name for it if it has one.
macro_rules! names {
    ($kind:ty; $($(#[doc = $help:literal])+ $value:pat => $made:expr, $name:literal $(or $alias:literal)?;)+) => {
        impl $kind {
            /// Every name that can be given.
            pub(crate) fn choices() -> Vec<crate::settings::Possible> {
                vec![$(crate::settings::Possible {
                    name: $name,
                    help: concat!($($help),+).trim_ascii_start(),
                    alias: concat!($($alias)?),
                }),+]
            }
        }

        impl crate::settings::Field for $kind {
            fn value(&self) -> crate::settings::Value {
                match self {
                    $($value => $name,)+
                }
                .into()
            }

            fn read(value: &crate::settings::Value) -> crate::error::Result<Self> {
                match value.text() {
                    $($name => Ok($made),)+
                    other => Err(crate::error::Error::request("settings", format!("{other:?} is no name"))),
                }
            }
        }
    };
}
pub(crate) use names;

/// How a row reads and writes the options: `(a field)`, `{a field of what is pruned}` or `[get, set]`.
macro_rules! access {
    (get ($($field:ident).+)) => { |options| crate::settings::Field::value(&options.$($field).+) };
    (set ($($field:ident).+)) => {
        |options, value| {
            options.$($field).+ = crate::settings::Field::read(value)?;
            Ok(())
        }
    };
    (get {$field:ident}) => {
        |options| {
            let prune = options.prune.as_ref();
            prune.map_or(Value::None, |prune| crate::settings::Field::value(&prune.$field))
        }
    };
    (set {$field:ident}) => {
        |options, value| {
            if let Some(prune) = &mut options.prune {
                prune.$field = crate::settings::Field::read(value)?;
            }
            Ok(())
        }
    };
    (get [$get:expr]) => { $get };
    (set [$get:expr]) => { |_, _| Ok(()) };
    (get [$get:expr, $set:expr]) => { $get };
    (set [$get:expr, $set:expr]) => { $set };
}
pub(crate) use access;

/// Rows of the table: help, flag, place in JSON, what stands for a value, form, access, and what else is special.
macro_rules! rows {
    ($group:expr; $(
        $(#[doc = $help:literal])+
        $name:literal $key:literal $value_name:literal $form:expr => $access:tt $(, $more:ident: $special:expr)*;
    )+) => {
        &[$(crate::settings::Setting {
            name: $name,
            key: $key,
            group: $group,
            help: concat!($($help),+).trim_ascii_start(),
            value_name: $value_name,
            form: $form,
            get: crate::settings::access!(get $access),
            set: crate::settings::access!(set $access),
            $($more: $special,)*
            ..crate::settings::Setting::ROW
        }),+]
    };
}
pub(crate) use rows;
