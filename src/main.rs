//! The command `exportbox`.

use std::process::ExitCode;

fn main() -> ExitCode {
    exportbox::cli::main()
}
