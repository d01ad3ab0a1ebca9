//! Words into a tree, with Python's precedence.

use super::FormulaError;
use super::evaluate::Number;
use super::lex::{Token, TokenKind};

/// How deep parentheses, signs and powers may stand in each other; written formulas need four.
const NESTING_MAX: usize = 32;

/// A part of a formula, and where its operator or word stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expression {
    pub(super) offset: usize,
    pub(super) kind: ExpressionKind,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum ExpressionKind {
    Number(Number),
    Variable(Variable),
    Negated(Box<Expression>),
    Not(Box<Expression>),
    Binary(Operator, Box<Expression>, Box<Expression>),
    If {
        condition: Box<Expression>,
        then: Box<Expression>,
        otherwise: Box<Expression>,
    },
    Call(Function, Vec<Expression>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Time,
    Count,
    Factor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Or,
    And,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    Unequal,
    ShiftLeft,
    ShiftRight,
    Add,
    Subtract,
    Multiply,
    Divide,
    DivideWhole,
    Remainder,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Min,
    Max,
    Abs,
    Int,
    Float,
    Round,
    Exp,
    Log,
    Log2,
    Log10,
    Sqrt,
    Pow,
    Floor,
    Ceil,
}

/// Name, function, fewest and most arguments. A bound on the most is needed nowhere but to refuse
/// what Python refuses.
const FUNCTIONS: [(&str, Function, usize, usize); 14] = [
    ("min", Function::Min, 2, usize::MAX),
    ("max", Function::Max, 2, usize::MAX),
    ("abs", Function::Abs, 1, 1),
    ("int", Function::Int, 1, 1),
    ("float", Function::Float, 1, 1),
    ("round", Function::Round, 1, 1),
    ("math.exp", Function::Exp, 1, 1),
    ("math.log", Function::Log, 1, 2),
    ("math.log2", Function::Log2, 1, 1),
    ("math.log10", Function::Log10, 1, 1),
    ("math.sqrt", Function::Sqrt, 1, 1),
    ("math.pow", Function::Pow, 2, 2),
    ("math.floor", Function::Floor, 1, 1),
    ("math.ceil", Function::Ceil, 1, 1),
];

/// Operators that stand between two values, by how strongly they bind. `not` binds between `and`
/// and the comparisons; signs and powers bind stronger than all of these.
fn binary_operator(word: &str) -> Option<(Operator, u8)> {
    Some(match word {
        "or" => (Operator::Or, 1),
        "and" => (Operator::And, 2),
        "<" => (Operator::Less, COMPARISON),
        "<=" => (Operator::LessOrEqual, COMPARISON),
        ">" => (Operator::Greater, COMPARISON),
        ">=" => (Operator::GreaterOrEqual, COMPARISON),
        "==" => (Operator::Equal, COMPARISON),
        "!=" => (Operator::Unequal, COMPARISON),
        "<<" => (Operator::ShiftLeft, 5),
        ">>" => (Operator::ShiftRight, 5),
        "+" => (Operator::Add, 6),
        "-" => (Operator::Subtract, 6),
        "*" => (Operator::Multiply, 7),
        "/" => (Operator::Divide, 7),
        "//" => (Operator::DivideWhole, 7),
        "%" => (Operator::Remainder, 7),
        _ => return None,
    })
}

const COMPARISON: u8 = 4;

/// Reads all words of a text that is `len` bytes long.
pub(super) fn parse(tokens: &[Token], len: usize) -> Result<Expression, FormulaError> {
    let mut parser = Parser {
        tokens,
        len,
        depth: 0,
    };
    let expression = parser.conditional()?;
    match parser.tokens.first() {
        None => Ok(expression),
        Some(token) => Err(FormulaError::new(
            token.offset,
            format!("{} does not belong here", shown(token)),
        )),
    }
}

struct Parser<'t> {
    /// What is left to read.
    tokens: &'t [Token],
    len: usize,
    depth: usize,
}

impl<'t> Parser<'t> {
    /// `A if B else C`, which groups to the right.
    fn conditional(&mut self) -> Result<Expression, FormulaError> {
        self.nested(|parser| {
            let then = parser.binary(0)?;
            let offset = parser.offset();
            if !parser.take("if") {
                return Ok(then);
            }
            let condition = parser.binary(0)?;
            parser.expect("else")?;
            let otherwise = parser.conditional()?;
            let kind = ExpressionKind::If {
                condition: condition.into(),
                then: then.into(),
                otherwise: otherwise.into(),
            };
            Ok(Expression { offset, kind })
        })
    }

    /// Values joined by operators that bind at least as strongly as `weakest`.
    fn binary(&mut self, weakest: u8) -> Result<Expression, FormulaError> {
        let mut left = if weakest < COMPARISON {
            self.negation()?
        } else {
            self.signed()?
        };
        let mut compared = false;
        while let Some((operator, binding)) = self.word().and_then(binary_operator) {
            if binding < weakest {
                break;
            }
            let offset = self.offset();
            if binding == COMPARISON && compared {
                let message = "comparisons cannot be chained; join them by 'and'";
                return Err(FormulaError::new(offset, message));
            }
            compared = binding == COMPARISON;
            self.advance();
            let right = self.binary(binding + 1)?;
            let kind = ExpressionKind::Binary(operator, left.into(), right.into());
            left = Expression { offset, kind };
        }
        Ok(left)
    }

