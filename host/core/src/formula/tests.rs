use proptest::prelude::*;

use super::*;

#[track_caller]
fn check(text: &str, expected: f64) {
    let formula = BanFormula::parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
    let value = formula.eval(600.0, 3, 2.0).unwrap();
    assert!(
        (value - expected).abs() <= expected.abs() * 1e-12,
        "{text} is {value}, not {expected}"
    );
}

#[track_caller]
fn refused(text: &str, offset: usize, message: &str) {
    let error = BanFormula::parse(text)
        .and_then(|formula| formula.eval(600.0, 3, 2.0))
        .unwrap_err();
    assert_eq!((error.offset, error.message.as_str()), (offset, message));
}

#[test]
fn the_formulas_that_fail2ban_documents_have_their_values() {
    check(
        "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor",
        600.0 * 8.0 * 2.0,
    );
    check(
        "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)",
        600.0 * 8_f64.exp() / 2_f64.exp(),
    );
}

#[test]
fn the_growth_stops_after_twenty_bans() {
    let formula =
        BanFormula::parse("ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor");
    let formula = formula.unwrap();
    let twenty = formula.eval(60.0, 20, 1.0).unwrap();
    assert_eq!(twenty, 60.0 * f64::from(1 << 20));
    assert_eq!(formula.eval(60.0, u32::MAX, 1.0).unwrap(), twenty);
}

#[test]
fn operators_bind_as_in_python() {
    check("-2**2", -4.0);
    check("2**-1", 0.5);
    check("2**3**2", 512.0);
    check("1 + 2 * 3 << 1", 14.0);
    check("7//2*2", 6.0);
    check("-7//2", -4.0);
    check("7//-2", -4.0);
    check("-7//-2", 3.0);
    check("-7%3", 2.0);
    check("7%-3", -2.0);
    check("-7.5%2", 0.5);
    check("20 // 20**-3", 159_999.0);
    check("-7.5 // 2", -4.0);
    check("1 if 0 else 2 if 1 else 3", 2.0);
    check("not 1 == 2", 1.0);
    check("not not 3", 1.0);
    check("0 or 5 and 6", 6.0);
    check("3 > 2 and 2 >= 2 and 1 != 2", 1.0);
}

#[test]
fn functions_have_pythons_meaning() {
    check("min(ban.Time * 4, 1000, 2000)", 1000.0);
    check("max(1, 2.5)", 2.5);
    check("int(-2.7)", -2.0);
    check("round(2.5) + round(3.5)", 6.0);
    check("1 << int(math.floor(2.9))", 4.0);
    check("math.log(8, 2)", 3.0);
    check("math.pow(2, 0.5) * math.sqrt(2)", 2.0);
    check("abs(-3) + math.ceil(0.1)", 4.0);
}

#[test]
fn the_right_side_is_not_computed_where_the_left_decides() {
    check("0 and 1/0", 0.0);
    check("1 or 1/0", 1.0);
    check("5 if 1 else 1/0", 5.0);
}

#[test]
fn what_outgrows_a_number_is_as_long_as_can_be() {
    check("1 << 100000", f64::MAX);
    check("math.exp(ban.Time * 10)", f64::MAX);
    check("10 ** 400", f64::MAX);
    check("0 << 100000", 0.0);
    check("1 >> 100000", 0.0);
}

#[test]
fn what_has_no_value_says_where() {
    refused("ban.Time / (ban.Count - 3)", 9, "this divides by zero");
    refused(
        "1 + math.log(0)",
        4,
        "only positive numbers have a logarithm",
    );
    refused("1.5 << 2", 4, "only whole numbers can be shifted");
    refused("1 << -2", 2, "nothing can be shifted by a negative number");
    refused("10.0**400 - 10.0**400", 10, "this has no value");
}

