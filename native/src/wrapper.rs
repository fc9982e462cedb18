//! A wrapped line: the fields that its entries share, and the entries.

use crate::bson;
use crate::entry::{Writer, reserved};
use crate::lines::Chunk;
use crate::scan::{Cursor, Sure, Unsure};
use crate::schema::{BLOCK_NUMBER, BLOCK_TIME, LOCAL_TIME};

const EVENTS: &[u8] = b"events";
/// Unknown fields that a wrapper may have, each of which is compared with the others.
const CARRIED: usize = 32;

impl Chunk<'_> {
    /// `{local_time, block_time, block_number, events, ...}` in any order.
    pub fn wrapped(&mut self, cursor: &mut Cursor<'_>, line: usize) -> Sure<()> {
        let start = cursor.at;
        let (bytes, documents, checksum) = (self.made.sink.out.len(), self.made.ends.len(), self.made.checksum);
        let mut wrapper = Wrapper::default();
        if self.wrapper(cursor, &mut wrapper, Some(line))? {
            return Ok(());
        }
        // Something came after the entries: first all that is beside them, then they.
        cursor.at = start;
        self.made.sink.out.truncate(bytes);
        self.made.ends.truncate(documents);
        self.made.places.truncate(documents);
        self.made.checksum = checksum;
        self.made.sink.names.clear();
        let mut wrapper = Wrapper::default();
        self.wrapper(cursor, &mut wrapper, None)?;
        let end = cursor.at;
        self.share(&wrapper)?;
        cursor.at = wrapper.events.ok_or(Unsure)?;
        self.entries(cursor, line)?;
        cursor.at = end;
        Ok(())
    }

    /// Read a wrapper, and with `line` its entries, too, if all that is beside them comes first. False: it did not.
    fn wrapper(&mut self, cursor: &mut Cursor<'_>, wrapper: &mut Wrapper, line: Option<usize>) -> Sure<bool> {
        self.made.sink.begun = self.made.sink.out.len();
        self.made.sink.carried.clear();
        self.made.carried.clear();
        cursor.take(b'{')?;
        let mut more = cursor.any(b'}');
        while more {
            if line.is_some() && wrapper.events.is_some() {
                return Ok(false);
            }
            let name = cursor.string()?;
            if name.escaped {
                return Err(Unsure);
            }
            cursor.colon()?;
            let known = self.schema.block.iter().position(|field| field.name == name.raw);
            if let Some(which) = known {
                let value = if which == BLOCK_NUMBER { cursor.integer()? } else { cursor.time()? };
                if wrapper.fields[which].replace(value).is_some() {
                    return Err(Unsure);
                }
            } else if name.raw == EVENTS {
                if wrapper.events.replace(cursor.at).is_some() {
                    return Err(Unsure);
                }
                match line {
                    None => self.beside(cursor, |_| ())?,
                    Some(_) if !wrapper.is_whole() => return Ok(false),
                    Some(line) => {
                        self.share(wrapper)?;
                        self.entries(cursor, line)?;
                    }
                }
            } else {
                self.carry(cursor, name.raw)?;
            }
            more = cursor.another(b'}')?;
        }
        if wrapper.is_whole() && wrapper.events.is_some() { Ok(true) } else { Err(Unsure) }
    }

    /// An unknown field of the wrapper: every entry gets it.
    fn carry(&mut self, cursor: &mut Cursor<'_>, name: &[u8]) -> Sure<()> {
        let names = &mut self.made.sink.carried;
        let doubled = names.len() >= CARRIED || names.iter().any(|other| other == name);
        let known = self.schema.entry.find(name).is_some() || (self.schema.fill && name == b"user");
        if doubled || known || reserved(name) {
            return Err(Unsure);
        }
        names.push(name.to_vec());
        let mut elements = std::mem::take(&mut self.made.carried);
        self.beside(cursor, |element| {
            elements.push(element[0]);
            elements.extend_from_slice(name);
            elements.extend_from_slice(&element[1..]);
        })?;
        self.made.carried = elements;
        Ok(())
    }

    /// A value of the wrapper as an element: its type, a zero, its bytes. Not kept in the output.
    fn beside(&mut self, cursor: &mut Cursor<'_>, then: impl FnOnce(&[u8])) -> Sure<()> {
        let sink = &mut self.made.sink;
        let start = sink.out.len();
        sink.out.extend_from_slice(&[0, 0]);
        Writer { schema: self.schema, sink }.value(cursor, start, 1)?;
        then(&self.made.sink.out[start..]);
        self.made.sink.out.truncate(start);
        Ok(())
    }

    /// The elements that every entry of the line gets.
    fn share(&mut self, wrapper: &Wrapper) -> Sure<()> {
        let start = self.made.sink.out.len();
        let mut writer = Writer { schema: self.schema, sink: &mut self.made.sink };
        for which in [BLOCK_NUMBER, BLOCK_TIME, LOCAL_TIME] {
            let (field, value) = (&self.schema.block[which], wrapper.fields[which].ok_or(Unsure)?);
            let kind = writer.sink.out.len();
            writer.sink.out.extend_from_slice(&field.head);
            if which == BLOCK_NUMBER {
                bson::integer(&mut writer.sink.out, kind, value);
            } else {
                writer.moment(field, value);
            }
        }
        let made = &mut *self.made;
        made.number = wrapper.fields[BLOCK_NUMBER].ok_or(Unsure)?;
        made.block.clear();
        made.block.extend_from_slice(&made.sink.out[start..]);
        made.block.extend_from_slice(&made.carried);
        made.sink.out.truncate(start);
        Ok(())
    }

    fn entries(&mut self, cursor: &mut Cursor<'_>, line: usize) -> Sure<()> {
        cursor.take(b'[')?;
        let mut index = 0;
        let mut more = cursor.any(b']');
        while more {
            self.document(cursor, line, index, 3)?; // below the line's object and its array
            index += 1;
            more = cursor.another(b']')?;
        }
        Ok(())
    }
}

/// What was found in a wrapper: the values of its known fields, and where its entries are.
#[derive(Default)]
struct Wrapper {
    fields: [Option<i64>; 3],
    events: Option<usize>,
}

impl Wrapper {
    fn is_whole(&self) -> bool {
        self.fields.iter().all(Option::is_some)
    }
}
