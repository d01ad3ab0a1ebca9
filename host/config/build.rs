//! Lists the stock filters and jails of `config/`, so that whoever adds one adds its files and nothing
//! else.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let shipped = here.join("../../config").canonicalize()?;
    let listed = [
        list("FILTERS", &shipped.join("filters"))?,
        list("JAILS", &shipped.join("jails"))?,
    ];
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("stock.rs"), listed.concat())?;
    Ok(())
}

/// A constant with the name and the text of each TOML file in `folder`, sorted by name.
fn list(constant: &str, folder: &Path) -> Result<String, Box<dyn Error>> {
    rerun_if_changed(folder);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let name = path.file_stem().and_then(|stem| stem.to_str());
            let name = name.ok_or_else(|| format!("{} is not UTF-8", path.display()))?;
            names.push(name.to_owned());
        }
    }
    names.sort();
    let mut code = format!("pub(crate) const {constant}: &[(&str, &str)] = &[\n");
    for name in names {
        let path = folder.join(format!("{name}.toml"));
        writeln!(code, "    ({name:?}, include_str!({path:?})),")?;
    }
    code.push_str("];\n");
    Ok(code)
}

/// A folder changes when a file in it comes, goes or is written.
fn rerun_if_changed(folder: &Path) {
    println!("cargo::rerun-if-changed={}", folder.display());
}
