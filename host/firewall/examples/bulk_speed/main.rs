//! How fast many bans come into the firewall, by each backend, against the tools' own bulk loading and
//! against fail2ban: `cargo xtask bench firewall`. Prints a table of Markdown.
//!
//! Changes the firewall of the network namespace that it runs in, so it refuses to run in one that has
//! interfaces: `unshare -n target/release/examples/bulk_speed`.

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod others;
#[cfg(target_os = "linux")]
mod ours;

#[cfg(target_os = "linux")]
fn main() -> Outcome<()> {
    refuse_outside_of_a_namespace()?;
    let quick = std::env::args().any(|argument| argument == "--quick");
    let sizes: &[u32] = if quick {
        &[1, 100, 10_000]
    } else {
        &[1, 100, 10_000, 100_000]
    };
    let mut rows = Vec::new();
    for (name, backend) in ours::backends() {
        tell(&format!("measuring {name}"));
        rows.extend(ours::rows(name, &backend, sizes));
    }
    tell("measuring nft -f and ipset restore");
    rows.push(Row::of("`nft -f` of a prepared file", sizes, others::nft));
    rows.push(Row::of(
        "`ipset restore` of a prepared file",
        sizes,
        others::ipset,
    ));
    print(&table(&rows, sizes));
    tell("measuring fail2ban");
    print(&match others::fail2ban() {
        Ok(told) => format!("\n{told}\n"),
        Err(why) => format!("\nfail2ban was not measured: {why}\n"),
    });
    Ok(())
}

#[cfg(target_os = "linux")]
type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What is measured, for each number of bans.
#[cfg(target_os = "linux")]
struct Row {
    what: String,
    /// Seconds, or why there are none.
    cells: Vec<Result<f64, String>>,
}

#[cfg(target_os = "linux")]
impl Row {
    fn of(what: &str, sizes: &[u32], measure: impl Fn(u32) -> Outcome<f64>) -> Self {
        let cell = |size: &u32| measure(*size).map_err(|why| why.to_string());
        Self {
            what: what.to_owned(),
            cells: sizes.iter().map(cell).collect(),
        }
    }
}

#[cfg(target_os = "linux")]
fn table(rows: &[Row], sizes: &[u32]) -> String {
    let mut text = String::from("| milliseconds, for so many bans at once |");
    text.extend(sizes.iter().map(|size| format!(" {size} |")));
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(sizes.len()));
    text.push('\n');
    let mut missing = Vec::new();
    for row in rows {
        text.push_str(&format!("| {} |", row.what));
        for cell in &row.cells {
            match cell {
                Ok(seconds) => text.push_str(&format!(" {} |", milliseconds(*seconds))),
                Err(why) => {
                    text.push_str(" – |");
                    missing.push(format!("- {}: {why}\n", row.what));
                }
            }
        }
        text.push('\n');
    }
    missing.dedup();
    if !missing.is_empty() {
        text.push_str("\nnot measured:\n");
        text.extend(missing);
    }
    text
}

/// With two digits that matter.
#[cfg(target_os = "linux")]
fn milliseconds(seconds: f64) -> String {
    let ms = seconds * 1000.0;
    match ms {
        10.0.. => format!("{ms:.0}"),
        1.0.. => format!("{ms:.1}"),
        _ => format!("{ms:.2}"),
    }
}

/// A namespace made for this has no interface but `lo`; a machine to protect has others.
#[cfg(target_os = "linux")]
fn refuse_outside_of_a_namespace() -> Outcome<()> {
    let interfaces = std::fs::read_to_string("/proc/self/net/dev")?;
    let names = interfaces.lines().filter_map(|line| line.split_once(':'));
    if names.map(|(name, _)| name.trim()).eq(["lo"]) {
        Ok(())
    } else {
        Err("this would change the firewall of the machine: run it by `unshare -n`".into())
    }
}

#[cfg(target_os = "linux")]
fn now() -> std::time::Instant {
    #[expect(clippy::disallowed_methods, reason = "a clock is what this is about")]
    std::time::Instant::now()
}

#[cfg(target_os = "linux")]
#[expect(clippy::print_stdout, reason = "the table is what this is for")]
fn print(text: &str) {
    println!("{text}");
}

#[cfg(target_os = "linux")]
#[expect(clippy::print_stderr, reason = "it takes a while")]
fn tell(text: &str) {
    eprintln!("{text}");
}
