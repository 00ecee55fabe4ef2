//! Just enough of Java's object serialization to read an index: objects, strings, enums, maps and lists.
//!
//! Values are kept in one table, in the order of their handles, and refer to one another by place: whatever the bytes
//! say, nothing is larger than they are, and nothing is followed deeper than [`DEEPEST`].

use std::collections::BTreeMap;
use std::sync::Arc;

const DEEPEST: u32 = 64;

/// What is wrong with the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Number(i64),
    /// A place in the table.
    Place(usize),
    Text(String),
    Object(Object),
    Class(Arc<Class>),
    /// What nobody asks for: raw bytes, floats, arrays of numbers.
    Other,
}

/// An object with what its class wrote by hand after its fields: elements of a list, keys and values of a map.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Object {
    fields: BTreeMap<String, Value>,
    written: Vec<Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Class {
    flags: u8,
    fields: Vec<(u8, String)>,
    above: Option<usize>,
}

/// All values of a stream.
#[derive(Debug)]
pub(super) struct Graph {
    table: Vec<Value>,
    root: Value,
}

impl Graph {
    fn follow<'a>(&'a self, value: &'a Value) -> Option<&'a Value> {
        match value {
            Value::Place(place) => self.table.get(*place),
            Value::Null => None,
            other => Some(other),
        }
    }

    fn object<'a>(&'a self, value: Option<&'a Value>) -> Option<&'a Object> {
        match self.follow(value?)? {
            Value::Object(object) => Some(object),
            _ => None,
        }
    }

    pub(super) fn root(&self) -> Option<&Value> {
        self.follow(&self.root)
    }

    pub(super) fn field<'a>(&'a self, of: &'a Value, name: &str) -> Option<&'a Value> {
        self.object(Some(of))?.fields.get(name)
    }

