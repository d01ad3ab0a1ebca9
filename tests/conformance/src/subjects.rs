//! Which filters have to have samples, and where they lie.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

/// A filter with samples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The configuration folder with `filter.d` in it.
    pub dir: PathBuf,
    /// The name of the filter and of its sample file.
    pub name: String,
}

/// All filters that have to have samples.
#[derive(Debug)]
pub struct Subjects {
    /// In the order of their names; those of the tests' own configuration last.
    pub list: Vec<Subject>,
    /// Where the tests' own configuration was laid out, if that was necessary.
    _staged: Option<TempDir>,
}

impl Subjects {
    /// The filters of the configuration folder `dir`, but for those that only others include; and
    /// those of the tests' own configuration, which lies beside the samples.
    ///
    /// # Errors
    /// Where a folder cannot be read.
    pub fn find(dir: &Path, samples: &Path) -> io::Result<Self> {
        let mut list = filters(dir, |name| !name.ends_with("common"))?;
        // Of tests/files/logs that is tests/config.
        let own = samples.ancestors().nth(2).map(|tests| tests.join("config"));
        let mut staged = None;
        if let Some(mut own) = own.filter(|own| own != dir && own.join("filter.d").is_dir()) {
            if !finds_its_includes(&own)? {
                let stage = TempDir::new()?;
                own = lay_out(&own, dir, stage.path())?;
                staged = Some(stage);
            }
            list.extend(filters(&own, is_own)?);
        }
        Ok(Self {
            list,
            _staged: staged,
        })
    }
}

fn is_own(name: &str) -> bool {
    name.starts_with("zzz-")
}

fn filters(dir: &Path, is_one: impl Fn(&str) -> bool) -> io::Result<Vec<Subject>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir.join("filter.d"))? {
        let file = entry?.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(".conf"));
        if let Some(name) = name.filter(|name| !name.starts_with('.') && is_one(name)) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let subject = |name| Subject {
        dir: dir.to_owned(),
        name,
    };
    Ok(names.into_iter().map(subject).collect())
}

/// How many folders the includes of `text` go up; 0 where they stay.
fn steps_up(text: &str) -> usize {
    let includes = text.lines().filter_map(|line| line.strip_prefix("before"));
    let paths = includes.filter_map(|rest| rest.trim_start().strip_prefix('='));
    let ups = paths.map(|path| {
        let parts = Path::new(path.trim()).components();
        parts
            .take_while(|part| *part == Component::ParentDir)
            .count()
    });
    ups.max().unwrap_or(0)
}

/// How far up the filters of the tests' own configuration reach for the stock one.
fn reach(own: &Path) -> io::Result<usize> {
    let mut reach = 0;
    for subject in filters(own, is_own)? {
        let file = own.join("filter.d").join(format!("{}.conf", subject.name));
        reach = reach.max(steps_up(&fs::read_to_string(file)?));
    }
    Ok(reach)
}

fn finds_its_includes(own: &Path) -> io::Result<bool> {
    let up = "../".repeat(reach(own)?);
    let common = own
        .join("filter.d")
        .join(up)
        .join("config/filter.d/common.conf");
    Ok(common.exists())
}

/// The tests' own filters include the stock ones by a relative path that holds in the folder where
/// they were built. Lays them out in `stage` so that it holds, and returns their folder.
fn lay_out(own: &Path, dir: &Path, stage: &Path) -> io::Result<PathBuf> {
    let stock = stage.join("config/filter.d");
    copy_files(&dir.join("filter.d"), &stock)?;
    // filter.d itself is one of the steps, the folder that it lies in another.
    let between = reach(own)?.saturating_sub(2);
    let copy = (0..between).fold(stage.to_owned(), |path, _| path.join("build"));
    let copy = copy.join("tests-config");
    copy_files(&own.join("filter.d"), &copy.join("filter.d"))?;
    Ok(copy)
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_reach_for_a_folder_of_the_build_are_laid_out_so_that_they_find_it() {
        let place = TempDir::new().unwrap();
        let write = |path: &str, text: &str| {
            let path = place.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("stock/filter.d/common.conf", "");
        write("stock/filter.d/one.conf", "");
        write("tests/files/logs/one", "");
        write(
            "tests/config/filter.d/zzz-own.conf",
            "[INCLUDES]\nbefore = ../../../../config/filter.d/common.conf\n",
        );
        write("tests/config/filter.d/simple.conf", "");
        let samples = place.path().join("tests/files/logs");
        let subjects = Subjects::find(&place.path().join("stock"), &samples).unwrap();
        let names: Vec<&str> = subjects.list.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["one", "zzz-own"]);
        let own = subjects.list[1].dir.join("filter.d");
        assert!(own.join("../../../../config/filter.d/common.conf").exists());
    }
}
