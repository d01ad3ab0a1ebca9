//! The value of a tree: whole numbers as long as Python keeps them whole.

use super::FormulaError;
use super::parse::{Expression, ExpressionKind, Function, Operator, Variable};

/// A number as Python has it. A whole one that outgrows 128 bits becomes a fraction, where Python's
/// grows on: no length of time is near that.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Int(i128),
    Float(f64),
}

/// What a formula may ask for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variables {
    pub(super) time: Number,
    pub(super) count: Number,
    pub(super) factor: Number,
}

/// Shifting further than this leaves 128 bits for certain.
const SHIFT_MAX: i128 = 127;

impl Number {
    /// `value`, whole where it is: only whole numbers can be shifted.
    pub(super) fn from_f64(value: f64) -> Self {
        match whole(value) {
            Some(whole) if value.fract() == 0.0 => Self::Int(whole),
            _ => Self::Float(value),
        }
    }

    fn float(self) -> f64 {
        match self {
            // The nearest one, as Python rounds.
            Self::Int(whole) => whole as f64,
            Self::Float(float) => float,
        }
    }

    fn is_true(self) -> bool {
        match self {
            Self::Int(whole) => whole != 0,
            Self::Float(float) => float != 0.0,
        }
    }

    fn less(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left < right,
            _ => self.float() < other.float(),
        }
    }

    fn equals(self, other: Self) -> bool {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => left == right,
            _ => self.float() == other.float(),
        }
    }
}

/// `value` without its fraction, where it fits.
fn whole(value: f64) -> Option<i128> {
    /// 2^126: every whole number below it is one of 128 bits.
    const BOUND: f64 = 85_070_591_730_234_615_865_843_651_857_942_052_864.0;
    if value.abs() >= BOUND || value.is_nan() {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the range was checked, and the fraction is meant to go"
    )]
    Some(value as i128)
}

impl Expression {
    /// The value as a finite number; see [`super::BanFormula::eval`].
    pub(super) fn value(&self, variables: Option<&Variables>) -> Result<f64, FormulaError> {
        let value = self.number(variables)?.float();
        if value.is_nan() {
            return Err(self.fault("this has no value"));
        }
        Ok(value.clamp(f64::MIN, f64::MAX))
    }

    fn number(&self, variables: Option<&Variables>) -> Result<Number, FormulaError> {
        match &self.kind {
            ExpressionKind::Number(number) => Ok(*number),
            ExpressionKind::Variable(variable) => {
                let variables =
                    variables.ok_or_else(|| self.fault("a variable has no value here"))?;
                Ok(match variable {
                    Variable::Time => variables.time,
                    Variable::Count => variables.count,
                    Variable::Factor => variables.factor,
                })
            }
            ExpressionKind::Negated(operand) => Ok(match operand.number(variables)? {
                Number::Int(whole) => whole
                    .checked_neg()
                    .map_or(Number::Float(-(whole as f64)), Number::Int),
                Number::Float(float) => Number::Float(-float),
            }),
            ExpressionKind::Not(operand) => Ok(truth(!operand.number(variables)?.is_true())),
            ExpressionKind::If {
                condition,
                then,
                otherwise,
            } => {
                if condition.number(variables)?.is_true() {
                    then.number(variables)
                } else {
                    otherwise.number(variables)
                }
            }
            ExpressionKind::Binary(operator, left, right) => {
                let left = left.number(variables)?;
                // Python does not look at the right side where the left decides.
                match operator {
                    Operator::Or if left.is_true() => return Ok(left),
                    Operator::And if !left.is_true() => return Ok(left),
                    _ => {}
                }
                self.binary(*operator, left, right.number(variables)?)
            }
            ExpressionKind::Call(function, arguments) => {
                let arguments: Vec<Number> = arguments
                    .iter()
                    .map(|argument| argument.number(variables))
                    .collect::<Result<_, _>>()?;
                self.call(*function, &arguments)
            }
        }
    }

    fn binary(
        &self,
        operator: Operator,
        left: Number,
        right: Number,
    ) -> Result<Number, FormulaError> {
        Ok(match operator {
            Operator::Or | Operator::And => right,
            Operator::Less => truth(left.less(right)),
            Operator::LessOrEqual => truth(left.less(right) || left.equals(right)),
            Operator::Greater => truth(right.less(left)),
            Operator::GreaterOrEqual => truth(right.less(left) || left.equals(right)),
            Operator::Equal => truth(left.equals(right)),
            Operator::Unequal => truth(!left.equals(right)),
            Operator::ShiftLeft | Operator::ShiftRight => self.shift(operator, left, right)?,
            Operator::Add => joined(left, right, i128::checked_add, |a, b| a + b),
            Operator::Subtract => joined(left, right, i128::checked_sub, |a, b| a - b),
            Operator::Multiply => joined(left, right, i128::checked_mul, |a, b| a * b),
            Operator::Divide | Operator::DivideWhole | Operator::Remainder => {
                self.divide(operator, left, right)?
            }
            Operator::Power => power(left, right),
        })
    }

    fn shift(
        &self,
        operator: Operator,
        left: Number,
        right: Number,
    ) -> Result<Number, FormulaError> {
        let (Number::Int(value), Number::Int(by)) = (left, right) else {
            return Err(self.fault("only whole numbers can be shifted"));
        };
        if by < 0 {
            return Err(self.fault("nothing can be shifted by a negative number"));
        }
        if operator == Operator::ShiftRight {
            let by = u32::try_from(by.min(SHIFT_MAX)).unwrap_or(u32::MAX);
            return Ok(Number::Int(value.checked_shr(by).unwrap_or(0)));
        }
        let exact = u32::try_from(by)
            .ok()
            .and_then(|by| 1_i128.checked_shl(by))
            .filter(|power| *power > 0)
            .and_then(|power| value.checked_mul(power));
        Ok(match exact {
            Some(shifted) => Number::Int(shifted),
            None if value == 0 => Number::Int(0),
            None => Number::Float(value as f64 * (by as f64).exp2()),
        })
    }

