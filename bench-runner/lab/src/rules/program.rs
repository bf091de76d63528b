//! Programs that load and list rules: fed with text, quoted when they refuse it.

use std::env;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::error::LabErrorKind;

/// Where Debian keeps programs that an ordinary user's `PATH` leaves out.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Runs `program` in the caller's network namespace with `input` as its standard input, and returns what it
/// printed.
pub(super) fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, LabErrorKind> {
    // A file in memory, not a pipe: nothing can block on anything, however long the input is.
    let mut file = File::from(memfd_create(c"rules", MFdFlags::MFD_CLOEXEC)?);
    file.write_all(input.as_bytes())?;
    file.rewind()?;
    let output = Command::new(find(program)?)
        .args(arguments)
        .stdin(Stdio::from(file))
        .output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = explain(&String::from_utf8_lossy(&output.stderr), input);
    Err(LabErrorKind::Program {
        program: program.to_owned(),
        said: format!("failed ({}): {said}", output.status),
    })
}

/// Finds a program where `PATH` says, else where the system keeps it.
fn find(program: &str) -> Result<PathBuf, LabErrorKind> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(SYSTEM_DIRECTORIES.map(PathBuf::from));
    let mut places = directories.map(|directory| directory.join(program));
    places.find(|place| place.is_file()).ok_or_else(|| {
        let package = if program == "nft" {
            "nftables"
        } else {
            "iptables"
        };
        LabErrorKind::Program {
            program: program.to_owned(),
            said: format!("is not installed; install the package `{package}`"),
        }
    })
}

/// Returns the first line of what a program said, and the line of its input that it names.
fn explain(said: &str, input: &str) -> String {
    // `iptables-nft-restore` leaves the rest of its first line empty.
    let first = said
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.ends_with(':'));
    let first = first.unwrap_or("it does not say why");
    match line_number(said).and_then(|number| Some((number, input.lines().nth(number - 1)?))) {
        Some((number, line)) => format!("{first} (line {number}: `{line}`)"),
        None => first.to_owned(),
    }
}

/// Finds the number in `line 5 failed`, `line: 5` or `/dev/stdin:5:9-12: Error`.
fn line_number(said: &str) -> Option<usize> {
    ["line: ", "line ", "/dev/stdin:"]
        .into_iter()
        .find_map(|before| {
            let (_, after) = said.split_once(before)?;
            let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
            digits.parse().ok().filter(|number| *number > 0)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_quotes_the_line_that_it_names() {
        let input = "*nat\n:X - [0:0]\n-A X -j NONE\nCOMMIT\n";
        for (said, expected) in [
            (
                "iptables-restore v1.8.9 (legacy): Couldn't load target `NONE':No such file\n\n\
                 Error occurred at line: 3\nTry `iptables-restore -h'\n",
                "iptables-restore v1.8.9 (legacy): Couldn't load target `NONE':No such file \
                 (line 3: `-A X -j NONE`)",
            ),
            (
                "iptables-restore: line 4 failed\n",
                "iptables-restore: line 4 failed (line 4: `COMMIT`)",
            ),
            (
                "iptables-restore v1.8.9 (nf_tables): \nline 2: CHAIN_ADD failed (Busy): chain X\n",
                "line 2: CHAIN_ADD failed (Busy): chain X (line 2: `:X - [0:0]`)",
            ),
            (
                "/dev/stdin:1:1-4: Error: syntax error\n*nat\n^^^^\n",
                "/dev/stdin:1:1-4: Error: syntax error (line 1: `*nat`)",
            ),
            ("no line here\n", "no line here"),
            ("line 99 failed\n", "line 99 failed"),
            ("", "it does not say why"),
        ] {
            assert_eq!(explain(said, input), expected);
        }
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = run("ip6tables-nowhere", &[], "").unwrap_err().to_string();
        assert_eq!(
            error,
            "`ip6tables-nowhere` is not installed; install the package `iptables`"
        );
    }
}
