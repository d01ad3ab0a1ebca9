//! Conditions in sample files, such as `name == 'sshd' and opts.get('mode') != 'ddos'`.
//!
//! fail2ban evaluates them as Python. Here they are a small language of comparisons over the name of
//! the filter and its options; anything else is an error.

use serde_json::{Map, Value};

/// What a condition can ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts<'a> {
    /// The name of the filter.
    pub(crate) name: &'a str,
    /// The options that the sample file gives it.
    pub(crate) options: &'a Map<String, Value>,
}

/// How deep brackets and `not` may stand in each other.
const DEPTH_MAX: usize = 16;

/// Whether `condition` holds; an error says what of it cannot be read.
pub(crate) fn holds(condition: &str, facts: Facts<'_>) -> Result<bool, String> {
    let tokens = tokens(condition)?;
    let mut reader = Reader {
        tokens: &tokens,
        facts,
        depth: 0,
    };
    let value = reader.either()?;
    match reader.tokens {
        [] => Ok(is_true(&value)),
        [token, ..] => Err(format!("did not expect {token:?}")),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Sign(&'static str),
}

const SIGNS: [&str; 9] = ["==", "!=", "(", ")", "[", "]", ",", ".", "-"];

fn tokens(condition: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = condition.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = if first == '\'' || first == '"' {
            let inner = rest.get(1..).unwrap_or_default();
            let (text, after) = inner.split_once(first).ok_or("a text has no end")?;
            (Token::Text(text.to_owned()), after)
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            (
                Token::Sign(sign),
                rest.get(sign.len()..).unwrap_or_default(),
            )
        } else {
            let len = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            let (word, after) = rest.split_at(len.unwrap_or(rest.len()));
            if word.is_empty() {
                return Err(format!("did not expect '{first}'"));
            }
            (Token::Word(word.to_owned()), after)
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

struct Reader<'a> {
    tokens: &'a [Token],
    facts: Facts<'a>,
    depth: usize,
}

impl Reader<'_> {
    fn either(&mut self) -> Result<Value, String> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let mut value = self.both()?;
        while self.take_word("or") {
            let other = self.both()?;
            value = if is_true(&value) { value } else { other };
        }
        self.depth -= 1;
        Ok(value)
    }

    fn both(&mut self) -> Result<Value, String> {
        let mut value = self.negation()?;
        while self.take_word("and") {
            let other = self.negation()?;
            value = if is_true(&value) { other } else { value };
        }
        Ok(value)
    }

    fn negation(&mut self) -> Result<Value, String> {
        let mut times = 0;
        while self.take_word("not") {
            times += 1;
        }
        let value = self.comparison()?;
        Ok(match times {
            0 => value,
            _ => Value::Bool(is_true(&value) == (times % 2 == 0)),
        })
    }

    fn comparison(&mut self) -> Result<Value, String> {
        let left = self.operand()?;
        let not = match self.tokens {
            [Token::Word(not), Token::Word(word), ..] if not == "not" && word == "in" => {
                self.take_word("not")
            }
            _ => false,
        };
        if self.take_word("in") {
            let right = self.operand()?;
            return Ok(Value::Bool(contains(&right, &left)? != not));
        }
        let equal = if self.take("==") {
            true
        } else if self.take("!=") {
            false
        } else if self.take_word("is") {
            !self.take_word("not")
        } else {
            return Ok(left);
        };
        Ok(Value::Bool((left == self.operand()?) == equal))
    }

    fn operand(&mut self) -> Result<Value, String> {
        let (first, rest) = self.tokens.split_first().ok_or("it ends too early")?;
        self.tokens = rest;
        match first {
            Token::Text(text) => Ok(text.as_str().into()),
            Token::Sign("(") => self.list(")"),
            Token::Sign("[") => self.list("]").map(as_list),
            Token::Word(word) => match word.as_str() {
                "None" => Ok(Value::Null),
                "True" => Ok(true.into()),
                "False" => Ok(false.into()),
                "name" => Ok(self.facts.name.into()),
                "opts" => self.option(),
                word => match word.parse::<i64>() {
                    Ok(number) => Ok(number.into()),
                    Err(_) => Err(format!("'{word}' is not known")),
                },
            },
            Token::Sign(sign) => Err(format!("did not expect '{sign}'")),
        }
    }

    /// What stands in brackets: one value, or a list where there are commas.
    fn list(&mut self, end: &'static str) -> Result<Value, String> {
        let mut values = Vec::new();
        let mut commas = false;
        while !self.take(end) {
            values.push(self.either()?);
            if self.take(",") {
                commas = true;
            } else if self.take(end) {
                break;
            } else {
                return Err(format!("'{end}' is missing"));
            }
        }
        match values.pop() {
            Some(only) if !commas && values.is_empty() => Ok(only),
            last => Ok(values.into_iter().chain(last).collect()),
        }
    }

    /// `opts.get(name)`, `opts.get(name, default)` or `opts[name]`.
    fn option(&mut self) -> Result<Value, String> {
        let arguments = if self.take("[") {
            as_list(self.list("]")?)
        } else if self.take(".") && self.take_word("get") && self.take("(") {
            as_list(self.list(")")?)
        } else {
            return Err("'opts' must be asked for an option".to_owned());
        };
        let arguments = arguments.as_array().map(Vec::as_slice).unwrap_or_default();
        let name = arguments.first().and_then(Value::as_str);
        let name = name.ok_or("the name of an option is missing")?;
        let default = arguments.get(1).cloned().unwrap_or_default();
        Ok(self.facts.options.get(name).cloned().unwrap_or(default))
    }

    fn take(&mut self, sign: &str) -> bool {
        self.take_if(|token| matches!(token, Token::Sign(found) if *found == sign))
    }

    fn take_word(&mut self, word: &str) -> bool {
        self.take_if(|token| matches!(token, Token::Word(found) if found == word))
    }

    fn take_if(&mut self, is: impl Fn(&Token) -> bool) -> bool {
        match self.tokens.split_first() {
            Some((first, rest)) if is(first) => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }
}

fn as_list(value: Value) -> Value {
    match value {
        Value::Array(_) => value,
        one => Value::Array(vec![one]),
    }
}

fn contains(all: &Value, one: &Value) -> Result<bool, String> {
    match (all, one) {
        (Value::Array(all), one) => Ok(all.contains(one)),
        (Value::String(all), Value::String(one)) => Ok(all.contains(one.as_str())),
        (Value::String(_), Value::Null) | (Value::Null, _) => {
            Err("'in' needs a list or two texts".to_owned())
        }
        (Value::Object(all), Value::String(one)) => Ok(all.contains_key(one)),
        _ => Err("'in' needs a list or two texts".to_owned()),
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_i64() != Some(0),
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(condition: &str) -> Result<bool, String> {
        let options = serde_json::json!({"mode": "aggressive"});
        let options = options.as_object().unwrap();
        let name = "sshd";
        holds(condition, Facts { name, options })
    }

    #[test]
    fn names_and_options_are_compared() {
        for (condition, expected) in [
            ("name=='sshd'", true),
            ("name != \"sshd\"", false),
            ("opts.get('mode') == 'aggressive'", true),
            ("opts.get('mode', 'x') != 'x' and opts['mode']", true),
            ("opts.get('logtype')", false),
            ("opts.get('logtype') is None", true),
            ("opts.get('logtype', 'file') is not None", true),
            ("name in ('a', 'sshd')", true),
            ("name not in ['a', 'sshd']", false),
            ("not (name == 'a' or name == 'sshd')", false),
            ("not not name", true),
            ("'ss' in name", true),
            ("False or name == 'a' or True and 1", true),
        ] {
            assert_eq!(asked(condition), Ok(expected), "{condition}");
        }
    }

    #[test]
    fn what_is_no_comparison_is_an_error() {
        for condition in [
            "",
            "name ==",
            "name == 'x",
            "os.system('x')",
            "opts",
            "name == 'x')",
            "(name",
            "1 + 1",
            "'x' in None",
            &"(".repeat(100_000),
        ] {
            assert!(asked(condition).is_err(), "{condition:.20}");
        }
    }
}
