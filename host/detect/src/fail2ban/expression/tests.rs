use super::*;

fn compile(source: &str) -> Expression {
    Expression::compile(source, ExpressionOptions::default()).unwrap()
}

/// The groups with names that took part, as `name=text`.
fn found(source: &str, subject: &str) -> Option<String> {
    let expression = compile(source);
    let mut groups = Groups::default();
    if !expression.find(subject, &mut groups).unwrap() {
        return None;
    }
    let named = expression.names().filter_map(|(name, number)| {
        let (start, end) = groups.span(number)?;
        Some(format!("{name}={}", subject.get(start..end)?))
    });
    Some(named.collect::<Vec<_>>().join(" "))
}

fn fault(source: &str) -> Fault {
    Expression::compile(source, ExpressionOptions::default()).unwrap_err()
}

#[test]
fn the_end_is_before_the_last_line_feed_too() {
    assert!(found("a$", "a\n").is_some());
    assert!(found("a$", "a\n\n").is_none());
    assert!(found(r"a\Z", "a\n").is_none());
    assert_eq!(found("(?P<x>[^b]+)$", "aa\n").as_deref(), Some("x=aa\n"));
    assert_eq!(found("(?P<x>[^b]+?)$", "aa\n").as_deref(), Some("x=aa"));
    assert!(found("a$\n", "a\n").is_some());
}

#[test]
fn what_rust_reads_otherwise_is_read_as_python_does() {
    assert!(found(r"\<a\>", "<a>\n").is_some());
    assert!(found("[[a]", "[\n").is_some());
    assert!(found("a{,2}b", "b\n").is_some());
    assert!(found("a{b", "a{b\n").is_some());
    assert!(found("a{1,2", "a{1,2\n").is_some());
    assert!(found("[a&&b]", "&\n").is_some());
    assert!(found(r"a[\s]b", "a\u{1c}b\n").is_some());
    assert!(found(r"^\w$", "\u{301}\n").is_none());
    assert!(found(r"^\w$", "é\n").is_some());
    assert!(found(r"^\d$", "٣\n").is_some());
    assert!(found("((?i)A)b", "ab\n").is_some());
    assert!(found("((?i)A)b", "aB\n").is_none());
    assert!(found(r"\x41\u0042\103", "ABC\n").is_some());
}

#[test]
fn conditions_look_around_and_references_are_matched() {
    let condition = "^(?P<q>\")?(?P<x>a)(?(q)\"|b)$";
    assert_eq!(found(condition, "\"a\"\n").as_deref(), Some("q=\" x=a"));
    assert_eq!(found(condition, "ab\n").as_deref(), Some("x=a"));
    assert!(found(condition, "a\"\n").is_none());
    assert!(found(r"(?P<a>\w+) (?P=a)$", "ab ab\n").is_some());
    assert!(found(r"(\w+) \1$", "ab cd\n").is_none());
    assert!(found("^(?!x)a", "a\n").is_some());
    assert!(found("(?<=b)a", "ca\n").is_none());
    assert!(found("^(?>a*)a", "aaa\n").is_none());
    assert!(found("^a*+a", "aaa\n").is_none());
    assert!(compile(".*a+").is_linear());
    assert!(!compile("^(?!x)a").is_linear());
}

#[test]
fn lines_are_told_apart_where_several_are_looked_at() {
    let options = ExpressionOptions {
        multiline: true,
        ..ExpressionOptions::default()
    };
    let expression = Expression::compile("^a<SKIPLINES>b$", options).unwrap();
    let mut groups = Groups::default();
    assert!(expression.find("x\na\ny\nz\nb\n", &mut groups).unwrap());
    assert_eq!(groups.whole(), (2, 9));
    let skipped = groups.span(expression.group("skiplines0").unwrap());
    assert_eq!(skipped, Some((4, 8)));
}

#[test]
fn hosts_are_addresses_or_names() {
    assert_eq!(
        found("from <HOST>$", "from [::ffff:192.0.2.1]\n").as_deref(),
        Some("ip4=192.0.2.1")
    );
    assert_eq!(
        found("from <HOST>$", "from 2001:db8::\n").as_deref(),
        Some("ip6=2001:db8::")
    );
    assert_eq!(found("from <HOST>$", "from host.example\n"), None);
    let options = ExpressionOptions {
        host_names: HostNames::Resolve,
        ..ExpressionOptions::default()
    };
    let expression = Expression::compile("from <HOST>$", options).unwrap();
    assert!(
        expression
            .find("from host.example\n", &mut Groups::default())
            .unwrap()
    );
}

#[test]
fn faults_point_into_the_authors_text() {
    assert_eq!(fault("<F-USER>a</F-USER>(b").offset, Some(18));
    assert_eq!(fault("a**").offset, Some(2));
    assert_eq!(fault("[a").offset, Some(0));
    assert_eq!(fault(r"\q").offset, Some(0));
    assert_eq!(fault("(?P=x)").message, "there is no group named 'x'");
    assert_eq!(fault(r"(a)\2").message, "there is no group 2");
    assert_eq!(
        fault("<F-USER>a</F-USER><F-USER>b</F-USER>").message,
        "there are two groups named 'user'"
    );
    assert_eq!(fault(" ").message, "the pattern is empty");
    assert_eq!(fault("a)").offset, Some(1));
    assert!(fault(&"(".repeat(200)).message.contains("nested deeper"));
    assert!(
        fault("(?:(?:a{1000}){1000}){1000}")
            .message
            .contains("bytes allowed")
    );
}

