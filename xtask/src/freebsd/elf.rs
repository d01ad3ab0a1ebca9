//! Looks at a program: is it one of FreeBSD?

use std::fs;
use std::path::Path;

use object::LittleEndian;
use object::elf::{ELFOSABI_FREEBSD, EM_X86_64, FileHeader64, PT_NOTE};
use object::read::elf::{FileHeader, ProgramHeader};

use crate::Failure;

/// Who wrote the note by which FreeBSD's kernel knows its programs, and which of its notes that is
/// (`NT_FREEBSD_ABI_TAG`, sys/elf_common.h).
const NOTE: (&[u8], u32) = (b"FreeBSD", 1);

/// One line about the program at `path`; a failure where it is none for FreeBSD on x86-64.
pub(super) fn look_at(path: &Path) -> Result<String, Failure> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|cause| format!("cannot read '{shown}': {cause}"))?;
    let version = freebsd_version(&bytes)
        .map_err(|cause| format!("'{shown}' is not a program for FreeBSD: {cause}"))?;
    let mib = bytes.len().div_ceil(1024 * 1024);
    Ok(format!(
        "{shown}: ELF x86-64, FreeBSD {}.{}, {mib} MiB",
        version / 100_000,
        version / 1000 % 100
    ))
}

/// The version of FreeBSD that a program was linked for (`__FreeBSD_version`, such as 1400097).
///
/// It is in a note. Some linkers say FreeBSD in the header too, and then the header may not say another
/// system.
fn freebsd_version(bytes: &[u8]) -> Result<u32, String> {
    let said = |cause: object::read::Error| cause.to_string();
    let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(said)?;
    let endian = header.endian().map_err(said)?;
    if header.e_machine(endian) != EM_X86_64 {
        return Err("it is for another processor".to_owned());
    }
    if !matches!(header.e_ident().os_abi, 0 | ELFOSABI_FREEBSD) {
        return Err("its header names another system".to_owned());
    }
    for segment in header.program_headers(endian, bytes).map_err(said)? {
        if segment.p_type(endian) != PT_NOTE {
            continue;
        }
        let Some(mut notes) = segment.notes(endian, bytes).map_err(said)? else {
            continue;
        };
        while let Some(note) = notes.next().map_err(said)? {
            if (note.name(), note.n_type(endian)) == NOTE
                && let Some(version) = note.desc().first_chunk()
            {
                return Ok(u32::from_le_bytes(*version));
            }
        }
    }
    Err("it has no note of FreeBSD".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header for x86-64 with one segment, a note of `name`, type 1, that says 1400097.
    fn program(os_abi: u8, machine: u16, name: &[u8; 8]) -> Vec<u8> {
        let mut bytes = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, os_abi];
        bytes.extend([0; 8]);
        bytes.extend(3_u16.to_le_bytes());
        bytes.extend(machine.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        for word in [0_u64, 64, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(0_u32.to_le_bytes());
        for half in [64_u16, 56, 1, 64, 0, 0] {
            bytes.extend(half.to_le_bytes());
        }
        let note_len = 12 + 8 + 4;
        bytes.extend(PT_NOTE.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        for word in [120_u64, 0, 0, note_len, note_len, 4] {
            bytes.extend(word.to_le_bytes());
        }
        for word in [8_u32, 4, 1] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(name);
        bytes.extend(1_400_097_u32.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_of_freebsd_is_known_by_its_note() {
        for os_abi in [0, ELFOSABI_FREEBSD] {
            let bytes = program(os_abi, EM_X86_64, b"FreeBSD\0");
            assert_eq!(freebsd_version(&bytes), Ok(1_400_097));
        }
    }

    #[test]
    fn a_program_of_another_system_is_refused() {
        for (bytes, why) in [
            (program(0, EM_X86_64, b"NetBSD\0\0"), "no note of FreeBSD"),
            (program(3, EM_X86_64, b"FreeBSD\0"), "another system"),
            (program(0, 183, b"FreeBSD\0"), "another processor"),
        ] {
            let refused = freebsd_version(&bytes).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
        assert!(freebsd_version(b"#!/bin/sh\n").is_err());
        let own = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert!(freebsd_version(&own).is_err());
    }

    #[test]
    fn a_program_that_is_cut_off_is_refused_at_every_length() {
        let bytes = program(0, EM_X86_64, b"FreeBSD\0");
        for len in 0..bytes.len() {
            assert!(freebsd_version(&bytes[..len]).is_err(), "{len}");
        }
    }
}
