//! What is written in a configuration file: `key = value` lines as libvirt's daemons read them.

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number.
    Number(i64),
    /// A text, in quotes of either kind.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Line, counted from 1.
    pub(crate) line: usize,
    pub(crate) key: String,
    pub(crate) value: Value,
}

/// A mistake, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// Line, counted from 1.
    pub(crate) line: usize,
    /// What is wrong, and what to write instead.
    pub(crate) what: String,
}

/// Reads the text of a file.
pub(crate) fn parse(text: &str) -> Result<Vec<Setting>, Mistake> {
    let mut input = Input { rest: text, line: 1 };
    let mut settings = Vec::new();
    loop {
        input.skip_blank();
        if input.rest.is_empty() {
            return Ok(settings);
        }
        let line = input.line;
        let key = input.key()?;
        input.skip_spaces();
        if !input.take('=') {
            return Err(input.mistake(format!("after {key} comes =, as in {key} = value")));
        }
        input.skip_spaces();
        let value = input.value(&key)?;
        input.skip_spaces();
        input.end_of_line(&key)?;
        settings.push(Setting { line, key, value });
    }
}

struct Input<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Input<'a> {
    fn mistake(&self, what: String) -> Mistake {
        Mistake { line: self.line, what }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn skip(&mut self, bytes: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.line += skipped.matches('\n').count();
        self.rest = rest;
        skipped
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.rest.starts_with(wanted);
        if found {
            self.skip(wanted.len_utf8());
        }
        found
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        self.skip(self.rest.find(|c| !wanted(c)).unwrap_or(self.rest.len()))
    }

    fn skip_spaces(&mut self) {
        self.take_while(|c| matches!(c, ' ' | '\t' | '\r'));
    }

    /// Skips white space, line ends and comments.
    fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            if self.peek() != Some('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn key(&mut self) -> Result<String, Mistake> {
        let key = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_');
        if key.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Ok(key.to_owned());
        }
        Err(self
            .mistake("a line is a setting, as in max_clients = 5000, or a comment that begins with #".into()))
    }

    fn end_of_line(&mut self, key: &str) -> Result<(), Mistake> {
        match self.peek() {
            None | Some('\n' | '#') => Ok(()),
            Some(_) => {
                Err(self.mistake(format!("something follows the value of {key}; each setting has a line")))
            }
        }
    }

    fn value(&mut self, key: &str) -> Result<Value, Mistake> {
        match self.peek() {
            Some('"' | '\'') => Ok(Value::Text(self.text()?)),
            Some('[') => Ok(Value::List(self.list(key)?)),
            Some(c) if c == '-' || c.is_ascii_digit() => {
                let digits = self.take_while(|c| c == '-' || c.is_ascii_alphanumeric());
                let number = digits.parse();
                number.map(Value::Number).map_err(|_| self.mistake(format!("{digits} is not a number")))
            }
            _ => Err(self.mistake(format!(
                "the value of {key} is a number, a text in quotes, or a list as in [ \"one\", \"two\" ]"
            ))),
        }
    }

    fn text(&mut self) -> Result<String, Mistake> {
        // Three quotes begin a text that may have line ends in it.
        let (quote, lines) = match self.rest {
            rest if rest.starts_with("\"\"\"") => ("\"\"\"", true),
            rest if rest.starts_with('"') => ("\"", false),
            _ => ("'", false),
        };
        let unfinished = self.mistake(format!("the text that begins here has no closing {quote}"));
        self.skip(quote.len());
        let end = self.rest.find(quote).ok_or_else(|| unfinished.clone())?;
        let text = self.rest.get(..end).unwrap_or_default();
        if !lines && text.contains('\n') {
            return Err(unfinished);
        }
        self.skip(end + quote.len());
        Ok(text.to_owned())
    }

    fn list(&mut self, key: &str) -> Result<Vec<String>, Mistake> {
        let unfinished = self.mistake(format!("the list of {key} has no closing ]"));
        self.take('[');
        let mut items = Vec::new();
        loop {
            self.skip_blank();
            match self.peek() {
                Some(']') => {
                    self.take(']');
                    return Ok(items);
                }
                Some('"' | '\'') => items.push(self.text()?),
                None => return Err(unfinished),
                Some(_) => return Err(self.mistake(format!("the list of {key} is one of texts in quotes"))),
            }
            self.skip_blank();
            if !self.take(',') && self.peek() != Some(']') {
                return Err(if self.rest.is_empty() {
                    unfinished
                } else {
                    self.mistake(format!("between the texts of {key} is a comma"))
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_with_their_lines() {
        let text = "# a comment\n\nmax_clients = 20 # twenty\n  access_drivers=[ \"polkit\" ,\n 'x', # two\n ]\n\
                    unix_sock_group = 'libvirt'\r\nempty = \"\"\nnone = []\nlong = \"\"\"a\nb\"\"\"\nlast = -1";
        let list = |items: &[&str]| Value::List(items.iter().map(|&item| item.to_owned()).collect());
        let expected = [
            (3, "max_clients", Value::Number(20)),
            (4, "access_drivers", list(&["polkit", "x"])),
            (7, "unix_sock_group", Value::Text("libvirt".into())),
            (8, "empty", Value::Text(String::new())),
            (9, "none", list(&[])),
            (10, "long", Value::Text("a\nb".into())),
            (12, "last", Value::Number(-1)),
        ]
        .map(|(line, key, value)| Setting { line, key: key.into(), value });
        assert_eq!(parse(text).unwrap(), expected);
        assert_eq!(parse(""), Ok(Vec::new()));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, line, what) in [
            ("\nmax_clients 5", 2, "after max_clients comes ="),
            ("a = 1\n= 5", 2, "a line is a setting"),
            ("9a = 5", 1, "a line is a setting"),
            ("a = ", 1, "the value of a is"),
            ("a = yes", 1, "the value of a is"),
            ("a = 12x", 1, "12x is not a number"),
            ("a = 99999999999999999999", 1, "is not a number"),
            ("a = 1 2", 1, "something follows the value of a"),
            ("a = \"x\nb = 1\"", 1, "no closing \""),
            ("a = 'x", 1, "no closing '"),
            ("a = \"\"\"x\n\n", 1, "no closing \"\"\""),
            ("a = [ \"x\"\n", 1, "no closing ]"),
            ("a = [ \"x\"\n\"y\" ]", 2, "is a comma"),
            ("a = [\n1 ]", 2, "texts in quotes"),
            ("ä = 1", 1, "a line is a setting"),
        ] {
            let mistake = parse(text).unwrap_err();
            assert!(mistake.what.contains(what), "{text:?}: {}", mistake.what);
            assert_eq!(mistake.line, line, "{text:?}");
        }
    }
}
