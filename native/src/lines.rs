//! Lines to documents, end to end. A line is whole or not there: where anything in it is not sure, nothing of it stays.

use blake2::digest::consts::U8;
use blake2::{Blake2b, Digest};
use memchr::memchr;

use crate::bson;
use crate::entry::{Part, Sink, Writer};
use crate::scan::{Cursor, Sure, Unsure};
use crate::schema::Schema;

/// Bytes of documents in one call. More is a line whose entries repeat a large field of the wrapper: the reference makes
/// them, which runs out of memory with an exception, where an allocation that fails here would end the process.
const OUT_LIMIT: usize = 256 << 20;

const ID: &[u8] = b"\x07_id\0";
const ID_SIZE: usize = 12;
/// Bytes of the prefix of a position; the other five are the place.
const PREFIX_SIZE: usize = 7;
const PLACE_LIMIT: u64 = 1 << 40;

/// Lines that the reference must look at, `start..end` of the data, and how many documents come before theirs.
pub type Left = (usize, usize, usize);

/// The block numbers of lines that none of the unsure ones stands between: how many unsure stretches come before, the first
/// number, the highest, and what is missing between (`tailrace.model.Blocks`).
pub type Stretch = (usize, i64, i64, Vec<(i64, i64)>);

/// What became of a chunk, and the buffers it was made in, which are used again.
#[derive(Default)]
pub struct Made {
    pub sink: Sink,
    /// After each document, in the output.
    pub ends: Vec<u32>,
    /// Of each document, with content identity: its line's offset, and its index there.
    pub places: Vec<(u64, usize)>,
    pub unsure: Vec<Left>,
    pub stretches: Vec<Stretch>,
    /// The block number of the line at hand.
    pub number: i64,
    pub lines: usize,
    /// Sum of the crc32 of each document, with position identity.
    pub checksum: u64,
    /// The elements that the entries of the line at hand share.
    pub block: Vec<u8>,
    /// The wrapper's unknown fields among them.
    pub carried: Vec<u8>,
}

impl Made {
    pub fn clear(&mut self) {
        self.sink.out.clear();
        self.ends.clear();
        self.places.clear();
        self.unsure.clear();
        self.stretches.clear();
        self.lines = 0;
        self.checksum = 0;
    }

    /// Bytes of memory that the buffers hold on to, nearly.
    pub fn held(&self) -> usize {
        let (sink, bytes) = (&self.sink, self.sink.out.capacity() + self.block.capacity() + self.carried.capacity());
        bytes + sink.names.capacity() * size_of::<(usize, usize)>() + self.ends.capacity() * size_of::<u32>()
    }

    /// The number of a wrapped line that is done.
    #[inline(always)]
    fn count_block(&mut self) {
        let number = self.number;
        match self.stretches.last_mut() {
            Some((before, _, last, gaps)) if *before == self.unsure.len() => {
                if number > *last {
                    if number - 1 > *last {
                        gaps.push((*last + 1, number - 1));
                    }
                    *last = number;
                }
            }
            _ => self.stretches.push((self.unsure.len(), number, number, Vec::new())),
        }
    }

    /// Every line is left to the reference.
    pub fn leave_all(&mut self, data: &[u8]) {
        self.clear();
        self.lines =
            memchr::memchr_iter(b'\n', data).count() + (data.last().is_some_and(|&last| last != b'\n')) as usize;
        if !data.is_empty() {
            self.unsure.push((0, 0, data.len()));
        }
    }
}

/// Encode the lines of `data`, which lies at `base` of its life.
pub fn encode(schema: &Schema, made: &mut Made, data: &[u8], prefix: &[u8], base: u64) {
    made.clear();
    let place_end = base.checked_add(data.len() as u64);
    if prefix.len() != PREFIX_SIZE || place_end.is_none_or(|end| end > PLACE_LIMIT) {
        return made.leave_all(data);
    }
    made.sink.out.reserve(data.len() + data.len() / 4);
    let mut cursor = Cursor { text: data, at: 0 };
    while cursor.at < data.len() {
        let start = cursor.at;
        made.lines += 1;
        let (bytes, documents, checksum) = (made.sink.out.len(), made.ends.len(), made.checksum);
        let mut chunk = Chunk { schema, made, prefix, base };
        if chunk.line(&mut cursor).is_ok() {
            if schema.wrapped {
                made.count_block();
            }
            continue;
        }
        made.sink.out.truncate(bytes);
        made.ends.truncate(documents);
        made.places.truncate(documents);
        made.checksum = checksum;
        let end = memchr(b'\n', &data[start..]).map_or(data.len(), |length| start + length + 1);
        match made.unsure.last_mut() {
            Some(last) if last.0 == documents && last.2 == start => last.2 = end,
            _ => made.unsure.push((documents, start, end)),
        }
        cursor.at = end;
    }
}