#[test]
fn the_limit_of_steps_is_no_miss() {
    let expression = compile(r"^(?=(a+)+$)\1b");
    let subject = format!("{}!b\n", "a".repeat(200));
    assert_eq!(
        expression.find(&subject, &mut Groups::default()),
        Err(GaveUp)
    );
}

#[test]
fn the_longer_a_line_the_fewer_steps_it_has() {
    let expression = compile(r"^(?=(a+)+$)\1b");
    for length in LENGTHS {
        let subject = format!("{}!b\n", "a".repeat(length - 3));
        let found = expression.find(&subject, &mut Groups::default());
        assert_eq!(found, Err(GaveUp), "{length}");
        let Engine::Backtracking { fancy, .. } = &expression.engine else {
            panic!("it is not linear");
        };
        let at = LENGTHS.iter().position(|own| *own == length).unwrap();
        // What a line costs at most does not depend on its length, and each has an engine of its own.
        assert_eq!(steps(at) * length, STEP_BYTES_MAX);
        assert!(fancy.of_length[at].get().is_some());
    }
    // An honest line needs few of them.
    let expression = compile(r"^login of (?!root).* from (?P<ip4>\S+)(?: port \d+)?$");
    let honest = format!("login of {} from 192.0.2.1 port 1\n", "x".repeat(200));
    assert_eq!(expression.find(&honest, &mut Groups::default()), Ok(true));
}

#[test]
fn of_a_line_that_is_too_long_it_is_not_told_what_groups_hold() {
    let expression = compile(r"^(?:(?P<user>a|bb)+|c)(?:d|e?)*.*? (?P<ip4>\d+)(?: .*| )$");
    let find = |len: usize, end: &str| {
        let subject = format!("{} 1 {end}\n", "a".repeat(len));
        expression.find(&subject, &mut Groups::default())
    };
    assert_eq!(find(CAPTURED_MIN - 10, ""), Ok(true));
    assert_eq!(find(CAPTURED_MAX + 10, ""), Err(GaveUp));
    // That it does not match is known all the same.
    let none = compile(r"^(?:(?P<user>a|bb)+|c)(?:d|e?)*.*? (?P<ip4>\d+)(?: .*| )y$");
    let subject = format!("{} 1 x\n", "a".repeat(CAPTURED_MAX));
    assert_eq!(none.find(&subject, &mut Groups::default()), Ok(false));
}

#[test]
fn required_texts_are_words_that_no_date_can_part() {
    let required = |source: &str| -> Vec<String> {
        let expression = compile(source);
        let texts = expression.required().unwrap_or_default();
        texts
            .iter()
            .map(|text| String::from_utf8(text.clone()).unwrap())
            .collect()
    };
    assert_eq!(required("^Failed password for .*"), ["password"]);
    assert_eq!(required("^(?!x)Failed (?:a|b)"), ["Failed"]);
    assert_eq!(required(r"^\w+ \d"), [""; 0]);
}

/// What both the expression as it is written and what is made of it find.
#[track_caller]
fn same_as_written(source: &str, subject: &str) {
    let expanded = tags::expand(source, HostNames::Resolve);
    let Pattern {
        node,
        names,
        groups,
    } = parse::parse(&expanded.text, false).unwrap();
    assert!(node.needs_backtracking());
    let written = Expression::of_tree(&node, names, groups).unwrap();
    let options = ExpressionOptions {
        host_names: HostNames::Resolve,
        multiline: false,
    };
    let linear = Expression::compile(source, options).unwrap();
    assert!(linear.is_linear(), "{source}");
    // The whole match is left out: the line feed before the end is part of it in the linear engine.
    let found = |expression: &Expression| {
        let mut groups = Groups::default();
        let found = expression.find(subject, &mut groups).unwrap();
        found.then(|| (groups.whole().0, groups.spans.split_off(1)))
    };
    assert_eq!(found(&linear), found(&written), "{source} in {subject:?}");
}

/// Conditions and look-aheads that are written out.
const WRITTEN_OUT: [&str; 9] = [
    r"^f (?P<inv>inv )?(?P<user>(?P<word>\S+)|(?(inv)(?:(?! from ).)*?|[^:]+)) from <HOST>(?: (?:port \d+|on \S+)){0,2}(?(word): |(?:(?:(?! from ).)*)$)",
    r"^(?P<a>f)?m?(?(a) |f)o",
    r"^(?P<a>f)??m?(?(a) |f)o",
    r"^(?:(?P<a>f)|m|o(?P<b> )|r) ?(?(a)m|f)+",
    r"^((?P<a>[fr]+)|m)(?(a)(o)|( )) ?(?P<c>m)?(?(c)$|o)",
    r"^[a-z]*(?:(?!rr).)*rr",
    r"(?P<x>(?:(?!from).)*?)from",
    r"^f(?P<x>(?:(?!o m).)*)$",
    r"^(?P<a> )?(?:(?!mm).)*(?(a)$|\Z)",
];

