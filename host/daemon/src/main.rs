//! The stockade daemon and its command line.

mod cli;
mod clock;
mod import_host;
mod log;
mod presence;
mod run;
mod setup;
mod ssh;

fn main() -> std::process::ExitCode {
    cli::main()
}
