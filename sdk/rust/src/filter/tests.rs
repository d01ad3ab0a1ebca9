use super::*;

/// Counts every line for the address that it is, and its first byte as the user.
struct Echo;

impl Filter for Echo {
    fn configure(_: &Settings) -> Result<(Self, Plan), Error> {
        Ok((Self, Plan::new()))
    }

    fn judge(&mut self, line: Line<'_>, found: &mut Findings) {
        if let Some(addr) = line.text.addr() {
            found.add(&line, addr, line.text.get(..1));
        }
    }
}

fn batch(lines: &[&str]) -> wit::Batch {
    let mut batch = wit::Batch {
        text: Vec::new(),
        ends: Vec::new(),
        times: vec![1_000_000; lines.len()],
        patterns: vec![0; lines.len()],
    };
    for line in lines {
        batch.text.extend_from_slice(line.as_bytes());
        batch.ends.push(u32::try_from(batch.text.len()).unwrap());
    }
    batch
}

#[test]
fn lines_are_the_spans_between_the_ends() {
    let batch = batch(&["first", "", "third"]);
    let lines = Lines::of(&batch).unwrap();
    assert_eq!(lines.len(), 3);
    let texts: Vec<_> = lines.map(|line| line.text).collect();
    assert_eq!(texts, [&b"first"[..], b"", b"third"]);
}

#[test]
fn a_finding_points_at_its_line_and_its_user_into_the_buffer() {
    let batch = batch(&["no", "192.0.2.1", "2001:db8::1"]);
    let mut found = Findings::default();
    Echo.judge_all(Lines::of(&batch).unwrap(), &mut found);
    let report = found.into_wit(&batch);

    let [first, second] = &report.findings[..] else {
        panic!("{report:?}");
    };
    assert_eq!((first.line, second.line), (1, 2));
    let span = first.user.unwrap();
    assert_eq!((span.start, span.end), (2, 3));
    let span = second.user.unwrap();
    assert_eq!(&batch.text[index(span.start)..index(span.end)], b"2");
    assert!(matches!(
        second.subject,
        wit::Subject::Address(
            crate::bindings::host::stockade::types::types::IpAddress::Ipv6((
                0x2001_0db8_0000_0000,
                1
            ))
        )
    ));
}

#[test]
fn a_batch_whose_lists_do_not_fit_is_an_error() {
    let mut short = batch(&["a", "b"]);
    short.times.pop();
    let mut beyond = batch(&["a", "b"]);
    beyond.ends = vec![1, 3];
    let mut backwards = batch(&["a", "b"]);
    backwards.ends = vec![2, 1];
    for bad in [short, beyond, backwards] {
        assert!(Lines::of(&bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_user_that_is_no_part_of_the_line_is_left_out() {
    let batch = batch(&["192.0.2.1", "other"]);
    let lines: Vec<_> = Lines::of(&batch).unwrap().collect();
    let mut found = Findings::default();
    found.add(&lines[0], "x", Some(b"elsewhere"));
    found.add(&lines[0], "x", Some(lines[1].text));
    found.add(&lines[1], "x", Some(lines[0].text));
    for finding in found.into_sorted() {
        assert_eq!(finding.user, None);
    }
}

#[test]
fn what_the_host_would_call_a_fault_is_not_reported() {
    let batch = batch(&["a", "b"]);
    let lines: Vec<_> = Lines::of(&batch).unwrap().collect();
    let mut found = Findings::default();
    for _ in 0..FINDINGS_PER_LINE_MAX + 3 {
        found.add(&lines[1], "late", None);
    }
    found.add(&lines[0], "early", None);
    found.add(&lines[0], "", None);
    found.add(&lines[0], "x".repeat(SUBJECT_LEN_MAX + 1), None);
    let lines: Vec<_> = found.into_sorted().iter().map(|one| one.line).collect();
    assert_eq!(lines, [0, 1, 1, 1, 1]);
}
