//! Which of several date patterns is meant: the one that the lines before had, at the same place, as
//! long as it is there; otherwise the first that matches where dates have stood, with those in front
//! that matched often. A date elsewhere in the line is taken only where no better one is found, so
//! that a date in a message is not mistaken for that of the line.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use stockade_core::Timestamp;

use super::Templates;
use super::template::Template;
use crate::fail2ban::Groups;

/// A template that was not used for so long gives its place away.
const UNUSED_MAX: Duration = Duration::from_secs(300);

/// A date in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DateMatch {
    /// When that is; `None` where it looks like a date but is none, such as the 30th of February.
    pub(crate) at: Option<Timestamp>,
    /// First byte of what is cut out.
    pub(crate) start: usize,
    /// One past its last byte.
    pub(crate) end: usize,
}

/// Finds the dates of one source.
#[derive(Debug)]
pub(crate) struct DateDetector {
    templates: Arc<Templates>,
    zone: TimeZone,
    /// The templates in the order in which they are tried.
    order: Vec<Use>,
    /// Place in `order` of the one that matched last.
    last: Option<usize>,
    last_begin: Edge,
    last_end: Edge,
    /// The templates before this place have all been used.
    first_unused: usize,
    groups: Groups,
    remembered: Option<Remembered>,
}

/// A date at the beginning of a line, which the lines after it mostly have as well.
#[derive(Debug)]
struct Remembered {
    /// What such a line begins with; nothing behind it would change what is found.
    text: Box<str>,
    date: Option<DateMatch>,
    /// When the line was read, on which a date without a year depends.
    now: Timestamp,
}

/// What is remembered of a template.
#[derive(Clone, Debug)]
struct Use {
    template: usize,
    hits: u32,
    /// Whether it matched any line, chosen or not.
    matched: bool,
    last_used: Timestamp,
    /// Where it was found last, in characters.
    distance: usize,
}

/// The last match's begin or end in characters, and the characters on its two sides.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    at: usize,
    before: Option<char>,
    after: Option<char>,
}

/// A match of the template at a place in the order.
#[derive(Clone, Copy, Debug)]
struct Hit {
    place: usize,
    /// The part of the line that was looked at.
    part: (usize, usize),
    begin: usize,
    end: usize,
}

/// A line, and the way from characters to bytes in it.
#[derive(Clone, Copy, Debug)]
struct Line<'a> {
    text: &'a str,
    ascii: bool,
    /// When it was read.
    now: Timestamp,
}

impl<'a> Line<'a> {
    fn new(text: &'a str, now: Timestamp) -> Self {
        Self {
            text,
            ascii: text.is_ascii(),
            now,
        }
    }

    fn chars_before(self, byte: usize) -> usize {
        if self.ascii {
            return byte;
        }
        self.text
            .get(..byte)
            .map_or(byte, |text| text.chars().count())
    }

    fn byte_of(self, chars: usize) -> usize {
        if self.ascii {
            return chars.min(self.text.len());
        }
        let place = self.text.char_indices().nth(chars);
        place.map_or(self.text.len(), |(byte, _)| byte)
    }

    fn char_at(self, byte: usize) -> Option<char> {
        self.text.get(byte..)?.chars().next()
    }

    fn char_before(self, byte: usize) -> Option<char> {
        self.text.get(..byte)?.chars().next_back()
    }

    fn edge(self, byte: usize) -> Edge {
        Edge {
            at: self.chars_before(byte),
            before: self.char_before(byte),
            after: self.char_at(byte),
        }
    }
}

impl DateDetector {
    /// Dates without a zone are of `zone`.
    pub(crate) fn new(templates: Arc<Templates>, zone: TimeZone) -> Self {
        let order = (0..templates.list.len())
            .map(|template| Use {
                template,
                hits: 0,
                matched: false,
                last_used: Timestamp::EPOCH,
                distance: usize::MAX,
            })
            .collect();
        Self {
            templates,
            zone,
            order,
            last: None,
            last_begin: Edge {
                at: 1,
                ..Edge::default()
            },
            last_end: Edge::default(),
            first_unused: 0,
            groups: Groups::default(),
            remembered: None,
        }
    }

