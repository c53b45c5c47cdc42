//! Licence expressions: whether what a package asks for is covered by what the project accepts.

/// Whether `expression` (SPDX; `/` is read as `OR`, as cargo does) holds when exactly `accepted` holds.
pub fn is_covered(expression: &str, accepted: &[&str]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let tokens: Vec<&str> = spaced.split_whitespace().collect();
    let mut reader = Reader { tokens: &tokens, accepted };
    let covered = reader.any();
    covered && reader.tokens.is_empty()
}

/// Reads an expression from left to right; what cannot be read is not covered.
struct Reader<'a> {
    tokens: &'a [&'a str],
    accepted: &'a [&'a str],
}

impl Reader<'_> {
    fn any(&mut self) -> bool {
        let mut covered = self.all();
        while self.take("OR") {
            covered |= self.all();
        }
        covered
    }

    fn all(&mut self) -> bool {
        let mut covered = self.one();
        while self.take("AND") {
            covered &= self.one();
        }
        covered
    }

    fn one(&mut self) -> bool {
        if self.take("(") {
            let covered = self.any();
            return self.take(")") && covered;
        }
        let Some((name, rest)) = self.tokens.split_first() else { return false };
        self.tokens = rest;
        // An exception only allows more than the licence does.
        if self.take("WITH") {
            self.tokens = self.tokens.get(1..).unwrap_or_default();
        }
        self.accepted.contains(name)
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.tokens.first() == Some(&token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::is_covered;

    #[test]
    fn expressions_are_read_as_written() {
        let accepted = ["MIT", "ISC", "Apache-2.0"];
        for covered in ["MIT", "GPL-3.0 OR MIT", "MIT/GPL-3.0", "(MIT OR X) AND ISC", "Apache-2.0 WITH LLVM-exception"]
        {
            assert!(is_covered(covered, &accepted), "{covered}");
        }
        for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR X) AND Y", "MIT)", "(MIT"] {
            assert!(!is_covered(refused, &accepted), "{refused}");
        }
    }
}