/// A chunk while it is encoded.
pub struct Chunk<'a> {
    pub schema: &'a Schema,
    pub made: &'a mut Made,
    prefix: &'a [u8],
    base: u64,
}

impl Chunk<'_> {
    /// One line; the cursor is then after its newline.
    #[inline(always)]
    fn line(&mut self, cursor: &mut Cursor<'_>) -> Sure<()> {
        let start = cursor.at;
        if let Some(bytes) = &self.schema.panic_on {
            assert!(!cursor.text[start..].starts_with(bytes), "asked for by a test");
        }
        self.made.sink.names.clear();
        cursor.skip_blanks();
        if self.schema.wrapped {
            self.wrapped(cursor, start)?;
        } else {
            self.made.block.clear();
            self.document(cursor, start, 0, 1)?;
        }
        ended(cursor)
    }

    /// The document of an entry, from `_id` to the last zero.
    #[inline(always)]
    pub fn document(&mut self, cursor: &mut Cursor<'_>, line: usize, index: usize, depth: usize) -> Sure<()> {
        let made = &mut *self.made;
        let begun = made.sink.out.len();
        made.sink.begun = begun;
        bson::open(&mut made.sink.out);
        made.sink.out.extend_from_slice(ID);
        let id = made.sink.out.len();
        let offset = self.base + line as u64;
        let place = (offset + index as u64).to_be_bytes();
        made.sink.out.extend_from_slice(self.prefix);
        made.sink.out.extend_from_slice(&place[8 - (ID_SIZE - PREFIX_SIZE)..]);
        made.sink.seconds = None;
        if let Some(count) = self.schema.content {
            made.sink.key.clear();
            made.sink.key.resize(count, Part::None);
        }
        Writer { schema: self.schema, sink: &mut made.sink }.entry(cursor, depth)?;
        made.sink.out.extend_from_slice(&made.block);
        bson::close(&mut made.sink.out, begun)?;
        let end = made.sink.out.len();
        if end - begun > self.schema.size_limit || end > OUT_LIMIT {
            return Err(Unsure);
        }
        made.ends.push(u32::try_from(end).map_err(|_| Unsure)?);
        if self.schema.content.is_some() {
            let key = content_id(&made.sink, made.sink.seconds)?;
            made.sink.out[id..id + ID_SIZE].copy_from_slice(&key);
            made.places.push((offset, index));
        } else {
            let sum = made.checksum + crc32fast::hash(&made.sink.out[begun..end]) as u64;
            made.checksum = sum & (u64::MAX >> 1);
        }
        Ok(())
    }
}

/// Nothing but blanks up to the newline, which is passed, or to the end of the data.
#[inline(always)]
fn ended(cursor: &mut Cursor<'_>) -> Sure<()> {
    cursor.skip_blanks();
    match cursor.text.get(cursor.at) {
        None => Ok(()),
        Some(b'\n') => {
            cursor.at += 1;
            Ok(())
        }
        Some(_) => Err(Unsure),
    }
}

/// Epoch seconds of the event, and 64 bits of blake2b over the length-prefixed values of the key.
fn content_id(sink: &Sink, time: Option<i64>) -> Sure<[u8; ID_SIZE]> {
    let seconds = u32::try_from(time.ok_or(Unsure)?).map_err(|_| Unsure)?;
    let mut hash = Blake2b::<U8>::new();
    for part in &sink.key {
        let digits;
        let text = match *part {
            Part::None => return Err(Unsure),
            Part::Text(start, end) => &sink.out[start..end],
            Part::Integer(value) => {
                digits = value.to_string();
                digits.as_bytes()
            }
        };
        hash.update(text.len().to_string().as_bytes());
        hash.update(b":");
        hash.update(text);
        hash.update(b",");
    }
    let mut id = [0; ID_SIZE];
    id[..4].copy_from_slice(&seconds.to_be_bytes());
    id[4..].copy_from_slice(&hash.finalize());
    Ok(id)
}
