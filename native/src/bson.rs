//! The bytes of BSON elements.

use crate::scan::{Sure, Unsure};

pub const DOUBLE: u8 = 0x01;
pub const STRING: u8 = 0x02;
pub const DOCUMENT: u8 = 0x03;
pub const ARRAY: u8 = 0x04;
pub const BOOLEAN: u8 = 0x08;
pub const DATE: u8 = 0x09;
pub const NULL: u8 = 0x0A;
pub const INT32: u8 = 0x10;
pub const INT64: u8 = 0x12;
pub const DECIMAL128: u8 = 0x13;

/// A length that is not known yet; gives its place.
#[inline(always)]
pub fn open(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len() - 4
}

/// End a document or an array that was opened at `start`.
#[inline(always)]
pub fn close(out: &mut Vec<u8>, start: usize) -> Sure<()> {
    out.push(0);
    let size = out.len() - start;
    set_length(out, start, size)
}

/// A string's length, its bytes and the zero.
#[inline(always)]
pub fn string(out: &mut Vec<u8>, raw: &[u8]) -> Sure<()> {
    let size = i32::try_from(raw.len() + 1).map_err(|_| Unsure)?;
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(raw);
    out.push(0);
    Ok(())
}

#[inline(always)]
pub fn set_length(out: &mut [u8], start: usize, size: usize) -> Sure<()> {
    let size = i32::try_from(size).map_err(|_| Unsure)?;
    out[start..start + 4].copy_from_slice(&size.to_le_bytes());
    Ok(())
}

/// An integer after its head, whose type byte is at `kind`: int32 when it fits, else int64.
#[inline(always)]
pub fn integer(out: &mut Vec<u8>, kind: usize, value: i64) {
    if let Ok(short) = i32::try_from(value) {
        out[kind] = INT32;
        out.extend_from_slice(&short.to_le_bytes());
    } else {
        out[kind] = INT64;
        out.extend_from_slice(&value.to_le_bytes());
    }
}

/// An array's index as a name, with its zero.
#[inline(always)]
pub fn index(out: &mut Vec<u8>, index: usize) {
    let mut digits = [0_u8; 21];
    let mut at = digits.len() - 1;
    let mut rest = index;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
