//! One entry, from JSON to BSON elements, by its schema. The first thing that is not as the schema says ends it.

use crate::bson::{self, DOCUMENT, NULL};
use crate::names::{Names, Stack};
use crate::scan::{Cursor, Sure, Unsure};
use crate::schema::{BLOCK_NAMES, Field, Kind, Numbers, Object, Schema};

/// A value of the key: a place in the output, or a number.
#[derive(Clone, Copy)]
pub enum Part {
    None,
    Text(usize, usize),
    Integer(i64),
}

/// What is written into, and what is remembered of the entry at hand. Used again for every line.
#[derive(Default)]
pub struct Sink {
    pub out: Vec<u8>,
    pub names: Stack,
    pub key: Vec<Part>,
    /// Epoch seconds of the event, with content identity.
    pub seconds: Option<i64>,
    /// The unknown fields of the wrapper, which no entry may have as well.
    pub carried: Vec<Vec<u8>>,
    /// Where the document (or the line's fields) at hand begin: bounds what is written before a limit is noticed.
    pub begun: usize,
}

/// What a name is not allowed to be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Top,
    Inner,
}

/// Whether tailrace itself writes fields of such names.
pub fn reserved(name: &[u8]) -> bool {
    name == b"_id" || name.ends_with(b"_ns") || BLOCK_NAMES.iter().any(|block| block.as_bytes() == name)
}

pub struct Writer<'a> {
    pub schema: &'a Schema,
    pub sink: &'a mut Sink,
}