#[test]
fn what_is_not_in_the_grammar_is_refused_with_its_place() {
    let not_known = |name: &str| {
        format!(
            "{name:?} is not known here; known are ban.Time, ban.Count, banFactor, min, max, abs, \
             int, float, round and the usual functions of math"
        )
    };
    refused("2 * __import__('os')", 4 + 11, &sign('\''));
    refused("ban.IP", 0, &not_known("ban.IP"));
    refused("exec(1)", 0, &not_known("exec"));
    refused("[1][0]", 0, &sign('['));
    refused("ban.Time *", 10, "a value is missing at the end");
    refused("* 2", 0, "a value is missing in front of '*'");
    refused("(1 + 2", 6, "')' is missing at the end");
    refused("1 if 2", 6, "'else' is missing at the end");
    refused("1 2", 2, "'2' does not belong here");
    refused("min(1)", 0, "\"min\" does not take 1 arguments");
    refused(
        "1 < 2 < 3",
        6,
        "comparisons cannot be chained; join them by 'and'",
    );
    refused("1.2.3", 0, "\"1.2.3\" is no number");
    refused("", 0, "a value is missing at the end");
}

fn sign(found: char) -> String {
    format!("{found:?} is not part of the arithmetic that is read here")
}

#[test]
fn depth_and_length_are_bounded() {
    for text in [
        "(".repeat(900),
        "-".repeat(900),
        "2**".repeat(300),
        "not ".repeat(250),
    ] {
        let error = BanFormula::parse(&text).unwrap_err();
        assert_eq!(error.message, "this is nested more than 32 deep", "{text}");
    }
    let error = BanFormula::parse(&"1+".repeat(600)).unwrap_err();
    assert_eq!(error.message, "the text is longer than 1024 bytes");
    check(&format!("{}1", "1+".repeat(500)), 501.0);
}

#[track_caller]
fn check_time(text: &str, expected: f64) {
    assert_eq!(parse_time_arithmetic(text), Ok(expected), "{text}");
}

#[test]
fn times_are_computed_as_fail2ban_does() {
    check_time("600", 600.0);
    check_time("-1", -1.0);
    check_time("10m", 600.0);
    check_time("1h 30", 3630.0);
    check_time("1d12h", 129_600.0);
    check_time("0d 1h 30m", 5_400.0);
    check_time("1year-6mo", 15_778_800.0);
    check_time("6 months", 15_778_800.0);
    check_time("60*60*24", 86_400.0);
    check_time("1hour+30min", 5_400.0);
    check_time("1M", 60.0);
    check_time("1.5h", 5_400.0);
    check_time("1w2d3h4m5s", 788_645.0);
    check_time("2/1h", 7_200.0);
    check_time("2 * (1h + 5m)", 7_800.0);
    check_time("3 yea", 94_672_800.0);
}

#[test]
fn what_is_no_time_is_refused_with_its_place() {
    for (text, offset) in [
        ("10x", 2),
        ("m", 0),
        ("", 0),
        ("1h +", 4),
        ("1d, 2h", 2),
        ("os", 0),
    ] {
        let error = parse_time_arithmetic(text).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
    }
}

#[test]
fn a_number_may_be_arithmetic_but_knows_no_variables() {
    assert_eq!(parse_number("4.0 / 2"), Ok(2.0));
    let error = parse_number("ban.Time").unwrap_err();
    assert_eq!(error.message, "a variable has no value here");
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_errors_lie_inside(text in "\\PC{0,60}") {
        for error in [
            BanFormula::parse(&text).and_then(|formula| formula.eval(1.0, 1, 1.0)).err(),
            parse_time_arithmetic(&text).err(),
        ].into_iter().flatten() {
            prop_assert!(error.offset <= text.len());
        }
    }

    #[test]
    fn no_words_of_the_grammar_make_it_panic(
        words in proptest::collection::vec(
            prop_oneof![
                Just("("), Just(")"), Just("+"), Just("-"), Just("*"), Just("/"), Just("//"),
                Just("%"), Just("**"), Just("<<"), Just(">>"), Just("<"), Just("if"),
                Just("else"), Just("not"), Just("and"), Just("ban.Count"), Just("min("),
                Just(","), Just("9999999999"), Just("0"), Just("0.5"), Just("3")
            ],
            0..12,
        )
    ) {
        let text = words.join(" ");
        if let Ok(formula) = BanFormula::parse(&text)
            && let Ok(value) = formula.eval(600.0, 5, 1.0)
        {
            prop_assert!(value.is_finite());
        }
    }
}
