//! SPDX licence expressions: whether one can be satisfied with an allow-list.

use anyhow::{Result, anyhow, bail};

/// Whether the expression can be satisfied with licences for which `allowed` holds.
///
/// `A OR B` needs one, `A AND B` both, `A WITH E` is a licence of its own; cargo's older `A/B` means OR.
pub fn is_satisfied(expression: &str, allowed: &dyn Fn(&str) -> bool) -> Result<bool> {
    let mut parser = Parser { tokens: tokens(expression), next: 0, allowed };
    let satisfied = parser.any()?;
    match parser.peek() {
        None => Ok(satisfied),
        Some(token) => bail!("`{expression}` is no SPDX expression: `{token}` is not expected there"),
    }
}

fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

struct Parser<'a> {
    tokens: Vec<String>,
    next: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl Parser<'_> {
    fn any(&mut self) -> Result<bool> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Ok(satisfied)
    }

    fn all(&mut self) -> Result<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Ok(satisfied)
    }

    fn one(&mut self) -> Result<bool> {
        if self.take("(") {
            let satisfied = self.any()?;
            return if self.take(")") { Ok(satisfied) } else { Err(anyhow!("a `)` is missing")) };
        }
        let mut licence = self.word()?;
        if self.take("WITH") {
            licence = format!("{licence} WITH {}", self.word()?);
        }
        Ok((self.allowed)(&licence))
    }

    fn word(&mut self) -> Result<String> {
        let token = self.peek().ok_or_else(|| anyhow!("the licence expression ends too early"))?.to_owned();
        if matches!(token.as_str(), "OR" | "AND" | "WITH" | ")" | "(") {
            bail!("`{token}` is not expected there in a licence expression");
        }
        self.next += 1;
        Ok(token)
    }

    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.next).map(String::as_str)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.peek() == Some(token);
        self.next += usize::from(found);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn satisfied(expression: &str) -> bool {
        is_satisfied(expression, &|licence| {
            ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].contains(&licence)
        })
        .unwrap()
    }

    #[test]
    fn or_needs_one_and_and_needs_both() {
        assert!(satisfied("MIT"));
        assert!(satisfied("GPL-3.0 OR MIT"));
        assert!(satisfied("GPL-3.0/MIT"));
        assert!(!satisfied("GPL-3.0 AND MIT"));
        assert!(satisfied("MIT AND Apache-2.0"));
    }

    #[test]
    fn and_binds_tighter_than_or_and_parentheses_win() {
        assert!(satisfied("MIT OR GPL-3.0 AND GPL-2.0"));
        assert!(!satisfied("(MIT OR GPL-3.0) AND GPL-2.0"));
    }

    #[test]
    fn an_exception_makes_another_licence() {
        assert!(satisfied("Apache-2.0 WITH LLVM-exception"));
        assert!(!satisfied("MIT WITH LLVM-exception"));
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        for broken in ["", "MIT OR", "(MIT", "MIT MIT", "AND MIT"] {
            assert!(is_satisfied(broken, &|_| true).is_err(), "{broken}");
        }
    }
}
