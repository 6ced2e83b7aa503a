//! Policies as text: `threshold=0.9`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{POLICIES, Policy};
use crate::error::{Error, Result};

/// A number of a policy, with the name that errors use.
pub(crate) struct Number<'a> {
    name: &'static str,
    place: Place<'a>,
}

enum Place<'a> {
    /// A probability.
    Share(&'a mut f64),
    /// Neither negative nor infinite.
    Amount(&'a mut f64),
    /// At least 1.
    Count(&'a mut usize),
}

impl<'a> Number<'a> {
    /// A probability that candidates are held against.
    pub(super) fn share(name: &'static str, place: &'a mut f64) -> Self {
        let place = Place::Share(place);
        Self { name, place }
    }

    /// A number that is neither negative nor infinite.
    pub(super) fn amount(name: &'static str, place: &'a mut f64) -> Self {
        let place = Place::Amount(place);
        Self { name, place }
    }

    /// A count from 1 on.
    pub(super) fn count(name: &'static str, place: &'a mut usize) -> Self {
        let place = Place::Count(place);
        Self { name, place }
    }

    /// Refuses a number that means nothing.
    fn check(&self) -> Result<()> {
        let (expected, got) = match &self.place {
            Place::Share(value) if !(0.0..=1.0).contains(*value) => {
                ("a probability from 0 to 1", value.to_string())
            }
            Place::Amount(value) if !(value.is_finite() && **value >= 0.0) => {
                ("a number from 0 on", value.to_string())
            }
            Place::Count(0) => ("at least 1", "0".into()),
            _ => return Ok(()),
        };
        let name = self.name;
        Err(refused(format!("{name}: expected {expected}, got {got}")))
    }

    fn read(&mut self, text: &str, form: &str) -> Result<()> {
        let misread = || refused(format!("expected {form}, got {text:?} for a number"));
        let digits = text.trim();
        match &mut self.place {
            Place::Share(value) | Place::Amount(value) => {
                **value = digits.parse().map_err(|_| misread())?;
            }
            Place::Count(value) => **value = digits.parse().map_err(|_| misread())?,
        }
        Ok(())
    }
}

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Share(value) | Place::Amount(value) => value.fmt(f),
            Place::Count(value) => value.fmt(f),
        }
    }
}

/// An error of the field `policy`.
fn refused(reason: String) -> Error {
    Error::request("policy", reason)
}

impl Policy {
    /// Checks the numbers.
    pub(crate) fn check(mut self) -> Result<()> {
        self.numbers().iter().try_for_each(Number::check)
    }
}

impl FromStr for Policy {
    type Err = Error;

    /// A name, then its numbers after `=`; absent ones are the published ones.
    fn from_str(text: &str) -> Result<Self> {
        let (name, given) = match text.split_once('=') {
            Some((name, numbers)) => (name, numbers.split(',').collect()),
            None => (text, Vec::new()),
        };
        let known = POLICIES.iter().find(|(known, _, _)| *known == name);
        let Some((_, form, published)) = known else {
            let forms: Vec<&str> = POLICIES.iter().map(|(_, form, _)| *form).collect();
            let forms = forms.join(", ");
            return Err(refused(format!("expected one of {forms}; got {text:?}")));
        };
        let mut policy = *published;
        let mut numbers = policy.numbers();
        if given.len() > numbers.len() {
            return Err(refused(format!("expected {form}, got {text:?}")));
        }
        for (number, text) in numbers.iter_mut().zip(given) {
            number.read(text, form)?;
        }
        policy.check()?;
        Ok(policy)
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut policy, name) = (*self, self.name());
        f.write_str(name)?;
        for (index, number) in policy.numbers().iter().enumerate() {
            let before = if index == 0 { '=' } else { ',' };
            write!(f, "{before}{number}")?;
        }
        Ok(())
    }
}

impl Serialize for Policy {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_written_as_they_are_read() {
        for (name, _, published) in POLICIES {
            let policy: Policy = name.parse().unwrap();
            assert_eq!(policy, published);
            assert_eq!(policy.to_string().parse::<Policy>().unwrap(), policy);
        }
        let klass: Policy = "klass=0.02".parse().unwrap();
        assert_eq!(klass.to_string(), "klass=0.02,2,0.9");
    }

    #[test]
    fn what_is_not_a_policy_is_refused_with_what_exists() {
        for text in [
            "",
            "sure",
            "=1",
            "fixed=1",
            "threshold=",
            "threshold=x",
            "threshold=1.5",
            "threshold=-0.1",
            "threshold=nan",
            "threshold=0.5,1",
            "factor=-1",
            "factor=inf",
            "eb=-0.1",
            "klass=0.01,0",
            "klass=0.01,2.5",
            "klass=0.01,2,2",
            "prophet=-1",
            "prophet=1,2,3,4",
            "wino=1.1",
            "wino=0.5,-1",
        ] {
            let error = text.parse::<Policy>().unwrap_err().to_string();
            assert!(error.starts_with("policy"), "{text}: {error}");
            assert!(error.contains("expected"), "{text}: {error}");
        }
        let error = "sure".parse::<Policy>().unwrap_err().to_string();
        for (_, form, _) in POLICIES {
            assert!(error.contains(form), "{error}");
        }
    }
}
