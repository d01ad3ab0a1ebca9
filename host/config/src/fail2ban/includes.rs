//! Which files make up a configuration, and in which order: `.conf`, `.d`, `.local`, `[INCLUDES]`.

use std::collections::BTreeMap;

use super::fault::Fault;
use super::ini::{DEFAULT, IniFile};
use super::interpolate::Scope;
use super::merged::{INCLUDES, Merged, Options};
use super::written::Written;
use crate::diagnostic::quoted;
use crate::source::FileIndex;

/// How deep files may include each other. Stock files need three.
const DEPTH_MAX: usize = 16;

/// How many files one configuration may be read from, a file that is included twice counted twice:
/// files that include two others each would double their number with every level.
const FILES_MAX: usize = 1_000;

/// The files that were read, by path.
pub(crate) type Files = BTreeMap<String, (FileIndex, IniFile)>;

/// A path that a file includes.
pub(crate) struct Include {
    /// Without `.` and `..`.
    pub(crate) path: String,
    /// As it is written.
    written: Written,
    /// Whether it goes on top of the file that includes it.
    after: bool,
}

/// The files that `file`, which lies at `path`, includes.
pub(crate) fn includes_of(path: &str, file: &IniFile) -> Result<Vec<Include>, Fault> {
    // Only what the file itself says counts here: what it includes is not known yet.
    let mut alone = Merged::default();
    let concerned = |name: &str| name == DEFAULT || name == INCLUDES;
    let sections = file.sections.iter().filter(|it| concerned(&it.name));
    alone.lay_over(&IniFile {
        sections: sections.cloned().collect(),
        faults: Vec::new(),
    });
    let none = Options::new();
    let scope = Scope {
        merged: &alone,
        section: INCLUDES,
        given: &none,
        over: &none,
    };
    let mut includes = Vec::new();
    if alone.own(INCLUDES).is_none() {
        return Ok(includes);
    }
    for (option, after) in [("before", false), ("after", true)] {
        let Some(value) = scope.get(option)? else {
            continue;
        };
        for written in value.lines().filter(|line| !line.as_str().is_empty()) {
            includes.push(Include {
                path: beside(path, written.as_str()),
                written,
                after,
            });
        }
    }
    Ok(includes)
}

/// The files of a configuration in the order in which they are laid over each other, and what is
/// wrong with their includes.
pub(crate) struct Order<'f> {
    files: &'f Files,
    pub(crate) found: Vec<&'f IniFile>,
    pub(crate) faults: Vec<Fault>,
    /// The files that are being read, outermost first.
    open: Vec<String>,
}

impl<'f> Order<'f> {
    /// The order for `stem`, the path of the configuration without its ending.
    pub(crate) fn of(files: &'f Files, stem: &str) -> Self {
        let mut order = Self {
            files,
            found: Vec::new(),
            faults: Vec::new(),
            open: Vec::new(),
        };
        let roots = roots(files, stem);
        for root in &roots {
            order.take(root);
            let local = local_of(root);
            if !roots.contains(&local) {
                order.take(&local);
            }
        }
        order
    }

    /// Takes a file with all that it includes; one that is not there is nothing.
    fn take(&mut self, path: &str) {
        let Some((_, file)) = self.files.get(path) else {
            return;
        };
        let includes = includes_of(path, file).unwrap_or_else(|fault| {
            self.faults.push(fault);
            Vec::new()
        });
        self.open.push(path.to_owned());
        for include in includes.iter().filter(|include| !include.after) {
            self.include(include);
        }
        if self.found.len() < FILES_MAX {
            self.found.push(file);
        }
        for include in includes.iter().filter(|include| include.after) {
            self.include(include);
        }
        self.open.pop();
    }

    fn include(&mut self, include: &Include) {
        let origin = include.written.origin();
        if self.found.len() >= FILES_MAX {
            let message = format!("more than {FILES_MAX} files are included here");
            return self.faults.push(Fault::error(origin, message));
        }
        if self.open.contains(&include.path) {
            let message = format!(
                "the file {} includes itself, directly or by another",
                quoted(&include.path)
            );
            return self.faults.push(Fault::error(origin, message));
        }
        if self.open.len() >= DEPTH_MAX {
            let message = format!("files include each other more than {DEPTH_MAX} deep");
            return self.faults.push(Fault::error(origin, message));
        }
        // A local file may always be absent: stock files include those that an operator may write.
        let optional = include.path.ends_with(".local");
        if !optional && !self.files.contains_key(&include.path) {
            let message = format!("the file {} is not there", quoted(&include.path));
            let fault = Fault::warning(origin, message);
            self.faults
                .push(fault.hint("fail2ban goes on without it, and so does this"));
        }
        self.take(&include.path);
        let local = local_of(&include.path);
        if local != include.path {
            self.take(&local);
        }
    }
}

/// The files that a configuration begins with, in order: `X.conf`, `X.d/*.conf`, `X.local` and
/// `X.d/*.local`.
fn roots(files: &Files, stem: &str) -> Vec<String> {
    let folder = format!("{stem}.d/");
    let inside = |ending: &str| {
        let paths = files.range(folder.clone()..).map(|(path, _)| path);
        paths
            .take_while(|path| path.starts_with(&folder))
            .filter(|path| is_visible_in(path, &folder) && path.ends_with(ending))
            .cloned()
            .collect::<Vec<_>>()
    };
    let mut roots = vec![format!("{stem}.conf")];
    roots.extend(inside(".conf"));
    roots.push(format!("{stem}.local"));
    roots.extend(inside(".local"));
    roots.retain(|path| files.contains_key(path));
    roots
}

/// Whether `path` lies directly in `folder` and is not hidden, as a shell's `*` takes it.
fn is_visible_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|name| !name.contains('/') && !name.starts_with('.'))
}

/// The file that an operator may lay over the one at `path`.
pub(crate) fn local_of(path: &str) -> String {
    let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
    let name = path.get(name_start..).unwrap_or_default();
    // A name that begins with its only dot has no ending.
    let stem = match name.rfind('.') {
        Some(dot) if dot > 0 => path.get(..name_start + dot).unwrap_or(path),
        _ => path,
    };
    format!("{stem}.local")
}

/// `name`, which a file at `path` names, as a path of its own, without `.` and `..`.
fn beside(path: &str, name: &str) -> String {
    if name.starts_with('/') {
        return without_dots(name);
    }
    let folder = path
        .rfind('/')
        .map_or("", |slash| path.get(..=slash).unwrap_or_default());
    without_dots(&format!("{folder}{name}"))
}

/// `path` without `.` and without `..`, as it is written: links are not followed.
pub(crate) fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // Above the root is the root.
            ".." if path.starts_with('/') => {}
            _ => parts.push(part),
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", parts.join("/"))
}
