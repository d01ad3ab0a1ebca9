use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use super::*;
use crate::engine::engine;

struct Fixture {
    _root: tempfile::TempDir,
    path: PathBuf,
    engine: Engine,
    component: Vec<u8>,
}

impl Fixture {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("code");
        let component = wat::parse_str("(component)").unwrap();
        Self {
            _root: root,
            path,
            engine: engine().unwrap(),
            component,
        }
    }

    /// A cache that holds the component.
    fn filled(&self) -> CodeCache {
        let cache = CodeCache::open(&self.path).unwrap();
        let code = self.engine.precompile_component(&self.component).unwrap();
        cache
            .put(&self.engine, &self.component, &OwnCode::vouch(code))
            .unwrap();
        assert!(self.hit(&cache));
        cache
    }

    fn hit(&self, cache: &CodeCache) -> bool {
        cache.get(&self.engine, &self.component).is_some()
    }

    fn file(&self) -> PathBuf {
        self.path.join(file_name(&self.engine, &self.component))
    }
}

#[test]
fn what_was_put_is_found_after_a_restart_and_loads() {
    let it = Fixture::new();
    drop(it.filled());
    let code = CodeCache::open(&it.path)
        .unwrap()
        .get(&it.engine, &it.component)
        .unwrap();
    code.load(&it.engine).unwrap();
    assert_eq!(fs::metadata(&it.path).unwrap().mode() & 0o777, 0o700);
    assert_eq!(
        fs::metadata(it.path.join(KEY_FILE)).unwrap().mode() & 0o777,
        0o600
    );
}

#[test]
fn a_changed_byte_a_cut_and_a_foreign_file_are_misses() {
    let it = Fixture::new();
    let cache = it.filled();
    let good = fs::read(it.file()).unwrap();
    for place in [0, 40, good.len() - 1] {
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(it.file(), bad).unwrap();
        assert!(!it.hit(&cache), "byte {place}");
    }
    for length in [0, 31, good.len() - 1] {
        fs::write(it.file(), &good[..length]).unwrap();
        assert!(!it.hit(&cache), "length {length}");
    }
    fs::write(it.file(), &good).unwrap();
    assert!(it.hit(&cache));
}

#[test]
fn a_file_of_another_component_under_this_name_is_a_miss() {
    let it = Fixture::new();
    let cache = it.filled();
    let other = wat::parse_str("(component (core module))").unwrap();
    let code = OwnCode::vouch(it.engine.precompile_component(&other).unwrap());
    cache.put(&it.engine, &other, &code).unwrap();
    fs::copy(it.path.join(file_name(&it.engine, &other)), it.file()).unwrap();
    assert!(!it.hit(&cache));
}

#[test]
fn a_symlink_or_a_file_that_others_may_read_is_a_miss() {
    let it = Fixture::new();
    let cache = it.filled();
    fs::set_permissions(it.file(), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!it.hit(&cache));
    fs::set_permissions(it.file(), fs::Permissions::from_mode(0o600)).unwrap();
    assert!(it.hit(&cache));
    let elsewhere = it.path.join("elsewhere");
    fs::rename(it.file(), &elsewhere).unwrap();
    symlink(&elsewhere, it.file()).unwrap();
    assert!(!it.hit(&cache));
}

#[test]
fn a_directory_that_is_not_ours_alone_is_refused() {
    let it = Fixture::new();
    drop(it.filled());
    fs::set_permissions(&it.path, fs::Permissions::from_mode(0o750)).unwrap();
    let error = CodeCache::open(&it.path).unwrap_err();
    assert!(matches!(error, DirError::Mode { mode: 0o750 }), "{error}");
    let link = it.path.with_extension("link");
    symlink(&it.path, &link).unwrap();
    assert!(matches!(CodeCache::open(&link), Err(DirError::Io(_))));
}

#[test]
fn a_damaged_key_is_replaced_and_old_code_is_not_trusted() {
    let it = Fixture::new();
    drop(it.filled());
    fs::write(it.path.join(KEY_FILE), b"short").unwrap();
    let cache = CodeCache::open(&it.path).unwrap();
    assert!(!it.hit(&cache));
    drop(it.filled());
}

#[test]
fn old_files_are_removed_when_there_are_too_many() {
    let it = Fixture::new();
    let cache = it.filled();
    for index in 0..FILES_MAX + 5 {
        let file = it.path.join(format!("old{index}.cwasm"));
        File::create(&file)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH)
            .unwrap();
    }
    cache.prune().unwrap();
    assert!(it.hit(&cache));
    assert_eq!(fs::read_dir(&it.path).unwrap().count(), FILES_MAX + 1);
}