impl Writer<'_> {
    /// The elements of an entry: the user of a fill, then its members.
    #[inline(always)]
    pub fn entry(&mut self, cursor: &mut Cursor<'_>, depth: usize) -> Sure<()> {
        let schema = self.schema;
        if !schema.fill {
            return self.members(cursor, &schema.entry, Level::Top, 0, depth);
        }
        if depth > schema.depth_limit {
            return Err(Unsure);
        }
        cursor.take(b'[')?;
        cursor.skip_blanks();
        self.sink.out.extend_from_slice(&schema.user.head);
        let (start, end) = self.text(cursor)?;
        if let Some(slot) = schema.user_slot {
            self.sink.key[slot] = Part::Text(start, end);
        }
        if !cursor.another(b']')? {
            return Err(Unsure);
        }
        self.members(cursor, &schema.entry, Level::Top, 0, depth + 1)?;
        if cursor.another(b']')? { Err(Unsure) } else { Ok(()) }
    }

    /// The members of an object of the schema; `which` of a pair it is.
    fn members(
        &mut self,
        cursor: &mut Cursor<'_>,
        object: &Object,
        level: Level,
        which: usize,
        depth: usize,
    ) -> Sure<()> {
        if depth > self.schema.depth_limit {
            return Err(Unsure);
        }
        cursor.take(b'{')?;
        let mut names = Names::new(&self.sink.names);
        let (mut seen, mut next) = (0_u64, 0);
        let mut more = cursor.any(b'}');
        while more {
            match self.known(cursor, object, next)? {
                Some(index) => {
                    let bit = 1 << index;
                    if seen & bit != 0 {
                        return Err(Unsure);
                    }
                    seen |= bit;
                    next = index + 1;
                    self.field(cursor, &object.fields[index], which, depth)?;
                }
                None => {
                    let name = cursor.string()?;
                    if name.escaped || self.refused(name.raw, object, level) {
                        return Err(Unsure);
                    }
                    cursor.colon()?;
                    self.unknown(cursor, name, &mut names, depth)?;
                }
            }
            self.bounded()?;
            more = cursor.another(b'}')?;
        }
        if seen & object.required != object.required {
            return Err(Unsure);
        }
        names.end(&mut self.sink.names, &self.sink.out)
    }

    /// The known field that the member here is, the cursor then at its value. `next` is where it is looked for first:
    /// members mostly come in the schema's order.
    #[inline(always)]
    fn known(&self, cursor: &mut Cursor<'_>, object: &Object, next: usize) -> Sure<Option<usize>> {
        for index in next..object.fields.len().min(next + 2) {
            if cursor.passes(&object.fields[index].quoted) {
                cursor.skip_blanks();
                return Ok(Some(index));
            }
        }
        if object.fields.is_empty() {
            return Ok(None);
        }
        let start = cursor.at;
        let name = cursor.string()?;
        let found = if name.escaped { None } else { object.find(name.raw) };
        match found {
            Some(_) => cursor.colon()?,
            None => cursor.at = start,
        }
        Ok(found)
    }

    /// Whether a member that no schema knows must not have this name here.
    fn refused(&self, name: &[u8], object: &Object, level: Level) -> bool {
        match level {
            Level::Top => {
                reserved(name)
                    || (self.schema.fill && name == b"user")
                    || self.sink.carried.iter().any(|carried| carried == name)
            }
            // The driver puts an `_id` first where it encodes an object whole.
            Level::Inner => object.fields.is_empty() && name == b"_id",
        }
    }

    /// A known member's element, or its two.
    #[inline(always)]
    fn field(&mut self, cursor: &mut Cursor<'_>, field: &Field, which: usize, depth: usize) -> Sure<()> {
        let kind = self.sink.out.len();
        self.sink.out.extend_from_slice(&field.head);
        let first = cursor.peek();
        if first == b'n' && !field.required {
            self.sink.out[kind] = NULL;
            return if cursor.passes(b"null") && field.slots[which].is_none() { Ok(()) } else { Err(Unsure) };
        }
        let part = match field.kind {
            Kind::Text => {
                let (start, end) = self.text(cursor)?;
                Part::Text(start, end)
            }
            Kind::Integer => {
                let value = cursor.integer()?;
                bson::integer(&mut self.sink.out, kind, value);
                Part::Integer(value)
            }
            Kind::Boolean => {
                let value = cursor.boolean()?;
                self.sink.out.push(value as u8);
                Part::None
            }
            Kind::Decimal => {
                let decimal = cursor.decimal()?;
                let out = &mut self.sink.out;
                match self.schema.numbers {
                    Numbers::Decimal => out.extend_from_slice(&decimal.bytes()),
                    Numbers::Double => out.extend_from_slice(&decimal.double()?.to_le_bytes()),
                    Numbers::Text => bson::string(out, decimal.text)?,
                }
                Part::None
            }
            Kind::Time => {
                let since = cursor.time()?;
                self.moment(field, since);
                Part::Integer(since)
            }
            Kind::Millis => {
                let millis = cursor.integer()?;
                let since = millis.checked_mul(1_000_000).ok_or(Unsure)?;
                self.moment(field, since);
                Part::Integer(millis)
            }
            Kind::TextOrObject if first == b'{' => {
                self.sink.out[kind] = DOCUMENT;
                self.document(cursor, depth + 1)?;
                Part::None
            }
            Kind::TextOrObject => {
                self.text(cursor)?;
                Part::None
            }
            Kind::Object => {
                self.object(cursor, &field.object, 0, depth + 1)?;
                Part::None
            }
            Kind::Pair => {
                self.pair(cursor, &field.object, depth + 1)?;
                Part::None
            }
        };
        if let Some(slot) = field.slots[which] {
            self.sink.key[slot] = part;
        }
        Ok(())
    }

    /// What follows the head of a time: the date, and the element `<name>_ns`.
    #[inline(always)]
    pub fn moment(&mut self, field: &Field, since: i64) {
        let out = &mut self.sink.out;
        out.extend_from_slice(&since.div_euclid(1_000_000).to_le_bytes());
        out.extend_from_slice(&field.ns_head);
        out.extend_from_slice(&since.to_le_bytes());
        if field.is_event_time {
            self.sink.seconds = Some(since.div_euclid(1_000_000_000));
        }
    }

    fn object(&mut self, cursor: &mut Cursor<'_>, object: &Object, which: usize, depth: usize) -> Sure<()> {
        let start = bson::open(&mut self.sink.out);
        self.members(cursor, object, Level::Inner, which, depth)?;
        bson::close(&mut self.sink.out, start)
    }

    fn pair(&mut self, cursor: &mut Cursor<'_>, object: &Object, depth: usize) -> Sure<()> {
        if depth > self.schema.depth_limit {
            return Err(Unsure);
        }
        let start = bson::open(&mut self.sink.out);
        cursor.take(b'[')?;
        cursor.skip_blanks();
        self.sink.out.extend_from_slice(&[DOCUMENT, b'0', 0]);
        self.object(cursor, object, 0, depth + 1)?;
        if !cursor.another(b']')? {
            return Err(Unsure);
        }
        self.sink.out.extend_from_slice(&[DOCUMENT, b'1', 0]);
        self.object(cursor, object, 1, depth + 1)?;
        if cursor.another(b']')? {
            return Err(Unsure);
        }
        bson::close(&mut self.sink.out, start)
    }
}