proptest::proptest! {
    #[test]
    fn what_is_written_out_finds_what_the_written_finds(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "f", "r", "o", "m", " ", " ", "from", " from ", "rr", ":", "inv ", "f ", "192.0.2.1",
                " port 7", ": ", "mm", "o m", "\n", "é",
            ]),
            0..9,
        ),
    ) {
        let subject = format!("{}\n", pieces.concat());
        for source in WRITTEN_OUT {
            same_as_written(source, &subject);
        }
        let failed = format!("f {subject}");
        same_as_written(WRITTEN_OUT[0], &failed);
    }
}

#[test]
fn conditions_that_cannot_be_decided_stay() {
    // Asked before the group, in a repetition, by the group itself.
    for source in [
        r"^(?:a|(?(1)b|c))(x)?$",
        r"^(?:(x)?(?(1)a|b))+$",
        r"^(x(?(1)a|b))?$",
    ] {
        let expression = Expression::compile(source, ExpressionOptions::default());
        assert!(
            !expression.is_ok_and(|expression| expression.is_linear()),
            "{source}"
        );
    }
    assert!(!compile("^(?:(?!a|b).)*c").is_linear());
    assert!(!compile("^(?:(?!ab).)*c").is_linear());
}

/// What the chain finds and what the engine alone finds; how often the chain knew.
#[track_caller]
fn same_as_engine(source: &str, subject: &str) -> bool {
    let options = ExpressionOptions {
        host_names: HostNames::Resolve,
        multiline: false,
    };
    let mut expression = Expression::compile(source, options).unwrap();
    let mut groups = Groups::default();
    let with = expression
        .find(subject, &mut groups)
        .unwrap()
        .then(|| groups.spans.clone());
    let Engine::Linear(linear) = &mut expression.engine else {
        panic!("{source} is not linear");
    };
    let chain = linear
        .chain
        .take()
        .expect("the expression has groups and is anchored");
    let mut spans = vec![None; expression.groups + 1];
    let found = chain.find(subject.as_bytes(), &mut spans);
    let without = expression
        .find(subject, &mut groups)
        .unwrap()
        .then(|| groups.spans.clone());
    assert_eq!(with, without, "{source} in {subject:?}");
    match found {
        Found::Unknown => false,
        Found::No => without.is_none(),
        Found::Yes => Some(spans) == without,
    }
}

const CHAINED: [&str; 8] = [
    r"^<F-MLFID>(?:\[\])?\s*(?:\S+\s+)?(?:from(?:\[\d+\])?:\s+)?</F-MLFID>(?:mm )?<F-CONTENT>.+</F-CONTENT>$",
    r"^[fr](?:o|m)+ <F-USER>.*?</F-USER> from <HOST>(?: (?:port \d+|on \S+)){0,3}\s*$",
    r"^f <F-USER>.*</F-USER> from <HOST>",
    r"^f (?P<inv>inv )?(?P<user>(?P<word>\S+)|(?(inv)(?:(?! from ).)*?|[^:]+)) from <HOST>(?: (?:port \d+|on \S+)){0,2}(?(word): |(?:(?:(?! from ).)*)$)",
    r"^(?P<a>f+?)(?P<b>r??)(?P<c>[^f]*)(?P<d>m|mm|)(?P<e>o*)",
    r"^(?:(?P<a>f|fr)|(?P<b>fro))(?P<c>o?m?)\b(?P<d>.*?)$",
    r"^(?P<a>(?P<b>f)|(?P<c>r)(?P<d>o)?) (?P<e>.+?)\Z",
    r"^(?P<a>f.*)(?P<b>m.*?)(?P<c>o?)$",
];

proptest::proptest! {
    #[test]
    fn a_chain_finds_what_the_capturing_engine_finds(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "f", "r", "o", "m", " ", " ", "from", " from ", ":", "inv ", "f ", "192.0.2.1", "a.example",
                "2001:db8::1", " port 7", ": ", "mm ", "[]", "[7]", "\n",
            ]),
            0..10,
        ),
    ) {
        let subject = format!("{}\n", pieces.concat());
        for source in CHAINED {
            same_as_engine(source, &subject);
            same_as_engine(source, &format!("f {subject}"));
        }
    }
}

#[test]
fn a_chain_knows_the_lines_that_matter() {
    for (source, subject) in [
        (CHAINED[0], " host from[7]: mm xyz\n"),
        (CHAINED[1], "fom a from b from 192.0.2.1 port 7 on x\n"),
        (CHAINED[2], "f a from b from 192.0.2.1 port 7\n"),
        (CHAINED[3], "f inv root from 192.0.2.1 port 7\n"),
        (CHAINED[3], "f root from a.example port 7\n"),
        (CHAINED[3], "x root from a.example port 7\n"),
    ] {
        assert!(same_as_engine(source, subject), "{source} in {subject:?}");
    }
}