    /// The date of `line`, which has no line end, at the time `now`.
    pub(crate) fn find(&mut self, text: &str, now: Timestamp) -> Option<DateMatch> {
        let line = Line::new(text, now);
        if let Some(date) = self.same_again(line) {
            return date;
        }
        let mut tried = None;
        let mut best = None;
        let mut hit = None;
        if let Some(place) = self.last {
            match self.again(line, place, &mut tried) {
                Again::Found(found) => hit = Some(found),
                Again::Elsewhere(found) => best = Some(found),
                Again::Missing => {}
            }
        }
        let hit = match hit {
            Some(hit) => hit,
            None => {
                let found = self.search(line, tried, best)?;
                // Others may have been tried since.
                self.matches(line, found.place, found.part);
                found
            }
        };
        let date = self.date(line, hit, now);
        let settled = self.last == Some(hit.place) && self.first_unused != hit.place;
        self.learn(line, hit, now);
        self.remembered = if settled {
            self.remember(line, hit, date)
        } else {
            None
        };
        date
    }

    /// What the line before had, where this one begins with the same and was read at the same time. The
    /// template that matched then is the first that is tried, and learns nothing new.
    fn same_again(&mut self, line: Line<'_>) -> Option<Option<DateMatch>> {
        let same = self.remembered.as_ref()?;
        if !line.ascii || same.now != line.now || !line.text.starts_with(&*same.text) {
            return None;
        }
        let used = self.last.and_then(|place| self.order.get_mut(place))?;
        used.hits = used.hits.saturating_add(1);
        used.last_used = line.now;
        Some(same.date)
    }

    /// Forgets the last date, but not what was learnt from it.
    #[cfg(test)]
    pub(super) fn forget_the_last_date(&mut self) {
        self.remembered = None;
    }

    /// Remembers a match that changed nothing about what is tried next.
    fn remember(&self, line: Line<'_>, hit: Hit, date: Option<DateMatch>) -> Option<Remembered> {
        let template = self.template(hit.place)?;
        // Only what is bound to the beginning is decided by the beginning alone.
        if !line.ascii || hit.begin != 0 || !template.is_at_beginning() {
            return None;
        }
        Some(Remembered {
            text: template.decisive(line.text, hit.end)?.into(),
            date,
            now: line.now,
        })
    }

    fn template(&self, place: usize) -> Option<&Template> {
        let used = self.order.get(place)?;
        self.templates.list.get(used.template)
    }

    /// Tries the template at `place` on a part of the line.
    fn matches(&mut self, line: Line<'_>, place: usize, part: (usize, usize)) -> Option<Hit> {
        let used = self.order.get_mut(place)?;
        let template = self.templates.list.get(used.template)?;
        let zone = &self.zone;
        let this_year = || year(zone, line.now);
        if !template.find(line.text, line.ascii, part, this_year, &mut self.groups) {
            return None;
        }
        used.matched = true;
        let (begin, end) = self.groups.whole();
        Some(Hit {
            place,
            part,
            begin,
            end,
        })
    }

    /// Tries the template that matched last, where it matched.
    fn again(&mut self, line: Line<'_>, place: usize, tried: &mut Option<usize>) -> Again {
        let Some(template) = self.template(place) else {
            return Again::Missing;
        };
        let anchored = template.anchored;
        let whole = (0, line.text.len());
        let part = (
            line.byte_of(self.last_begin.at),
            line.byte_of(self.last_end.at),
        );
        let same = !anchored && part.0 <= part.1 && self.has_same_edges(line, part);
        if !same {
            *tried = Some(place);
        }
        let Some(hit) = self.matches(line, place, if same { part } else { whole }) else {
            return Again::Missing;
        };
        let begin = line.chars_before(hit.begin);
        let end = line.chars_before(hit.end);
        if anchored
            || self.order.len() == 1
            || (begin == self.last_begin.at && end == self.last_end.at)
        {
            Again::Found(hit)
        } else {
            Again::Elsewhere(hit)
        }
    }

    /// Whether what stands around the place of the last date, or just inside of it, is the same.
    fn has_same_edges(&self, line: Line<'_>, (begin, end): (usize, usize)) -> bool {
        let same_mark = |now: Option<char>, last: Option<char>| {
            now == last && last.is_none_or(|char| !char.is_alphanumeric())
        };
        let at_begin = line.char_before(begin) == self.last_begin.before
            || same_mark(line.char_at(begin), self.last_begin.after);
        let at_end = line.char_at(end) == self.last_end.after
            || same_mark(line.char_before(end), self.last_end.before);
        at_begin && at_end
    }

