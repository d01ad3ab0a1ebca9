//! "Did you mean": the known word that a mistyped one is nearest to.

/// Words longer than this are compared no further; no key is nearly so long.
const WORD_CHARS_MAX: usize = 64;

/// The hint for `word`, where one of `known` is near enough.
pub(crate) fn hint<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<String> {
    nearest(word, known).map(|near| format!("did you mean '{near}'?"))
}

fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word: Vec<char> = word.to_lowercase().chars().collect();
    if word.is_empty() || word.len() > WORD_CHARS_MAX {
        return None;
    }
    // One slip in three characters still looks like the word.
    let most = (word.len() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (distance(&word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters must be put in, taken out, replaced or swapped with their neighbour to
/// make `word` into `candidate` (optimal string alignment).
fn distance(word: &[char], candidate: &str) -> usize {
    let mut previous_char = None;
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=word.len()).collect();
    for (row, wanted) in candidate.chars().enumerate() {
        let mut row_now = vec![row + 1];
        for (col, found) in word.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX / 2);
            let mut best = cell(&last, col) + usize::from(*found != wanted);
            best = best
                .min(cell(&last, col + 1) + 1)
                .min(cell(&row_now, col) + 1);
            let swapped =
                col > 0 && previous_char == Some(*found) && word.get(col - 1) == Some(&wanted);
            if swapped {
                best = best.min(cell(&before, col - 1) + 1);
            }
            row_now.push(best);
        }
        before = std::mem::replace(&mut last, row_now);
        previous_char = Some(wanted);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["maxretry", "findtime", "bantime", "log_target", "port"];

    #[test]
    fn a_slip_finds_the_word() {
        for (word, meant) in [
            ("maxretries", "maxretry"),
            ("max_retry", "maxretry"),
            ("findtiem", "findtime"),
            ("BanTime", "bantime"),
            ("logtarget", "log_target"),
            ("ports", "port"),
        ] {
            assert_eq!(nearest(word, KEYS), Some(meant), "{word}");
        }
    }

    #[test]
    fn another_word_finds_none() {
        for word in ["", "x", "action", "colour", &"maxretry".repeat(99)] {
            assert_eq!(nearest(word, KEYS), None, "{word}");
        }
    }

    #[test]
    fn swapped_neighbours_are_one_slip() {
        let word: Vec<char> = "prot".chars().collect();
        assert_eq!(distance(&word, "port"), 1);
        assert_eq!(distance(&word, ""), 4);
        assert_eq!(distance(&[], "port"), 4);
    }
}
