//! What the translation of a fail2ban configuration asks of this host and of our pattern engines.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use stockade_config::fail2ban::{
    ImportHost, PatternFault, PatternOf, ResolvedFilter, UseHostNames, Written,
};
use stockade_config::read_services;
use stockade_detect::{
    DatePattern, Dialect, Filter, FilterSource, HostNames, LogEncoding, PatternError, PatternPlace,
    minutes_east,
};

use crate::presence::ThisHost;

/// Where programs are looked for where the environment does not say it: what systemd gives a service.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

impl ImportHost for ThisHost {
    fn program(&self, name: &str) -> Option<String> {
        let path = env::var("PATH").unwrap_or_else(|_| PATH.to_owned());
        program_in(&path, name)
    }

    fn services(&self) -> String {
        read_services()
    }

    fn zone(&self, zone: &str) -> Option<i32> {
        minutes_east(zone)
    }

    fn encoding(&self, name: &str) -> Result<(), String> {
        let named = LogEncoding::named(name);
        named.map(drop).map_err(|error| error.to_string())
    }

    fn pattern_faults(&self, filter: &ResolvedFilter, usedns: UseHostNames) -> Vec<PatternFault> {
        let compiled = Filter::compile(&source(filter, usedns));
        compiled.err().into_iter().flatten().map(fault).collect()
    }
}

/// The first program of the name in the folders of a `PATH`.
fn program_in(path: &str, name: &str) -> Option<String> {
    let folders = path.split(':').filter(|folder| folder.starts_with('/'));
    let mut programs = folders.map(|folder| Path::new(folder).join(name));
    let is_program = |path: &Path| {
        let metadata = path.metadata();
        metadata.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    let found = programs.find(|path| is_program(path))?;
    found.to_str().map(str::to_owned)
}

/// A filter of fail2ban's as its translation will be compiled.
fn source(filter: &ResolvedFilter, usedns: UseHostNames) -> FilterSource {
    let texts = |list: &[Written]| list.iter().map(|it| it.as_str().to_owned()).collect();
    FilterSource {
        prefregex: filter.prefregex.as_ref().map(|it| it.as_str().to_owned()),
        failregex: texts(&filter.failregex),
        ignoreregex: texts(&filter.ignoreregex),
        datepattern: match filter.datepattern.as_deref() {
            None => DatePattern::Templates(vec!["{DEFAULT}".to_owned()]),
            Some([]) => DatePattern::None,
            Some(patterns) => DatePattern::Templates(texts(patterns)),
        },
        dialect: Dialect::Fail2ban,
        json: None,
        maxlines: filter.maxlines.as_ref().map_or(1, |lines| lines.value),
        host_names: match usedns {
            UseHostNames::No => HostNames::Refuse,
            UseHostNames::Yes | UseHostNames::Warn => HostNames::Resolve,
            UseHostNames::Raw => HostNames::Raw,
        },
        encoding: LogEncoding::Auto,
    }
}

fn fault(error: PatternError) -> PatternFault {
    PatternFault {
        pattern: match error.which {
            PatternPlace::Prefregex => PatternOf::Prefregex,
            PatternPlace::Failregex(at) => PatternOf::Failregex(at),
            PatternPlace::Ignoreregex(at) => PatternOf::Ignoreregex(at),
            PatternPlace::Datepattern(at) => PatternOf::Datepattern(at),
            // Only plugins and filters of fields have these.
            PatternPlace::PlanLiteral(_)
            | PatternPlace::PlanPattern(_)
            | PatternPlace::Field(_) => PatternOf::Failregex(0),
        },
        offset: error.offset,
        message: error.message,
        hint: error.hint,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_program_is_the_first_file_of_its_name_that_can_be_run() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = format!(
            "relative:{}:{}",
            first.path().display(),
            second.path().display()
        );
        fs::write(first.path().join("page"), "").unwrap();
        assert_eq!(program_in(&path, "page"), None);
        let runs = second.path().join("page");
        fs::write(&runs, "").unwrap();
        fs::set_permissions(&runs, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program_in(&path, "page").as_deref(), runs.to_str());
        fs::create_dir(first.path().join("folder")).unwrap();
        assert_eq!(program_in(&path, "folder"), None);
    }
}
