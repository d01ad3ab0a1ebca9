//! The settings reference of the book is what the code says.

use std::path::Path;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
const BEGIN: &str =
    "<!-- settings: UPDATE_EXPECT=1 cargo test -p stockade-config writes what follows -->\n";

#[test]
fn the_book_lists_the_settings_that_are_read() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (text, listed) = document.split_once(BEGIN).unwrap();
    let expected = format!("\n{}", stockade_config::settings_reference());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(Path::new(DOCUMENT), format!("{text}{BEGIN}{expected}")).unwrap();
    } else {
        assert_eq!(
            listed, expected,
            "run UPDATE_EXPECT=1 cargo test -p stockade-config"
        );
    }
}