    /// Tries all but the one that was tried; `best` is what to take where nothing better is found.
    fn search(&mut self, line: Line<'_>, tried: Option<usize>, best: Option<Hit>) -> Option<Hit> {
        let mut best = best;
        let whole = (0, line.text.len());
        for place in (0..self.order.len()).filter(|place| Some(*place) != tried) {
            let Some(hit) = self.matches(line, place, whole) else {
                continue;
            };
            if self.is_final(line, hit) {
                return Some(hit);
            }
            if best.is_none_or(|best| hit.begin < best.begin) {
                best = Some(hit);
            }
        }
        best
    }

    /// Whether a match is taken without looking at other templates.
    fn is_final(&self, line: Line<'_>, hit: Hit) -> bool {
        let Some(used) = self.order.get(hit.place) else {
            return false;
        };
        let Some(next) = self.order.get(hit.place + 1) else {
            return true;
        };
        let begin = line.chars_before(hit.begin);
        let anchored = self
            .template(hit.place)
            .is_some_and(|template| template.anchored);
        let known = begin == 0 && used.hits > 0 && !next.matched;
        anchored || known || (begin <= used.distance && begin <= self.last_begin.at)
    }

    /// The date that the match in `groups` says.
    fn date(&self, line: Line<'_>, hit: Hit, now: Timestamp) -> Option<DateMatch> {
        let (start, end) = self.groups.span(1).unwrap_or((hit.begin, hit.begin));
        let at = if start == end {
            // A pattern for nothing: the line has no date, and happened now.
            Some(now)
        } else {
            let template = self.template(hit.place)?;
            template.time(line.text, &self.groups, &self.zone, now)
        };
        Some(DateMatch { at, start, end })
    }

    fn learn(&mut self, line: Line<'_>, hit: Hit, now: Timestamp) {
        if let Some(used) = self.order.get_mut(hit.place) {
            used.hits = used.hits.saturating_add(1);
            used.last_used = now;
            used.distance = line.chars_before(hit.begin);
        }
        if self.first_unused == hit.place {
            self.first_unused += 1;
        }
        self.last_begin = line.edge(hit.begin);
        self.last_end = line.edge(hit.end);
        let place = if hit.place > 0 && self.last != Some(hit.place) {
            self.move_up(hit.place)
        } else {
            hit.place
        };
        self.last = Some(place);
    }

    /// Moves a template towards the front if it outweighs who stands there; says where it is then.
    fn move_up(&mut self, place: usize) -> usize {
        let far = if self.first_unused < place {
            self.first_unused
        } else {
            place / 2
        };
        let to = [far, place - 1]
            .into_iter()
            .find(|to| self.outweighs(place, *to));
        let Some(to) = to else {
            return place;
        };
        let used = self.order.remove(place);
        self.order.insert(to, used);
        let unused = self.order.iter().skip(self.first_unused);
        self.first_unused += unused.take_while(|used| used.hits > 0).count();
        to
    }

    fn outweighs(&self, place: usize, other: usize) -> bool {
        let (Some(own), Some(other)) = (self.order.get(place), self.order.get(other)) else {
            return false;
        };
        self.weight(own) > self.weight(other)
            || own.last_used.saturating_sub(UNUSED_MAX) > other.last_used
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "weights are compared, not counted"
    )]
    fn weight(&self, used: &Use) -> f64 {
        let weight = self
            .templates
            .list
            .get(used.template)
            .map_or(1.0, |template| template.weight);
        f64::from(used.hits) * weight / used.distance.clamp(1, 0x7fff_ffff) as f64
    }
}

fn year(zone: &TimeZone, at: Timestamp) -> i16 {
    let at = jiff::Timestamp::from_microsecond(at.as_micros());
    at.map_or(0, |at| zone.to_datetime(at).year())
}

/// What became of the template that matched last.
enum Again {
    Found(Hit),
    /// It matches, but at another place than before.
    Elsewhere(Hit),
    Missing,
}