    fn divide(
        &self,
        operator: Operator,
        left: Number,
        right: Number,
    ) -> Result<Number, FormulaError> {
        if !right.is_true() {
            return Err(self.fault("this divides by zero"));
        }
        let (a, b) = (left.float(), right.float());
        // Python rounds down, not towards zero, and a remainder has the sign of the divisor.
        Ok(match (operator, left, right) {
            (Operator::Divide, ..) => Number::Float(a / b),
            (Operator::DivideWhole, Number::Int(left), Number::Int(right)) => {
                let quotient = left.checked_div_euclid(right);
                let inexact = left.checked_rem(right).is_some_and(|rest| rest != 0);
                // Rounding of Euclid's differs where the divisor is negative.
                let floor = if right < 0 && inexact { 1 } else { 0 };
                match quotient.and_then(|quotient| quotient.checked_sub(floor)) {
                    Some(quotient) => Number::Int(quotient),
                    None => Number::Float(whole_quotient(a, b)),
                }
            }
            (Operator::DivideWhole, ..) => Number::Float(whole_quotient(a, b)),
            (_, Number::Int(left), Number::Int(right)) => {
                let rest = left.checked_rem(right).unwrap_or(0);
                let turned = rest != 0 && (rest < 0) != (right < 0);
                Number::Int(if turned { rest + right } else { rest })
            }
            _ => Number::Float(remainder(a, b)),
        })
    }

    fn call(&self, function: Function, arguments: &[Number]) -> Result<Number, FormulaError> {
        let first = arguments.first().copied().unwrap_or(Number::Int(0));
        let second = arguments.get(1).copied();
        let x = first.float();
        let positive = |value: f64| {
            if value > 0.0 {
                Ok(value)
            } else {
                Err(self.fault("only positive numbers have a logarithm"))
            }
        };
        Ok(match function {
            Function::Min => chosen(arguments, |kept, next| next.less(kept)),
            Function::Max => chosen(arguments, |kept, next| kept.less(next)),
            Function::Abs => match first {
                Number::Int(whole) => whole
                    .checked_abs()
                    .map_or(Number::Float(x.abs()), Number::Int),
                Number::Float(_) => Number::Float(x.abs()),
            },
            Function::Int => rounded(first, f64::trunc),
            // Python rounds halves to the even neighbour.
            Function::Round => rounded(first, f64::round_ties_even),
            Function::Floor => rounded(first, f64::floor),
            Function::Ceil => rounded(first, f64::ceil),
            Function::Float => Number::Float(x),
            Function::Exp => Number::Float(x.exp()),
            Function::Log => match second {
                None => Number::Float(positive(x)?.ln()),
                Some(base) => {
                    let base = positive(base.float())?.ln();
                    if base == 0.0 {
                        return Err(self.fault("there is no logarithm to the base of one"));
                    }
                    Number::Float(positive(x)?.ln() / base)
                }
            },
            Function::Log2 => Number::Float(positive(x)?.log2()),
            Function::Log10 => Number::Float(positive(x)?.log10()),
            Function::Sqrt if x < 0.0 => {
                return Err(self.fault("a negative number has no square root"));
            }
            Function::Sqrt => Number::Float(x.sqrt()),
            Function::Pow => Number::Float(x.powf(second.map_or(1.0, Number::float))),
        })
    }

    fn fault(&self, message: &str) -> FormulaError {
        FormulaError::new(self.offset, message)
    }
}

fn truth(value: bool) -> Number {
    Number::Int(i128::from(value))
}

/// What is left of `a` when `b` is taken away as often as it fits, with the sign of `b`.
fn remainder(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest != 0.0 && (rest < 0.0) != (b < 0.0) {
        rest + b
    } else {
        rest
    }
}

/// How often `b` fits into `a`. Computed from the remainder, which is exact, where the quotient would
/// be rounded up over a whole number: `20 // 20**-3` is 159999.
fn whole_quotient(a: f64, b: f64) -> f64 {
    ((a - remainder(a, b)) / b).round()
}

/// Whole where both are and the result fits.
fn joined(
    left: Number,
    right: Number,
    exact: impl Fn(i128, i128) -> Option<i128>,
    inexact: impl Fn(f64, f64) -> f64,
) -> Number {
    if let (Number::Int(left), Number::Int(right)) = (left, right)
        && let Some(result) = exact(left, right)
    {
        return Number::Int(result);
    }
    Number::Float(inexact(left.float(), right.float()))
}

fn power(base: Number, exponent: Number) -> Number {
    if let (Number::Int(base), Number::Int(exponent)) = (base, exponent)
        && let Ok(exponent) = u32::try_from(exponent)
        && let Some(result) = base.checked_pow(exponent)
    {
        return Number::Int(result);
    }
    Number::Float(base.float().powf(exponent.float()))
}

fn rounded(number: Number, round: impl Fn(f64) -> f64) -> Number {
    match number {
        Number::Int(_) => number,
        Number::Float(float) => {
            let float = round(float);
            whole(float).map_or(Number::Float(float), Number::Int)
        }
    }
}

fn chosen(arguments: &[Number], better: impl Fn(Number, Number) -> bool) -> Number {
    arguments
        .iter()
        .copied()
        .reduce(|kept, next| if better(kept, next) { next } else { kept })
        .unwrap_or(Number::Int(0))
}