    pub(super) fn text<'a>(&'a self, value: Option<&'a Value>) -> Option<&'a str> {
        match self.follow(value?)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn number(&self, value: Option<&Value>) -> Option<i64> {
        match self.follow(value?)? {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of a list.
    pub(super) fn elements<'a>(&'a self, list: Option<&'a Value>) -> impl Iterator<Item = &'a Value> {
        let written = self.object(list).map_or(&[][..], |object| object.written.as_slice());
        written.iter().filter_map(|value| self.follow(value)).filter(|value| **value != Value::Other)
    }

    /// The values of a map: its keys and values come by turns.
    pub(super) fn map_values<'a>(&'a self, map: Option<&'a Value>) -> impl Iterator<Item = &'a Value> {
        self.elements(map).skip(1).step_by(2)
    }
}

/// Reads a stream of one object.
pub(super) fn read(bytes: &[u8]) -> Result<Graph, Wrong> {
    let mut parser = Parser { bytes, at: 0, table: Vec::new() };
    if parser.take(4)? != [0xac, 0xed, 0, 5] {
        return Err(parser.wrong("its index is not serialized by Java"));
    }
    let root = parser.content(0)?;
    Ok(Graph { table: parser.table, root })
}

struct Parser<'a> {
    bytes: &'a [u8],
    at: usize,
    table: Vec<Value>,
}

const WRITE_METHOD: u8 = 1;
const SERIALIZABLE: u8 = 2;
const END: u8 = 0x78;
const FIRST_HANDLE: u64 = 0x7e_0000;

impl<'a> Parser<'a> {
    const fn wrong(&self, what: &'static str) -> Wrong {
        Wrong { at: self.at, what }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Wrong> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or(self.wrong("its index is cut"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Wrong> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn unsigned(&mut self, length: usize) -> Result<u64, Wrong> {
        Ok(self.take(length)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn text(&mut self, length_bytes: usize) -> Result<String, Wrong> {
        let length = usize::try_from(self.unsigned(length_bytes)?).unwrap_or(usize::MAX);
        Ok(String::from_utf8_lossy(self.take(length)?).into_owned())
    }

    fn keep(&mut self, value: Value) -> usize {
        self.table.push(value);
        self.table.len() - 1
    }

    fn content(&mut self, depth: u32) -> Result<Value, Wrong> {
        if depth > DEEPEST {
            return Err(self.wrong("its index is nested too deep"));
        }
        match self.byte()? {
            0x70 => Ok(Value::Null),
            0x71 => self.reference(),
            0x72 => self.class(depth).map(Value::Place),
            0x73 => self.object(depth),
            0x74 => self.text(2).map(|text| Value::Place(self.keep(Value::Text(text)))),
            0x75 => self.array(depth),
            0x77 => {
                let length = usize::from(self.byte()?);
                self.take(length).map(|_| Value::Other)
            }
            0x7a => {
                let length = usize::try_from(self.unsigned(4)?).unwrap_or(usize::MAX);
                self.take(length).map(|_| Value::Other)
            }
            0x7c => self.text(8).map(|text| Value::Place(self.keep(Value::Text(text)))),
            0x7e => {
                self.class_of(depth)?;
                let place = self.keep(Value::Null);
                let name = self.content(depth + 1)?;
                self.table[place] = name;
                Ok(Value::Place(place))
            }
            _ => Err(self.wrong("its index holds what it should not")),
        }
    }

    fn reference(&mut self) -> Result<Value, Wrong> {
        let place = self.unsigned(4)?.checked_sub(FIRST_HANDLE).and_then(|place| usize::try_from(place).ok());
        let place = place.filter(|place| *place < self.table.len());
        place.map(Value::Place).ok_or(self.wrong("its index refers to nothing"))
    }

    /// A class description: new, known, or none.
    fn class_of(&mut self, depth: u32) -> Result<Option<usize>, Wrong> {
        match self.content(depth + 1)? {
            Value::Null => Ok(None),
            Value::Place(place) if matches!(self.table[place], Value::Class(_)) => Ok(Some(place)),
            _ => Err(self.wrong("its index holds no class where one must be")),
        }
    }

    fn class(&mut self, depth: u32) -> Result<usize, Wrong> {
        self.text(2)?;
        self.take(8)?;
        let place = self.keep(Value::Null);
        let flags = self.byte()?;
        let mut fields = Vec::new();
        for _ in 0..self.unsigned(2)? {
            let kind = self.byte()?;
            let name = self.text(2)?;
            if matches!(kind, b'L' | b'[') {
                self.content(depth + 1)?;
            }
            fields.push((kind, name));
        }
        self.written(depth)?;
        let above = self.class_of(depth)?;
        self.table[place] = Value::Class(Arc::new(Class { flags, fields, above }));
        Ok(place)
    }

    /// What a class wrote by hand, up to its end mark.
    fn written(&mut self, depth: u32) -> Result<Vec<Value>, Wrong> {
        let mut out = Vec::new();
        while self.bytes.get(self.at) != Some(&END) {
            out.push(self.content(depth + 1)?);
        }
        self.at += 1;
        Ok(out)
    }

    fn object(&mut self, depth: u32) -> Result<Value, Wrong> {
        let mut class = self.class_of(depth)?;
        let place = self.keep(Value::Null);
        // The fields of the topmost class come first. A class is kept only after the one above it: this ends.
        let mut line = Vec::new();
        while let Some(Value::Class(known)) = class.and_then(|place| self.table.get(place)).cloned() {
            if line.len() as u32 > DEEPEST {
                return Err(self.wrong("its index is nested too deep"));
            }
            class = known.above;
            line.push(known);
        }
        let mut object = Object::default();
        for class in line.iter().rev().filter(|class| class.flags & SERIALIZABLE != 0) {
            for (kind, name) in &class.fields {
                let value = self.value(*kind, depth)?;
                object.fields.insert(name.clone(), value);
            }
            if class.flags & WRITE_METHOD != 0 {
                object.written.extend(self.written(depth)?);
            }
        }
        self.table[place] = Value::Object(object);
        Ok(Value::Place(place))
    }

    fn value(&mut self, kind: u8, depth: u32) -> Result<Value, Wrong> {
        let number = |bytes: u64| Value::Number(bytes.cast_signed());
        match kind {
            b'B' | b'Z' => self.unsigned(1).map(number),
            b'C' | b'S' => self.unsigned(2).map(number),
            b'I' => self.unsigned(4).map(number),
            b'J' => self.unsigned(8).map(number),
            b'F' => self.take(4).map(|_| Value::Other),
            b'D' => self.take(8).map(|_| Value::Other),
            b'L' | b'[' => self.content(depth + 1),
            _ => Err(self.wrong("its index has a field of an unknown kind")),
        }
    }

    /// Arrays of objects only: the index has none of numbers.
    fn array(&mut self, depth: u32) -> Result<Value, Wrong> {
        self.class_of(depth)?;
        let place = self.keep(Value::Other);
        for _ in 0..self.unsigned(4)? {
            self.content(depth + 1)?;
        }
        Ok(Value::Place(place))
    }
}
