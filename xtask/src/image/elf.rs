//! Just enough of ELF to tell a static program from one that needs a loader.

/// Where the fields lie in a 64-bit little-endian file (ELF-64 Object File Format, version 1.5).
const MACHINE: usize = 18;
const PROGRAM_HEADERS: usize = 32;
const HEADER_SIZE: usize = 54;
const HEADER_COUNT: usize = 56;

/// A program header that names the loader.
const INTERPRETER: u32 = 3;

/// Returns the machine of a static program for Linux, in the words of OCI.
///
/// # Errors
///
/// Says why it is none.
pub(super) fn machine_of_static(bytes: &[u8]) -> Result<&'static str, String> {
    if bytes.get(..6) != Some(&[0x7f, b'E', b'L', b'F', 2, 1]) {
        return Err("it is not a 64-bit program for Linux".to_owned());
    }
    let machine = match half(bytes, MACHINE) {
        Some(62) => "amd64",
        Some(183) => "arm64",
        other => {
            return Err(format!(
                "machine {other:?} has no image; amd64 and arm64 have"
            ));
        }
    };
    if needs_loader(bytes).ok_or("it is cut off")? {
        return Err(
            "it is not static; build it with RUSTFLAGS='-C target-feature=+crt-static' cargo build --release \
             --target x86_64-unknown-linux-gnu -p tollgate-probes"
                .to_owned(),
        );
    }
    Ok(machine)
}

/// Returns whether a header names a loader; `None` where the headers aren't all there.
fn needs_loader(bytes: &[u8]) -> Option<bool> {
    let start: [u8; 8] = bytes
        .get(PROGRAM_HEADERS..PROGRAM_HEADERS + 8)?
        .try_into()
        .ok()?;
    let start = usize::try_from(u64::from_le_bytes(start)).ok()?;
    let size = usize::from(half(bytes, HEADER_SIZE)?);
    for index in 0..usize::from(half(bytes, HEADER_COUNT)?) {
        let at = start.checked_add(index.checked_mul(size)?)?;
        let kind: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        if u32::from_le_bytes(kind) == INTERPRETER {
            return Some(true);
        }
    }
    Some(false)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_le_bytes(bytes))
}
