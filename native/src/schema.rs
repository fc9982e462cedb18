//! What an entry is, as the reference's `streams.schema` says it, made ready for one pass.

use crate::bson::{ARRAY, BOOLEAN, DATE, DECIMAL128, DOCUMENT, DOUBLE, INT32, INT64, STRING};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Boolean,
    Decimal,
    Time,
    Millis,
    TextOrObject,
    Object,
    Pair,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    Decimal,
    Double,
    Text,
}

/// One step of the path to a value of the key.
pub enum Step {
    Name(String),
    Index(usize),
}

/// A field as it is given: its name, kind, whether it is required, and the fields of its objects.
pub struct Given {
    pub name: String,
    pub kind: String,
    pub required: bool,
    pub fields: Vec<Given>,
}

pub struct Field {
    pub name: Vec<u8>,
    /// `"name":`, what a member of it begins with nearly always.
    pub quoted: Vec<u8>,
    pub kind: Kind,
    pub required: bool,
    /// Type byte, name, zero.
    pub head: Vec<u8>,
    /// The same of `<name>_ns`, of a time.
    pub ns_head: Vec<u8>,
    pub object: Object,
    /// Where in the key its value goes, as a member of the first or the second object of a pair.
    pub slots: [Option<usize>; 2],
    pub is_event_time: bool,
}

#[derive(Default)]
pub struct Object {
    pub fields: Vec<Field>,
    /// A bit for each required field.
    pub required: u64,
}

impl Object {
    /// The field that the name is of.
    pub fn find(&self, name: &[u8]) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}

pub struct Schema {
    pub entry: Object,
    /// An entry is `[user, {...}]`.
    pub fill: bool,
    /// Entries lie in the array `events` of a line.
    pub wrapped: bool,
    pub numbers: Numbers,
    /// With content identity: how many values the key has.
    pub content: Option<usize>,
    /// Where in the key the user of a fill goes.
    pub user_slot: Option<usize>,
    pub user: Field,
    pub block: [Field; 3],
    pub depth_limit: usize,
    pub size_limit: usize,
    /// For tests alone: a line of these bytes makes the encoder panic.
    pub panic_on: Option<Vec<u8>>,
}

pub const LOCAL_TIME: usize = 0;
pub const BLOCK_TIME: usize = 1;
pub const BLOCK_NUMBER: usize = 2;
pub const BLOCK_NAMES: [&str; 3] = ["local_time", "block_time", "block_number"];

pub fn block_fields() -> [Field; 3] {
    let [local, time, number] = BLOCK_NAMES.map(String::from);
    [
        made(local, Kind::Time, true, Numbers::Decimal),
        made(time, Kind::Time, true, Numbers::Decimal),
        made(number, Kind::Integer, true, Numbers::Decimal),
    ]
}

pub fn user_field() -> Field {
    made("user".into(), Kind::Text, true, Numbers::Decimal)
}

pub fn object(given: Vec<Given>, numbers: Numbers) -> Result<Object, String> {
    if given.len() > 64 {
        return Err("an object of more than 64 known fields".into());
    }
    let mut object = Object::default();
    for (index, each) in given.into_iter().enumerate() {
        let kind = kind(&each.kind).ok_or_else(|| format!("no such kind: {}", each.kind))?;
        let mut field = made(each.name, kind, each.required, numbers);
        field.object = self::object(each.fields, numbers)?;
        object.required |= (each.required as u64) << index;
        object.fields.push(field);
    }
    Ok(object)
}

fn kind(word: &str) -> Option<Kind> {
    Some(match word {
        "text" => Kind::Text,
        "integer" => Kind::Integer,
        "boolean" => Kind::Boolean,
        "decimal" => Kind::Decimal,
        "time" => Kind::Time,
        "millis" => Kind::Millis,
        "text_or_object" => Kind::TextOrObject,
        "object" => Kind::Object,
        "pair" => Kind::Pair,
        _ => return None,
    })
}

fn made(name: String, kind: Kind, required: bool, numbers: Numbers) -> Field {
    let element = match kind {
        Kind::Text | Kind::TextOrObject => STRING,
        Kind::Integer => INT32,
        Kind::Boolean => BOOLEAN,
        Kind::Decimal => match numbers {
            Numbers::Decimal => DECIMAL128,
            Numbers::Double => DOUBLE,
            Numbers::Text => STRING,
        },
        Kind::Time | Kind::Millis => DATE,
        Kind::Object => DOCUMENT,
        Kind::Pair => ARRAY,
    };
    Field {
        quoted: format!("\"{name}\":").into_bytes(),
        head: [&[element], name.as_bytes(), &[0]].concat(),
        ns_head: [&[INT64], name.as_bytes(), b"_ns\0"].concat(),
        name: name.into_bytes(),
        kind,
        required,
        object: Object::default(),
        slots: [None, None],
        is_event_time: false,
    }
}

impl Schema {
    /// Give each path of the key its slot. An error when a path leads to no known value.
    pub fn place_key(&mut self, event_time: &str, key: &[Vec<Step>]) -> Result<(), String> {
        let time = self.entry.fields.iter_mut().find(|field| field.name == event_time.as_bytes());
        let time = time.filter(|field| field.required && matches!(field.kind, Kind::Time | Kind::Millis));
        time.ok_or("the event time is no required time")?.is_event_time = true;
        for (slot, path) in key.iter().enumerate() {
            let place = match path.as_slice() {
                [Step::Name(name)] if self.fill && name == "user" => &mut self.user_slot,
                [Step::Name(name)] => slot_of(&mut self.entry, name, 0, Some(event_time))?,
                [Step::Name(outer), Step::Name(name)] => {
                    slot_of(within(&mut self.entry, outer, Kind::Object)?, name, 0, None)?
                }
                [Step::Name(outer), Step::Index(index @ (0 | 1)), Step::Name(name)] => {
                    slot_of(within(&mut self.entry, outer, Kind::Pair)?, name, *index, None)?
                }
                _ => return Err("a path of the key leads nowhere".into()),
            };
            if place.replace(slot).is_some() {
                return Err("two paths of the key lead to one value".into());
            }
        }
        self.content = Some(key.len());
        Ok(())
    }
}

fn within<'a>(object: &'a mut Object, name: &str, kind: Kind) -> Result<&'a mut Object, String> {
    let field = object.fields.iter_mut().find(|field| field.name == name.as_bytes() && field.kind == kind);
    field.map(|field| &mut field.object).ok_or_else(|| format!("the key has no such object: {name}"))
}

fn slot_of<'a>(
    object: &'a mut Object,
    name: &str,
    at: usize,
    time: Option<&str>,
) -> Result<&'a mut Option<usize>, String> {
    let field = object.fields.iter_mut().find(|field| field.name == name.as_bytes());
    let field = field.ok_or_else(|| format!("the key has no such value: {name}"))?;
    match field.kind {
        Kind::Text | Kind::Integer => {}
        Kind::Time | Kind::Millis if time == Some(name) => {}
        _ => return Err(format!("the key cannot hold {name}")),
    }
    Ok(&mut field.slots[at])
}
