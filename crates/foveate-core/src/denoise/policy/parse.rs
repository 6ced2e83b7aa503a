//! Policies as text: `threshold=0.9`.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{EntropyBound, Factor, Klass, POLICIES, Policy, Prophet, Threshold, Wino};
use crate::error::{Error, Result};

/// An error of the field `policy`.
pub(super) fn refused(reason: String) -> Error {
    Error::request("policy", reason)
}

impl FromStr for Policy {
    type Err = Error;

    /// A name, then its numbers after `=`; absent ones are the published ones.
    fn from_str(text: &str) -> Result<Self> {
        let (name, numbers) = match text.split_once('=') {
            Some((name, numbers)) => (name, numbers.split(',').collect()),
            None => (text, Vec::new()),
        };
        let known = POLICIES.iter().find(|(known, _, _)| *known == name);
        let Some((_, form, published)) = known else {
            let forms: Vec<&str> = POLICIES.iter().map(|(_, form, _)| *form).collect();
            let forms = forms.join(", ");
            return Err(refused(format!("expected one of {forms}; got {text:?}")));
        };
        let most = form
            .split_once('=')
            .map_or(0, |(_, n)| n.split(',').count());
        if numbers.len() > most {
            return Err(refused(format!("expected {form}, got {text:?}")));
        }
        let numbers = Numbers { form, numbers };
        let policy = match *published {
            Self::Fixed(fixed) => Self::Fixed(fixed),
            Self::Threshold(p) => Self::Threshold(Threshold {
                confidence: numbers.get(0, p.confidence)?,
            }),
            Self::Factor(p) => Self::Factor(Factor {
                factor: numbers.get(0, p.factor)?,
            }),
            Self::EntropyBound(p) => Self::EntropyBound(EntropyBound {
                bound: numbers.get(0, p.bound)?,
            }),
            Self::Klass(p) => Self::Klass(Klass {
                divergence: numbers.get(0, p.divergence)?,
                steps: numbers.get(1, p.steps)?,
                confidence: numbers.get(2, p.confidence)?,
            }),
            Self::Prophet(p) => Self::Prophet(Prophet {
                early: numbers.get(0, p.early)?,
                middle: numbers.get(1, p.middle)?,
                late: numbers.get(2, p.late)?,
            }),
            Self::Wino(p) => Self::Wino(Wino {
                draft: numbers.get(0, p.draft)?,
                verify: numbers.get(1, p.verify)?,
            }),
        };
        policy.check()?;
        Ok(policy)
    }
}

/// The numbers after `=`.
struct Numbers<'a> {
    form: &'static str,
    numbers: Vec<&'a str>,
}

impl Numbers<'_> {
    fn get<T: FromStr>(&self, index: usize, published: T) -> Result<T> {
        let Some(text) = self.numbers.get(index) else {
            return Ok(published);
        };
        let number = text.trim().parse();
        number.map_err(|_| refused(format!("expected {}, got {text:?} for a number", self.form)))
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(_) => f.write_str("fixed"),
            Self::Threshold(p) => write!(f, "threshold={}", p.confidence),
            Self::Factor(p) => write!(f, "factor={}", p.factor),
            Self::EntropyBound(p) => write!(f, "eb={}", p.bound),
            Self::Klass(p) => write!(f, "klass={},{},{}", p.divergence, p.steps, p.confidence),
            Self::Prophet(p) => write!(f, "prophet={},{},{}", p.early, p.middle, p.late),
            Self::Wino(p) => write!(f, "wino={},{}", p.draft, p.verify),
        }
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
