//! A filter as it stands in a configuration.

use crate::encoding::LogEncoding;

/// A filter as it stands in a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FilterSource {
    /// What every line has to match; `<F-CONTENT>` in it is what the other patterns get to see.
    pub prefregex: Option<String>,
    /// What a failure looks like; the first that matches wins.
    pub failregex: Vec<String>,
    /// What is no failure even though a failregex matches.
    pub ignoreregex: Vec<String>,
    /// Where the time of a line is looked for.
    pub datepattern: DatePattern,
    /// Who reads the patterns.
    pub dialect: Dialect,
    /// How many lines a pattern gets to see at once, the last ones of the log; at least 1, and more
    /// only in [`Dialect::Fail2ban`].
    pub maxlines: u32,
    /// What a host name counts for where an address could stand.
    pub host_names: HostNames,
    /// How the bytes of a line become text; [`Dialect::Native`] matches the bytes themselves.
    pub encoding: LogEncoding,
    /// For a log whose entries are JSON objects: what is asked of their fields, instead of
    /// `failregex` and `ignoreregex`. `prefregex` is about what stands before the object; its content
    /// is the object.
    pub json: Option<JsonFields>,
}

/// What the fields of a JSON object mean. A field is named by a path such as `request.remote_ip`, in
/// which a number is a place in an array and `\.` a dot in a name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct JsonFields {
    /// The address: the first of these fields that is there. Alternatives with a pattern that names
    /// an id do without.
    pub id: Vec<String>,
    /// The user.
    pub user: Option<String>,
    /// When the entry was written.
    pub time: Option<String>,
    /// What a failure is: all conditions of one of these; the first counts.
    pub failure: Vec<Vec<Condition>>,
    /// What is none even though it seems to be.
    pub ignore: Vec<Vec<Condition>>,
}

/// What is asked of one field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Condition {
    /// The path of the field.
    pub field: String,
    /// One of these must be so.
    pub any: Vec<Expected>,
}

/// What a field may hold. The text of a number, of `true` and `false` is how they are written; `null`,
/// objects and arrays have none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Expected {
    /// This text.
    Text(String),
    /// This number, written in plain digits, as a number or in quotes.
    Number(i64),
    /// A number from the first to the second, both included, or such a number in quotes.
    Between(i64, i64),
    /// `true` or `false`.
    Boolean(bool),
    /// A text that this pattern `^…$` matches as a whole.
    Pattern(String),
}

impl Default for FilterSource {
    fn default() -> Self {
        Self {
            prefregex: None,
            failregex: Vec::new(),
            ignoreregex: Vec::new(),
            datepattern: DatePattern::default(),
            dialect: Dialect::default(),
            maxlines: 1,
            host_names: HostNames::default(),
            encoding: LogEncoding::default(),
            json: None,
        }
    }
}

/// Who reads the patterns of a filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Ours: on bytes, in linear time, and a line that can be read in two ways is noticed.
    #[default]
    Native,
    /// fail2ban's: what its patterns mean to Python, and its way to judge a line, sessions included.
    Fail2ban,
}

/// Where the time of a line is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DatePattern {
    /// The usual formats, found by themselves and cut out of the line.
    #[default]
    Default,
    /// Nowhere: the line has no date, stays whole, and happened when it was read.
    None,
    /// Where one of these says, in fail2ban's language; `{DEFAULT}` is the whole of its own list.
    Templates(Vec<String>),
}

/// What a host name counts for where an address could stand; fail2ban's `usedns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum HostNames {
    /// For nothing: `<HOST>` matches addresses only. fail2ban's `no`.
    #[default]
    Refuse,
    /// For the addresses it has; whoever gets the failure looks them up. fail2ban's `yes` and `warn`.
    Resolve,
    /// For itself, as a text. fail2ban's `raw`.
    Raw,
}