    fn negation(&mut self) -> Result<Expression, FormulaError> {
        let offset = self.offset();
        if !self.take("not") {
            return self.signed();
        }
        let operand = self.nested(|parser| match parser.word() {
            Some("not") => parser.negation(),
            _ => parser.binary(COMPARISON),
        })?;
        let kind = ExpressionKind::Not(operand.into());
        Ok(Expression { offset, kind })
    }

    fn signed(&mut self) -> Result<Expression, FormulaError> {
        let offset = self.offset();
        if self.take("+") {
            return self.nested(Self::signed);
        }
        if !self.take("-") {
            return self.power();
        }
        let operand = self.nested(Self::signed)?;
        let kind = ExpressionKind::Negated(operand.into());
        Ok(Expression { offset, kind })
    }

    /// `A ** B` binds stronger than a sign on its left, weaker than one on its right.
    fn power(&mut self) -> Result<Expression, FormulaError> {
        let base = self.operand()?;
        let offset = self.offset();
        if !self.take("**") {
            return Ok(base);
        }
        let exponent = self.nested(Self::signed)?;
        let kind = ExpressionKind::Binary(Operator::Power, base.into(), exponent.into());
        Ok(Expression { offset, kind })
    }

    fn operand(&mut self) -> Result<Expression, FormulaError> {
        let Some((token, rest)) = self.tokens.split_first() else {
            return Err(FormulaError::new(self.len, "a value is missing at the end"));
        };
        let offset = token.offset;
        let kind = match &token.kind {
            TokenKind::Number(number) => ExpressionKind::Number(*number),
            TokenKind::Name(name) => {
                self.tokens = rest;
                return self.named(name, offset);
            }
            TokenKind::Sign("(") => {
                self.tokens = rest;
                let inner = self.conditional()?;
                self.expect(")")?;
                return Ok(inner);
            }
            TokenKind::Sign(_) => {
                let message = format!("a value is missing in front of {}", shown(token));
                return Err(FormulaError::new(offset, message));
            }
        };
        self.tokens = rest;
        Ok(Expression { offset, kind })
    }

    fn named(&mut self, name: &str, offset: usize) -> Result<Expression, FormulaError> {
        let kind = match name {
            "ban.Time" => ExpressionKind::Variable(Variable::Time),
            "ban.Count" => ExpressionKind::Variable(Variable::Count),
            "banFactor" => ExpressionKind::Variable(Variable::Factor),
            "math.pi" => ExpressionKind::Number(Number::Float(std::f64::consts::PI)),
            "math.e" => ExpressionKind::Number(Number::Float(std::f64::consts::E)),
            "True" => ExpressionKind::Number(Number::Int(1)),
            "False" => ExpressionKind::Number(Number::Int(0)),
            _ => return self.call(name, offset),
        };
        Ok(Expression { offset, kind })
    }

    fn call(&mut self, name: &str, offset: usize) -> Result<Expression, FormulaError> {
        let known = FUNCTIONS.iter().find(|(known, ..)| *known == name);
        let Some((_, function, fewest, most)) = known else {
            let message = format!(
                "{name:?} is not known here; known are ban.Time, ban.Count, banFactor, min, max, \
                 abs, int, float, round and the usual functions of math"
            );
            return Err(FormulaError::new(offset, message));
        };
        self.expect("(")?;
        let mut arguments = Vec::new();
        while !self.take(")") {
            if !arguments.is_empty() {
                self.expect(",")?;
            }
            arguments.push(self.conditional()?);
        }
        if arguments.len() < *fewest || arguments.len() > *most {
            let message = format!("{name:?} does not take {} arguments", arguments.len());
            return Err(FormulaError::new(offset, message));
        }
        let kind = ExpressionKind::Call(*function, arguments);
        Ok(Expression { offset, kind })
    }

    /// Reads something inside of something else, and no deeper than [`NESTING_MAX`].
    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Expression, FormulaError>,
    ) -> Result<Expression, FormulaError> {
        if self.depth >= NESTING_MAX {
            let message = format!("this is nested more than {NESTING_MAX} deep");
            return Err(FormulaError::new(self.offset(), message));
        }
        self.depth += 1;
        let read = read(self);
        self.depth -= 1;
        read
    }

    /// The next operator, parenthesis or name.
    fn word(&self) -> Option<&'t str> {
        match &self.tokens.first()?.kind {
            TokenKind::Name(name) => Some(name),
            TokenKind::Sign(sign) => Some(sign),
            TokenKind::Number(_) => None,
        }
    }

    fn offset(&self) -> usize {
        self.tokens.first().map_or(self.len, |token| token.offset)
    }

    fn advance(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    fn take(&mut self, wanted: &str) -> bool {
        let found = self.word() == Some(wanted);
        if found {
            self.advance();
        }
        found
    }

    fn expect(&mut self, wanted: &str) -> Result<(), FormulaError> {
        if self.take(wanted) {
            return Ok(());
        }
        let message = match self.tokens.first() {
            Some(token) => format!("'{wanted}' is missing in front of {}", shown(token)),
            None => format!("'{wanted}' is missing at the end"),
        };
        Err(FormulaError::new(self.offset(), message))
    }
}

fn shown(token: &Token) -> String {
    match &token.kind {
        TokenKind::Number(Number::Int(whole)) => format!("'{whole}'"),
        TokenKind::Number(Number::Float(float)) => format!("'{float}'"),
        TokenKind::Name(name) => format!("{name:?}"),
        TokenKind::Sign(sign) => format!("'{sign}'"),
    }
}
