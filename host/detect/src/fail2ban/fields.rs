//! What the groups of a match are called, and what a line says by them.

use std::borrow::Cow;

use super::expression::{Expression, Groups};

/// Places in [`Fields`] of the names that judging knows.
pub(super) const FID: usize = 0;
pub(super) const IP4: usize = 1;
pub(super) const IP6: usize = 2;
pub(super) const DNS: usize = 3;
pub(super) const CIDR: usize = 4;
pub(super) const USER: usize = 5;
pub(super) const SESSION: usize = 6;
pub(super) const NOFAIL: usize = 7;
pub(super) const FORGET: usize = 8;
pub(super) const GAINED: usize = 9;
pub(super) const CONTENT: usize = 10;

const KNOWN: [&str; 11] = [
    "fid",
    "ip4",
    "ip6",
    "dns",
    "cidr",
    "user",
    "mlfid",
    "nofail",
    "mlfforget",
    "mlfgained",
    "content",
];

/// The names of all groups of a filter; those that judging knows come first.
#[derive(Debug)]
pub(super) struct Names(Vec<String>);

impl Names {
    pub(super) fn new() -> Self {
        Self(KNOWN.map(str::to_owned).to_vec())
    }

    /// The place of `name`, a new one where it has none.
    fn place(&mut self, name: &str) -> usize {
        if let Some(place) = self.0.iter().position(|own| own == name) {
            return place;
        }
        self.0.push(name.to_owned());
        self.0.len() - 1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Fields without a value.
    pub(super) fn fields<'t>(&self) -> Fields<'t> {
        Fields(vec![None; self.0.len()])
    }
}

/// What a line says, by the place of the name.
#[derive(Clone, Debug)]
pub(super) struct Fields<'t>(Vec<Option<Cow<'t, str>>>);

impl<'t> Fields<'t> {
    pub(super) fn get(&self, place: usize) -> Option<&str> {
        self.0.get(place)?.as_deref()
    }

    /// Whether there is a value that Python holds for true.
    pub(super) fn has(&self, place: usize) -> bool {
        self.get(place).is_some_and(|text| !text.is_empty())
    }

    pub(super) fn take(&mut self, place: usize) -> Option<Cow<'t, str>> {
        self.0.get_mut(place)?.take()
    }

    pub(super) fn set(&mut self, place: usize, value: Option<Cow<'t, str>>) {
        if let Some(field) = self.0.get_mut(place) {
            *field = value;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.iter().map(Option::as_deref)
    }

    /// Takes what `before` says of that of which nothing is said yet: a group that took no part leaves
    /// what the prefregex found. fail2ban before 1.1.1 forgot that then.
    pub(super) fn complete(&mut self, before: &Fields<'t>) {
        for (own, before) in self.0.iter_mut().zip(&before.0) {
            if own.is_none() {
                own.clone_from(before);
            }
        }
    }
}

/// How the groups of one expression become fields.
#[derive(Debug)]
pub(super) struct Naming {
    plain: Vec<Named>,
    /// `<F-ALT_X>`: they stand in for `<F-X>` where that is empty, in the order of their names.
    alternatives: Vec<Named>,
    /// `<F-TUPLE_X>`: they are added to `<F-X>`, in the order of their names.
    parts: Vec<Named>,
    /// The groups that hold an address or what is said to be an id, in the order in which
    /// [`super::identity::identify`] prefers them.
    pub(super) ids: Vec<usize>,
    /// The groups of `<SKIPLINES>`.
    pub(super) skipped: Vec<usize>,
}

#[derive(Debug)]
struct Named {
    group: usize,
    place: usize,
}

impl Naming {
    pub(super) fn new(expression: &Expression, names: &mut Names) -> Self {
        let mut naming = Self {
            plain: Vec::new(),
            alternatives: Vec::new(),
            parts: Vec::new(),
            ids: Vec::new(),
            skipped: Vec::new(),
        };
        let mut groups: Vec<_> = expression.names().collect();
        groups.sort_unstable();
        for &(name, group) in &groups {
            let place = names.place(name);
            naming.plain.push(Named { group, place });
            for (prefix, list) in [
                ("alt_", &mut naming.alternatives),
                ("tuple_", &mut naming.parts),
            ] {
                if let Some(target) = name.strip_prefix(prefix) {
                    let place = names.place(target_name(target));
                    list.push(Named { group, place });
                }
            }
        }
        let of = |place| naming.plain.iter().find(move |named| named.place == place);
        let ids = [FID, IP4, IP6].into_iter().filter_map(of);
        naming.ids = ids.map(|named| named.group).collect();
        let number = |i: usize| expression.group(&format!("skiplines{i}"));
        naming.skipped = (0..).map_while(number).collect();
        naming
    }

    /// Whether the expression says whom a line is about.
    pub(super) fn names_somebody(&self) -> bool {
        let ids = [FID, IP4, IP6, DNS, SESSION];
        self.plain.iter().any(|named| ids.contains(&named.place))
    }

    /// Whether the expression has a group for host names.
    pub(super) fn names_a_host(&self) -> bool {
        let mut all = self.plain.iter().chain(&self.alternatives);
        all.any(|named| named.place == DNS)
    }

    /// What a match in `text` holds.
    pub(super) fn read<'t>(&self, text: &'t str, groups: &Groups, names: &Names) -> Fields<'t> {
        let value = |group| {
            let (start, end) = groups.span(group)?;
            text.get(start..end)
        };
        let mut fields = names.fields();
        for named in &self.plain {
            fields.set(named.place, value(named.group).map(Cow::Borrowed));
        }
        for named in &self.alternatives {
            let text = value(named.group).filter(|text| !text.is_empty());
            if text.is_some() && !fields.has(named.place) {
                fields.set(named.place, text.map(Cow::Borrowed));
            }
        }
        for named in &self.parts {
            let part = value(named.group).unwrap_or_default();
            let all = match fields.take(named.place) {
                Some(before) => Cow::Owned(format!("{before}, {part}")),
                None => Cow::Borrowed(part),
            };
            fields.set(named.place, Some(all));
        }
        fields
    }

    /// Where the group that is called by its place's own name stands.
    pub(super) fn span(&self, place: usize, groups: &Groups) -> Option<(usize, usize)> {
        let named = self.plain.iter().find(|named| named.place == place)?;
        groups.span(named.group)
    }

    /// Where the text stands that names somebody, if the expression itself has one.
    pub(super) fn id_span(&self, groups: &Groups) -> Option<(usize, usize)> {
        let mut places = [FID, IP4, IP6, DNS].into_iter();
        places.find_map(|place| self.span(place, groups))
    }

    /// Where the user stands.
    pub(super) fn user(&self, groups: &Groups) -> Option<(usize, usize)> {
        let all = self.plain.iter().chain(&self.alternatives);
        all.filter(|named| named.place == USER)
            .filter_map(|named| groups.span(named.group))
            .find(|(start, end)| start < end)
    }
}

/// What `user_1` in `alt_user_1` stands in for.
fn target_name(name: &str) -> &str {
    let numbered = name.rsplit_once('_').filter(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    match numbered.map_or(name, |(name, _)| name) {
        "id" => "fid",
        "port" => "fport",
        name => name,
    }
}
