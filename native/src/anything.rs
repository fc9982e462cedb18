//! What no schema knows, from JSON to BSON as the driver's own encoder has it.

use crate::bson::{self, ARRAY, BOOLEAN, DOCUMENT, DOUBLE, INT32, NULL, STRING};
use crate::entry::Writer;
use crate::names::Names;
use crate::scan::{Cursor, Sure, Text, Unsure, unescape};
use crate::values::Number;

impl Writer<'_> {
    /// A string's value; where its text lies in the output.
    #[inline(always)]
    pub fn text(&mut self, cursor: &mut Cursor<'_>) -> Sure<(usize, usize)> {
        let text = cursor.string()?;
        let start = self.sink.out.len() + 4;
        if text.escaped {
            bson::open(&mut self.sink.out);
            unescape(text.raw, &mut self.sink.out)?;
            self.sink.out.push(0);
            let size = self.sink.out.len() - start;
            bson::set_length(&mut self.sink.out, start - 4, size)?;
        } else {
            bson::string(&mut self.sink.out, text.raw)?;
        }
        Ok((start, self.sink.out.len() - 1))
    }

    /// The element of a member that no schema knows; its name and colon are passed.
    #[inline(always)]
    pub fn unknown(&mut self, cursor: &mut Cursor<'_>, name: Text<'_>, names: &mut Names, depth: usize) -> Sure<()> {
        let out = &mut self.sink.out;
        let kind = out.len();
        out.push(0);
        if name.escaped {
            unescape(name.raw, out)?;
            if memchr::memchr(0, &out[kind + 1..]).is_some() {
                return Err(Unsure);
            }
        } else {
            out.extend_from_slice(name.raw);
        }
        names.add(&mut self.sink.names, out, kind + 1, out.len())?;
        out.push(0);
        self.value(cursor, kind, depth)
    }

    /// Any value of an object or array at `depth`; its type byte is at `kind`.
    #[inline(always)]
    pub fn value(&mut self, cursor: &mut Cursor<'_>, kind: usize, depth: usize) -> Sure<()> {
        match cursor.peek() {
            b'"' => {
                self.sink.out[kind] = STRING;
                self.text(cursor)?;
            }
            b'{' => {
                self.sink.out[kind] = DOCUMENT;
                self.document(cursor, depth + 1)?;
            }
            b'[' => {
                self.sink.out[kind] = ARRAY;
                self.array(cursor, depth + 1)?;
            }
            b't' | b'f' => {
                self.sink.out[kind] = BOOLEAN;
                let value = cursor.boolean()?;
                self.sink.out.push(value as u8);
            }
            b'n' => {
                self.sink.out[kind] = NULL;
                if !cursor.passes(b"null") {
                    return Err(Unsure);
                }
            }
            _ => match cursor.number()? {
                Number::Integer(value) => {
                    self.sink.out[kind] = INT32;
                    bson::integer(&mut self.sink.out, kind, value);
                }
                Number::Double(value) => {
                    self.sink.out[kind] = DOUBLE;
                    self.sink.out.extend_from_slice(&value.to_le_bytes());
                }
            },
        }
        Ok(())
    }

    pub fn document(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Sure<()> {
        if depth > self.schema.depth_limit {
            return Err(Unsure);
        }
        let start = bson::open(&mut self.sink.out);
        cursor.take(b'{')?;
        let mut names = Names::new(&self.sink.names);
        let mut more = cursor.any(b'}');
        while more {
            let name = cursor.string()?;
            cursor.colon()?;
            self.unknown(cursor, name, &mut names, depth)?;
            self.bounded()?;
            more = cursor.another(b'}')?;
        }
        names.end(&mut self.sink.names, &self.sink.out)?;
        bson::close(&mut self.sink.out, start)
    }

    fn array(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Sure<()> {
        if depth > self.schema.depth_limit {
            return Err(Unsure);
        }
        let start = bson::open(&mut self.sink.out);
        cursor.take(b'[')?;
        let mut count = 0;
        let mut more = cursor.any(b']');
        while more {
            let kind = self.sink.out.len();
            self.sink.out.push(0);
            bson::index(&mut self.sink.out, count);
            count += 1;
            self.value(cursor, kind, depth)?;
            self.bounded()?;
            more = cursor.another(b']')?;
        }
        bson::close(&mut self.sink.out, start)
    }

    /// A short line can stand for a long document (`[0,0,...]`): not written far beyond what may be stored.
    #[inline(always)]
    pub fn bounded(&self) -> Sure<()> {
        if self.sink.out.len() - self.sink.begun > self.schema.size_limit { Err(Unsure) } else { Ok(()) }
    }
}
