//! The smallest case that still shows a difference.

use super::case::Line;

/// Questions that are asked for one difference, at most.
const QUESTIONS_MAX: usize = 400;

/// Takes away lines before the last one, and then parts of each line, as long as `differs` holds.
pub(super) fn shrink<E>(
    mut lines: Vec<Line>,
    mut differs: impl FnMut(&[Line]) -> Result<bool, E>,
) -> Result<Vec<Line>, E> {
    let mut left = QUESTIONS_MAX;
    let mut step = lines.len() / 2;
    while step > 0 {
        let mut at = 0;
        // The last line is the one that shows the difference.
        while at + step < lines.len() && left > 0 {
            let mut fewer = lines.clone();
            fewer.drain(at..at + step);
            left -= 1;
            if differs(&fewer)? {
                lines = fewer;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    for index in (0..lines.len()).rev() {
        shorten(&mut lines, index, &mut left, &mut differs)?;
    }
    Ok(lines)
}

fn shorten<E>(
    lines: &mut Vec<Line>,
    index: usize,
    left: &mut usize,
    differs: &mut impl FnMut(&[Line]) -> Result<bool, E>,
) -> Result<(), E> {
    let len = |lines: &[Line]| lines.get(index).map_or(0, |line| line.text.len());
    let mut step = len(lines) / 2;
    while step > 0 {
        let mut at = 0;
        while at + step <= len(lines) && *left > 0 {
            let mut shorter = lines.clone();
            if let Some(line) = shorter.get_mut(index) {
                line.text.drain(at..at + step);
            }
            *left -= 1;
            if differs(&shorter)? {
                *lines = shorter;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(texts: &[&str]) -> Vec<Line> {
        let line = |text: &&str| Line {
            text: text.as_bytes().to_owned(),
            now: 0,
        };
        texts.iter().map(line).collect()
    }

    #[test]
    fn what_does_not_matter_is_taken_away() {
        let all = lines(&["a", "b", "the cause is here", "c", "d", "see it there"]);
        let differs = |some: &[Line]| {
            let has = |line: &Line, word: &str| {
                line.text
                    .windows(word.len())
                    .any(|part| part == word.as_bytes())
            };
            let last = some.last().unwrap();
            Ok::<_, ()>(has(last, "see") && some.iter().any(|line| has(line, "cause")))
        };
        assert_eq!(shrink(all, differs), Ok(lines(&["cause", "see"])));
    }

    #[test]
    fn a_fault_ends_it() {
        assert_eq!(shrink(lines(&["a", "b"]), |_| Err("ended")), Err("ended"));
    }
}
